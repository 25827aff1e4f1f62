"""Images of one part are held out together: as near copies, by folder, or by a pattern on the name."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.errors import DatasetError, OptionError
from edgead.held_out import read_held_out
from edgead.images import read_image
from edgead.notices import say
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.workbench.fit import Settings, fit
from edgead.workbench.good_images import GoodImages, split
from edgead.workbench.groups import group, group_by_name
from edgead.workbench.recipe import resolve
from tests.bundles import SIZE, good_image, make_compiled, write_images

QUICK = {"size": SIZE, "holdout": 0.4, "false_positive_rate": 0.1, "precisions": ("fp32",)}


def frames_of(n: int) -> GoodImages:
    return GoodImages(tuple(Path(f"{i:03d}.png") for i in range(n)), ResizeRule((32, 32)))


def test_no_group_is_torn_and_plain_images_are_split_as_ever():
    rng = np.random.default_rng(0)
    for seed in range(40):
        n = int(rng.integers(2, 40))
        labels = rng.integers(0, max(2, n // 3), n)
        labels[:2] = 0, 1
        frames = frames_of(n)
        training, held_out = split(frames, float(rng.uniform(0.05, 0.95)), seed, labels)
        of = dict(zip(frames.paths, labels.tolist(), strict=True))
        learned, judged = ({of[p] for p in part.paths} for part in (training, held_out))
        assert learned and judged and not learned & judged
        assert sorted([*training.paths, *held_out.paths]) == list(frames.paths)
        # What is drawn are groups: a permutation of them, of which the share is held out.
        assert split(frames, 0.3, seed) == split(frames, 0.3, seed, np.arange(n))
        order = np.random.default_rng(seed).permutation(n)[: min(max(1, round(n * 0.3)), n - 1)]
        assert split(frames, 0.3, seed)[1].paths == tuple(frames.paths[i] for i in sorted(order))


def test_where_all_are_one_group_each_image_is_its_own():
    training, held_out = split(frames_of(10), 0.2, 0, np.zeros(10, np.int64))
    assert (len(training), len(held_out)) == (8, 2)


PATHS = [
    Path(f"line/{lot}/part{part}/part{part}_{view}.png") for lot in "ab" for part in (1, 2) for view in "xy"
]


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        (r"(part\d+)_", [0, 0, 1, 1, 0, 0, 1, 1]),
        (r"_([xy])\.png$", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("parent", [0, 0, 1, 1, 0, 0, 1, 1]),
        ("grandparent", [0, 0, 0, 0, 1, 1, 1, 1]),
    ],
)
def test_a_pattern_or_a_folder_says_which_images_show_one_part(by, labels):
    assert group_by_name(PATHS, by).tolist() == labels


@pytest.mark.parametrize(
    ("by", "error", "said"),
    [
        ("(part", OptionError, "isn't a regular expression"),
        (r"part\d+", OptionError, "hold one group in parentheses"),
        (r"(a)(b)", OptionError, "hold one group in parentheses"),
        (r"lot(\d)", OptionError, "doesn't match 8 of 8 file names, 'part1_x.png' for instance"),
        (r"(part1)", OptionError, "doesn't match 4 of 8 file names, 'part2_x.png'"),
        (r"part(\d?)", DatasetError, None),
        (r"(part)", DatasetError, "puts all 8 images into one group, 'part'"),
        (r"(\d*)part", OptionError, "doesn't match 8 of 8"),  # it matches, with nothing in the group
    ],
)
def test_a_grouping_that_says_nothing_is_refused(by, error, said):
    if said is None:
        assert len(set(group_by_name(PATHS, by).tolist())) == 2
        return
    with pytest.raises(error, match="--group") as caught:
        group_by_name(PATHS, by)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_near_copies_among_two_products_are_told_apart(tmp_path):
    folders = [tmp_path / product / "train" / "good" for product in ("nut", "bolt")]
    for start, folder in zip((0, 20), folders, strict=True):
        write_images(folder, [good_image(start + i) for i in (*range(10), 0)])
    paths = tuple(sorted(file for folder in folders for file in folder.iterdir()))
    (told,) = group(GoodImages(paths, ResizeRule(SIZE)), None, silent).notices
    each = "{0}/train/good/000.png = {0}/train/good/010.png"
    assert told.code == "near-copies"
    assert told.values["names"] == f"{each.format('bolt')}, {each.format('nut')}"


def parts_and_copies(folder: Path, parts: int = 12, copies: int = 5) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part in range(parts):
        for copy in range(copies):
            image = np.clip(good_image(part) + rng.normal(0, 2, (120, 80, 3)), 0, 255).astype(np.uint8)
            write_images(folder / "one", [image])
            (folder / "one" / "000.png").rename(folder / f"{copy}-of-{part:02d}.png")
    (folder / "one").rmdir()
    return folder


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A reference bundle of twelve parts, each there five times, and the folder of its images."""
    root = tmp_path_factory.mktemp("copied")
    folder = parts_and_copies(root / "good")
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    return fit(recipe, folder, Settings(**QUICK), root / "p.edgead", silent).bundle, folder


def test_near_copies_are_held_out_together_counted_once_and_told(copied):
    bundle, folder = copied
    manifest = bundle.manifest
    rule = ResizeRule(SIZE)
    part_of = {rule.apply(read_image(file)).tobytes(): int(file.stem[-2:]) for file in folder.iterdir()}
    held = [part_of[read_image(f).tobytes()] for f in sorted((bundle.path / "probes").iterdir())]
    assert len(set(held)) == round(12 * 0.4) == 5 and all(held.count(part) == 5 for part in held)
    assert (manifest.threshold.n_images, manifest.threshold.n_counted) == (60, 12)
    p, largest = manifest.threshold.upper_rate, dict.fromkeys(range(12), 0.0)
    figures = read_held_out(bundle)
    for part, score in zip(manifest.held_out.groups, figures.scores, strict=True):
        largest[part] = max(largest[part], float(score))
    over = sum(score > manifest.threshold.score for score in largest.values())  # at p, so few of 12 have 5 %
    assert 1 <= over <= 2
    assert sum(comb(12, i) * p**i * (1 - p) ** (12 - i) for i in range(over + 1)) == pytest.approx(0.05)
    assert "12 different parts in 60 held-out images" in say(manifest.threshold.notice())
    assert manifest.provenance["images"]["parts"] == 12
    (notice,) = (n for n in manifest.notices if n.code == "near-copies")
    assert "60 images show about 12 different parts" in say(notice)
    assert "0-of-00.png = 1-of-00.png = 2-of-00.png = ..." in say(notice)


def test_a_compiled_bundle_counts_the_parts_too_and_keeps_the_notices(copied, tmp_path):
    bundle, _ = copied
    made = make_compiled(bundle, "onnx", "fp32", tmp_path / "c.edgead").bundle.manifest
    assert (made.threshold.n_images, made.threshold.n_counted) == (60, 12)
    assert made.threshold.score == pytest.approx(bundle.manifest.threshold.score, rel=1e-3)
    assert "near-copies" in {n.code for n in made.notices}
    assert made.held_out is not None and len(set(made.held_out.groups)) == 12 and made.reference is None


def test_the_users_groups_are_kept_and_copies_across_them_told(tmp_path):
    folder = parts_and_copies(tmp_path / "good", parts=4, copies=3)
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    by = r"of-(\d+)"
    bundle = fit(recipe, folder, Settings(**QUICK, group=by), tmp_path / "p.edgead", silent).bundle
    assert bundle.manifest.provenance["images"] == {"fitted_on": 12, "held_out": 6, "parts": 4, "group": by}
    threshold = bundle.manifest.threshold
    assert threshold.n_counted == 4 and "4 groups in 12" in say(threshold.notice())
    assert not {"near-copies", "copies-across"} & {n.code for n in bundle.manifest.notices}
    frames = GoodImages(tuple(sorted(folder.iterdir())), ResizeRule(SIZE))
    wrong = group(frames, r"^(\d)", silent)  # by the copy's number: each part is in every group
    (notice,) = wrong.notices
    assert notice.code == "copies-across" and notice.values["images"] == 12


def test_one_picture_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(Path("good"), [good_image(0)] * 10)
    assert main(["fit", "padim", "good", "-q"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "all 10 images are the same picture" in line and "give images of different parts" in line
    assert {p.name for p in tmp_path.iterdir()} == {"good"}


def test_images_that_hardly_differ_are_told(tmp_path):
    rng = np.random.default_rng(0)
    images = [np.clip(good_image(0) + rng.normal(0, 2, (120, 80, 3)), 0, 255) for _ in range(10)]
    folder = write_images(tmp_path / "good", [image.astype(np.uint8) for image in images])
    frames = GoodImages(tuple(sorted(folder.iterdir())), ResizeRule(SIZE))
    assert "hardly-differ" in {n.code for n in group(frames, None, silent).notices}


def test_the_group_option_reaches_the_bundle_and_is_for_fitting_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(Path("a"), [good_image(i) for i in range(3)])
    write_images(Path("b"), [good_image(i) for i in range(3, 6)])
    words = ["fit", "patchcore", "a", "b", "--size", "96x64", "-q", "--group", "parent", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"]["group"] == "parent" and found["threshold"]["n_counted"] == 2
    manifest = read_bundle(tmp_path / "patchcore.edgead").manifest
    assert manifest.threshold.n_images == 6, "each folder is judged by a fit on the other"
    assert main(["export", "patchcore", "--target", "onnx", "--group", "parent"]) == 2
    assert "--group is for fitting" in capsys.readouterr().err
