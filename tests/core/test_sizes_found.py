"""What sizes of defects are found: drawn, judged, kept in the manifest, and told."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.device.calibrate import APART
from edgead.errors import ManifestError
from edgead.manifest import Manifest, SizeFound, SizesFoundRecord, WindowsRecord
from edgead.notices import say
from edgead.progress import silent
from edgead.workbench.size_measure import DRAWN, drawn_and_judged, drawn_on, ladder
from tests.bundles import good_image, write_images
from tests.core.test_manifest import EXAMPLE
from tests.sealed import change_manifest

GREY = 128


def blurred(frames):
    """A judge that sees what's left of a change once 8 x 8 pixels are averaged, as in a network's patch."""
    for frame in frames:
        off = np.abs(frame.astype(np.float32) - GREY).max(axis=2)
        yield float(cv2.blur(off, (8, 8)).max())


def grey_frames(n, shape=(200, 240)):
    return [np.full((*shape, 3), GREY, np.uint8) for _ in range(n)]


# ---------------------------------------------------------------- measuring


@pytest.mark.parametrize(("short", "largest"), [(64, 6), (256, 26), (1000, 100), (3000, 300)])
def test_sizes_go_evenly_from_two_pixels_to_a_tenth_of_the_shorter_side(short, largest):
    sizes = ladder(short)
    assert sizes[0] == 2 and sizes[-1] == largest and list(sizes) == sorted(set(sizes))
    assert all(size == int(size) for size in sizes)
    if short >= 256:
        assert len(sizes) == 7
        steps = np.log(np.array(sizes[3:]) / sizes[2:-1])
        assert np.ptp(steps) < 0.25


def test_a_size_that_is_asked_for_is_on_the_ladder_in_place_of_its_neighbour():
    plain = ladder(1000)
    asked = ladder(1000, 12.5)
    assert 12.5 in asked and len(asked) == len(plain) and len(set(plain) - set(asked)) == 1
    assert ladder(1000, 180) == (*plain[:-1], 180)
    assert ladder(100, 26) == ladder(100)  # nothing so large is drawn on it
    assert ladder(1000, plain[3]) == plain


def test_larger_defects_are_found_by_a_judge_that_averages_and_each_is_drawn_in_all_sizes():
    sizes = (2, 4, 8, 16, 32)
    found = drawn_and_judged(blurred, grey_frames(5), 5, sizes, 12, 0, silent)
    assert len(found) == 12 * 5 and {each.own for each in found} == {0.0}
    drawn = [[each.frame for each in found if each.size == size] for size in sizes]
    assert all(sorted(frames) == sorted(drawn[0]) for frames in drawn)
    assert [drawn[0].count(frame) for frame in range(5)] == [3, 3, 2, 2, 2]
    means = [statistics.mean(each.score for each in found if each.size == size) for size in sizes]
    assert means == sorted(means) and means[-1] > 8 * means[0]
    assert drawn_and_judged(blurred, grey_frames(5), 5, sizes, 12, 0, silent) == found
    assert drawn_and_judged(blurred, grey_frames(5), 5, sizes, 12, 1, silent) != found


def test_progress_counts_every_image_that_is_judged():
    told = []

    class Counting:
        def __init__(self, description, total):
            told.append(total)

        def __enter__(self):
            return lambda n: told.append(n)

        def __exit__(self, *_):
            return None

    drawn_and_judged(blurred, grey_frames(3), 3, (2, 4), 7, 0, Counting)
    assert told[0] == sum(told[1:]) == 3 + 7 * 2


def test_groups_are_drawn_on_in_turn_and_what_stands_out_is_not():
    assert drawn_on(range(10), None, 4) == [0, 2, 5, 7]
    assert drawn_on(range(3), None, 40) == [0, 1, 2]
    groups = (5, 5, 5, 6, APART, 7, 6)
    assert drawn_on(range(7), groups, 3) == [0, 3, 5]
    assert drawn_on(range(7), groups, 5) == [0, 1, 3, 5, 6]
    assert drawn_on(range(7), groups, 99) == [0, 1, 2, 3, 5, 6]
    assert drawn_on(range(7), groups, 2) == [0, 3]
    assert drawn_on([4], groups, 3) == [] == drawn_on([], None, 3)


# ---------------------------------------------------------------- what a fit keeps and tells


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A small fit by the API, on images of three times the input's size, and what it wrote."""
    folder = tmp_path_factory.mktemp("sizes")
    write_images(folder / "good", [good_image(i, (240, 160)) for i in range(16)])
    return edgead.fit(
        "patchcore", folder / "good", folder / "p.edgead", size=(80, 64), mm_per_pixel=0.05,
        false_positive_rate=0.1, options={"coreset_ratio": 0.05},
    )  # fmt: skip


def test_a_fit_measures_on_held_out_images_at_its_threshold(fitted):
    manifest = fitted.bundle.manifest
    sizes = manifest.sizes_found
    assert sizes.frame == (240, 160) and sizes.stride == 8 and sizes.threshold == manifest.threshold.score
    assert 1 <= sizes.images <= manifest.provenance["images"]["held_out"] == 3
    assert [row.size for row in sizes.rows] == list(ladder(160))
    assert len({row.drawn for row in sizes.rows}) == 1 and sizes.rows[0].drawn <= DRAWN
    assert sizes.rows[-1].found > sizes.rows[0].found
    assert sizes.mm_per_pixel == 0.05 and sizes.asked is None
    codes = [notice.code for notice in fitted.notices]
    assert "sizes-few" in codes and "sizes-few" not in {n.code for n in fitted.bundle.notices}


def test_the_figures_are_those_of_the_form_that_has_not_learned_the_images(fitted):
    """Each defect is drawn and judged again here, by the calibration form in exact arithmetic."""
    from edgead.images import read_image
    from edgead.resize import ResizeRule
    from edgead.runtime.exact import ExactSession
    from edgead.workbench.given import Settings, read_given
    from edgead.workbench.recipe import resolve
    from edgead.workbench.sized_defects import SIZED_KINDS, Ground

    bundle = fitted.bundle
    sizes, rule = bundle.manifest.sizes_found, ResizeRule((80, 64))
    folder = bundle.path.parent / "good"
    given = read_given(resolve("patchcore").backbone, folder, Settings(size=(80, 64)), (), silent)
    session = ExactSession(bundle.file("calibration/fp32.onnx"))
    over: dict[float, int] = {}
    for index, path in enumerate(given.held_out.paths):
        frame = read_image(path)
        if session(rule.apply(frame)[None])["score"][0] >= sizes.threshold:
            continue
        for place in range(index, DRAWN, len(given.held_out)):
            kind = SIZED_KINDS[(place + place // len(given.held_out)) % len(SIZED_KINDS)]
            for row in (sizes.rows[0], sizes.rows[-1]):
                drawn = Ground(frame).draw(row.size, np.random.default_rng([0, place]), kind)
                score = session(rule.apply(drawn)[None])["score"][0]
                over[row.size] = over.get(row.size, 0) + int(score > sizes.threshold)
    assert over == {row.size: row.found for row in (sizes.rows[0], sizes.rows[-1])}


def test_inspect_and_json_show_the_same_figures(fitted, capsys):
    sizes = fitted.bundle.manifest.sizes_found
    assert main(["inspect", str(fitted.path)]) == 0
    text = capsys.readouterr().out
    table = text[text.index("Sizes of defects") :]
    for row in sizes.rows:
        (line,) = [each for each in table.splitlines() if each.split()[:1] == [f"{row.size:.3g}"]]
        assert f"{row.found} of {row.drawn}" in line and f"{row.size * 0.05:.3g}" in line.split()
    assert all(say(notice) in table for notice in sizes.summary())
    assert main(["inspect", str(fitted.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["sizes_found"]
    assert [(row["size"], row["found"]) for row in document["rows"]] == [
        (r.size, r.found) for r in sizes.rows
    ]
    assert document["rows"][0]["mm"] == pytest.approx(0.1)
    assert {n["code"] for n in document["notices"]} >= {"sizes-few"}


def test_fit_chooses_an_input_for_the_smallest_defect_and_says_what_became_of_it(tmp_path, capsys):
    write_images(tmp_path / "good", [good_image(i, (320, 480)) for i in range(8)])
    words = ["-o", "coreset_ratio=0.05", "--fpr", "0.1", "--folds", "2", "--json", "-q"]
    out = str(tmp_path / "p.edgead")
    need = ["--smallest-defect", "1mm", "--mm-per-pixel", "0.05"]  # 20 pixels: 16 of them in the input
    assert main(["fit", "patchcore", str(tmp_path / "good"), "--out", out, *words, *need]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["input"]["size"] == [256, 384] and told["input"]["choice"]["code"] == "input-need-usual"
    assert told["sizes_found"]["asked"] == 20 and 20 in [row["size"] for row in told["sizes_found"]["rows"]]
    assert "size-asked" in {notice["code"] for notice in told["sizes_found"]["notices"]}
    assert read_bundle(out).manifest.sizes_found.asked == 20


def test_a_need_that_takes_windows_gets_them(tmp_path):
    from edgead.progress import silent
    from edgead.workbench.given import Settings, read_given
    from edgead.workbench.recipe import resolve
    from edgead.workbench.size_choice import Need

    folder = write_images(tmp_path / "good", [good_image(i, (1400, 1800)) for i in range(3)])
    settings, backbone = Settings(smallest_defect=20), resolve("patchcore").backbone
    given = read_given(backbone, folder, settings, (), silent, Need(20, 8))
    assert given.pieces is not None and given.input_size == (512, 512)
    assert given.rule.scale == pytest.approx(20 / 16)
    assert given.reading.why.code == "input-need-windows"
    asked = Settings(smallest_defect=40, windows=True)  # windows all the same, where a whole frame would do
    given = read_given(backbone, folder, asked, (), silent, Need(40, 8))
    assert given.pieces is not None and given.rule.scale == pytest.approx(40 / 16)


def test_needs_that_contradict_themselves_are_refused(tmp_path):
    write_images(tmp_path / "good", [good_image(i) for i in range(2)])
    words = ["fit", "patchcore", str(tmp_path / "good"), "--out", str(tmp_path / "p.edgead"), "-q"]
    for wrong in (["--smallest-defect", "0.3mm"], ["--smallest-defect", "8px", "--size", "256"]):
        assert main([*words, *wrong]) == 2
    assert main([*words, "--smallest-defect", "8px", "--windows", "--scale", "2"]) == 2
    assert main([*words, "--mm-per-pixel", "0"]) == 2
    assert not (tmp_path / "p.edgead").exists()


# ---------------------------------------------------------------- what the figures say

ROWS = tuple(
    SizeFound(size, 20, found, found / 10) for size, found in ((2.0, 0), (8.0, 11), (20.0, 9), (60.0, 14))
)
SIZES = SizesFoundRecord((800, 1000), 12, 3.25, 8, ROWS)


def grown(*found, **changes):
    rows = tuple(dataclasses.replace(row, found=n) for row, n in zip(ROWS, found, strict=True))
    return dataclasses.replace(SIZES, rows=rows, **changes)


def test_the_smallest_size_is_that_from_which_on_all_are_found():
    assert SIZES.smallest(0.5) == 60  # of 8 pixels more are found than of 20, by chance
    assert SIZES.smallest(0.9) is None
    assert grown(0, 10, 18, 20).smallest(0.5) == 8 and grown(0, 10, 18, 20).smallest(0.9) == 20
    assert grown(20, 20, 20, 20).smallest(0.9) == 2 and grown(20, 20, 20, 9).smallest(0.5) is None


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        ((0, 10, 18, 20), "sizes-found", ("from 8 pixels", "1.0%", "90%", "from 20 pixels")),
        ((0, 10, 12, 15), "sizes-half", ("from 8 pixels", "no size up to 60")),
        ((0, 1, 2, 9), "sizes-none", ("fewer than half", "60 pixels")),
    ],
)
def test_the_summary_names_the_sizes(found, code, told):
    (notice,) = grown(*found).summary()
    assert notice.code == code and all(part in say(notice) for part in told)


def test_the_size_that_was_asked_for_has_a_sentence_of_its_own():
    _, notice = dataclasses.replace(SIZES, asked=20).summary()
    assert say(notice) == "of defects of 20 pixels, the smallest that must be found, 9 of 20 are"


@pytest.mark.parametrize(
    ("sizes", "size", "codes"),
    [
        (grown(0, 10, 18, 20), (256, 320), []),  # half of 8 pixels: a hundredth of the side
        (grown(0, 0, 0, 12, stride=32), (800, 992), []),  # nothing is shrunk
        (grown(0, 0, 0, 3), (800, 992), ["sizes-unlike-none"]),
        (grown(0, 9, 18, 20, asked=8.0), (256, 320), ["size-missed"]),
        (grown(0, 10, 18, 20, asked=8.0), (256, 320), []),
        # 60 pixels are 19 of the input, 2.4 patches: a larger input may show smaller ones.
        (grown(0, 0, 0, 12), (256, 320), ["sizes-lost"]),
        (grown(0, 0, 0, 3), (256, 320), ["sizes-lost-none"]),
        (grown(0, 0, 0, 12, frame=(4000, 5000)), (800, 1024), []),
        (grown(0, 0, 0, 3, frame=(4000, 5000)), (800, 1024), ["sizes-lost-none-windows"]),
        (grown(0, 0, 0, 12, frame=(1500, 1500)), (640, 640), ["sizes-unlike"]),
        (grown(0, 0, 0, 12, frame=(1500, 1500), stride=16), (640, 640), ["sizes-lost-windows"]),
        # 60 pixels are 38 of the input, 4.7 patches: it's not the input that hides them.
        (grown(0, 0, 0, 12), (512, 640), ["sizes-unlike"]),
        (grown(0, 0, 0, 3), (512, 640), ["sizes-unlike-none"]),
        (grown(0, 10, 18, 20, images=9), (256, 320), ["sizes-few"]),
        (grown(0, 0, 0, 12, images=1), (256, 320), ["sizes-few", "sizes-lost"]),
    ],
)
def test_what_is_doubtful_depends_on_what_the_input_shows(sizes, size, codes):
    found = sizes.doubts(size)
    assert [notice.code for notice in found] == codes
    assert all("{" not in say(notice) and ":" not in say(notice)[:3] for notice in found)


@pytest.mark.parametrize(
    ("found", "scale", "codes"),
    [(12, 1.0, []), (12, 2.0, ["sizes-lost-scale"]), (3, 2.0, ["sizes-lost-none-scale"])],
)
def test_in_windows_only_a_scale_shrinks_frames(found, scale, codes):
    sizes = grown(0, 0, 0, found, stride=32)
    assert [notice.code for notice in sizes.doubts((256, 256), scale)] == codes
    manifest = dataclasses.replace(EXAMPLE, sizes_found=sizes, windows=WindowsRecord(40, scale))
    assert [notice.code for notice in manifest.size_doubts] == codes
    assert all("--scale" in say(notice) for notice in manifest.size_doubts)


def test_the_next_size_is_told_with_its_cost():
    (notice,) = grown(0, 0, 0, 12).doubts((256, 320))
    text = say(notice)
    assert (
        "shrunk 3.1 times to 256 x 320" in text and "from 60 pixels on only, 8% of the shorter side" in text
    )
    assert "--size 512x640, 4.0 times the pixels" in text
    (notice,) = grown(0, 0, 0, 12, frame=(400, 500), stride=16).doubts((256, 320))
    assert "--size 384x480, 2.2 times" in say(notice)  # no larger than the images


# ---------------------------------------------------------------- the manifest


def test_a_manifest_keeps_the_record_and_one_without_it_is_read_as_before():
    kept = dataclasses.replace(EXAMPLE, sizes_found=dataclasses.replace(SIZES, asked=8.0, mm_per_pixel=0.1))
    assert Manifest.from_json(kept.to_json()) == kept
    assert (
        "sizes_found" not in EXAMPLE.to_json() and Manifest.from_json(EXAMPLE.to_json()).sizes_found is None
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"frame": (0, 10)},
        {"images": 0},
        {"stride": 0},
        {"rows": ()},
        {"rows": ROWS[::-1]},
        {"rows": (ROWS[0], ROWS[0])},
        {"rows": (dataclasses.replace(ROWS[0], size=-1.0),)},
        {"rows": (dataclasses.replace(ROWS[0], drawn=0),)},
        {"rows": (dataclasses.replace(ROWS[0], found=21),)},
        {"rows": (dataclasses.replace(ROWS[0], found=-1),)},
        {"rows": tuple(SizeFound(float(i + 1), 1, 0, 0.0) for i in range(65))},
        {"asked": 0.0},
        {"mm_per_pixel": -0.1},
    ],
)
def test_a_record_out_of_range_is_named(changes):
    wrong = dataclasses.replace(EXAMPLE, sizes_found=dataclasses.replace(SIZES, **changes))
    with pytest.raises(ManifestError, match="sizes_found"):
        Manifest.from_json(wrong.to_json())


def test_a_bundle_of_an_older_edgead_is_shown_without_sizes(fitted, tmp_path, capsys):
    old = tmp_path / "old.edgead"
    shutil.copytree(fitted.path, old)
    change_manifest(old, lambda value: value.pop("sizes_found"))
    assert main(["inspect", str(old)]) == 0
    assert "Sizes of defects" not in capsys.readouterr().out
    assert main(["inspect", str(old), "--json"]) == 0
    assert "sizes_found" not in json.loads(capsys.readouterr().out)
