"""``edgead calibrate`` and ``edgead.calibrate``: what they set, say, keep and refuse."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.cli.calibrate import command
from edgead.device import recalibrate as room
from edgead.errors import (
    BundleError,
    DatasetError,
    EdgeadError,
    ImageError,
    InputError,
    MissingDependencyError,
    OptionError,
    OutputError,
    ParityError,
    UnknownNameError,
)
from edgead.held_out import HeldOut
from tests.mean_bundle import HEIGHT, WIDTH, write_mean_bundle

pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")

HELD_OUT = np.arange(51, 91, dtype=np.float32)  # 40 scores, 51 to 90
GOOD = [40 + i for i in range(30)]  # 40 to 69
CRACKS, STAINS = [95, 96, 97, 98, 99], [75, 80, 200]


def image(level: int, seed: int) -> np.ndarray:
    """A noisy dark image, unlike the others, with one pixel of this brightness: its score."""
    rng = np.random.default_rng(seed)
    made = np.repeat(rng.integers(0, 30, (HEIGHT, WIDTH, 1)), 3, axis=2).astype(np.uint8)
    made[16, 24] = level
    return made


def write(folder: Path, levels: list[int]) -> Path:
    folder.mkdir(parents=True)
    for index, level in enumerate(levels):
        cv2.imwrite(str(folder / f"{index:02d}.png"), image(level, 1000 * len(folder.name) + index))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mean.edgead with ``HELD_OUT``, good/, and rejects/ with cracks and stains, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good", GOOD)
    write(tmp_path / "rejects" / "crack", CRACKS)
    write(tmp_path / "rejects" / "stain", STAINS)
    areas = np.repeat(np.array([0.001, 0.02, 0.3], np.float32), 4)
    synthetic = np.linspace(60, 140, 12, dtype=np.float32)
    figures = HeldOut(HELD_OUT, HELD_OUT + 1, defects=synthetic, areas=areas)
    return write_mean_bundle(tmp_path / "mean.edgead", held_out=figures)


def limit(scores: Any, rate: float) -> float:
    """The threshold for a rate that the scores show: between two, where they fall off exponentially."""
    ordered, over = sorted(map(float, scores), reverse=True), rate * (len(scores) + 1)
    whole = int(over + 1e-9)
    low, high = ordered[whole], ordered[whole - 1]
    return high if over - whole < 1e-9 else low + (high - low) * whole * ((whole + 1) / over - 1)


def by_shell(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    assert main(["calibrate", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


# ---------------------------------------------------------------- what is set


def test_from_the_held_out_scores_alone(bundle: Path) -> None:
    done = edgead.calibrate(bundle, false_positive_rate=0.1, by="anna", why="a test")
    record, wanted = read_bundle(bundle).manifest.threshold, limit(HELD_OUT, 0.1)
    assert 86.0 < wanted < 87.0 and record.rule == "interpolated"
    assert (record.score, record.pixel) == pytest.approx((wanted, wanted + 1), rel=1e-6)
    assert record.expected_rate == pytest.approx(0.1) and record.n_images == 40
    assert done.threshold == record.score == edgead.load(done).threshold
    assert done.revision == read_bundle(bundle).revision and done.revision.by == "anna"
    assert done.revision.source["good"] == {"held_out": 40}
    assert done.revision.source["options"] == {"false_positive_rate": 0.1}
    assert done.found.synthetic and done.found.chosen.found["large"].count == 4  # synthetic, by size
    assert not any(n.code.endswith("defects-found") for n in done.notices)


def test_without_a_word_the_rate_so_far_holds(bundle: Path) -> None:
    wanted = pytest.approx(limit(HELD_OUT, 0.1))
    assert edgead.calibrate(bundle, false_positive_rate=0.1).threshold == wanted
    assert edgead.calibrate(bundle, threshold=5.0).threshold == 5.0
    done = edgead.calibrate(bundle)
    assert done.threshold == wanted and done.found.after.false_positive_rate == 0.1


def test_good_images_replace_the_held_out_ones_or_join_them(bundle: Path) -> None:
    done = edgead.calibrate(bundle, good="good", false_positive_rate=0.1, dry_run=True)
    assert done.threshold == pytest.approx(limit(GOOD, 0.1))
    assert done.found.after.n_images == done.found.trade_off.n_good == 30
    both = edgead.calibrate(bundle, good="good", keep_held_out=True, false_positive_rate=0.1, dry_run=True)
    assert both.threshold == pytest.approx(limit([*GOOD, *HELD_OUT], 0.1))
    assert both.found.after.n_images == 70
    assert done.revision is None and read_bundle(bundle).revision is None


def test_defects_are_counted_by_kind(bundle: Path) -> None:
    done = edgead.calibrate(bundle, good="good", defects="rejects", false_positive_rate=0.1)
    found = done.found.chosen.found
    assert {kind: (each.count, each.total) for kind, each in found.items()} == {
        "crack": (5, 5),
        "stain": (3, 3),
    }
    # so far 100: one stain of 200 alone
    assert {k: f.count for k, f in done.found.trade_off.current.found.items()} == {"crack": 0, "stain": 1}
    assert done.revision.source["defects"]["kinds"]["crack"] == {"found": 5, "images": 5}
    assert any(n.code == "few-defects-found" and n.values["least"] > 0.68 for n in done.notices)


def test_recall_says_what_becomes_of_kinds_without_a_say(bundle: Path) -> None:
    done = edgead.calibrate(bundle, good="good", defects="rejects", recall=1.0, kinds=["crack"])
    assert 80.0 <= done.threshold < 95.0 and done.found.after.rule == "recall"
    assert {k: (f.count, f.total) for k, f in done.found.unchosen.items()} == {"stain": (1, 3)}
    assert done.found.other_kinds == {}
    all_kinds = edgead.calibrate(bundle, good="good", defects="rejects", recall=1.0, dry_run=True)
    assert 69.0 <= all_kinds.threshold < 75.0
    # each judged by the others' threshold: stains choose 72, cracks 87.5
    assert {k: f.count for k, f in all_kinds.found.other_kinds.items()} == {"crack": 5, "stain": 1}
    assert all_kinds.found.after.expected_rate == pytest.approx(1 / 31)


def test_one_defect_is_enough(bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "one", [97])
    done = edgead.calibrate(bundle, good="good", defects="one", recall=0.9)
    assert 69.0 <= done.threshold < 97.0
    codes = {notice.code for notice in done.notices}
    assert {"few-defects-found", "one-kind"} <= codes
    assert "at least 5%" in " ".join(map(str, done.notices))  # 1 of 1: 0.05 ** (1 / 1)
    assert "kind, one," in " ".join(map(str, done.notices))


def test_cost_weighs_misses_against_alarms(bundle: Path) -> None:
    dear = edgead.calibrate(bundle, defects="rejects", cost="100000:1", dry_run=True)
    cheap = edgead.calibrate(bundle, defects="rejects", cost=(1, 1000), dry_run=True)
    assert dear.threshold == 74.5 and cheap.threshold == 92.5  # between the next images on either side
    assert dear.found.after.rule == "cost" and dear.found.cost[2] == 0.01
    assert dear.found.cost[1] <= dear.found.cost[0]
    share = edgead.calibrate(bundle, defects="rejects", cost="1:1", defect_share=0.9, dry_run=True)
    assert share.found.cost[2] == 0.9 and share.threshold == 74.5


def test_a_threshold_by_hand_leaves_the_pixels_and_is_told_of(bundle: Path) -> None:
    done = edgead.calibrate(bundle, threshold=85.0)
    record = done.found.after
    assert (record.score, record.pixel, record.rule) == (85.0, 100.0, "given")
    assert record.expected_rate == pytest.approx(6 / 41)  # 86 to 90 are over
    assert "expect 14.63% of good images" in str(record.notice())


def test_pixels_are_set_on_false_regions(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    for index in range(29):  # one blob each, of 3 x 3 pixels, in the i-th brightness
        made = image(0, 77 + index)
        made[8:11, 8:11] = 100 + index
        cv2.imwrite(str(folder / f"{index:02d}.png"), made)
    done = edgead.calibrate(bundle, good=folder, pixel_regions=0.2, smallest_area=9)
    # floor(0.2 * 30) - 1 = 5 regions may be left: those of 124 to 128
    assert done.found.after.pixel == pytest.approx(123, rel=2e-4) and done.found.regions.regions == 5
    assert edgead.load(bundle).limits().smallest_area == 9
    kept = edgead.calibrate(bundle, good=folder, false_positive_rate=0.1)
    assert (kept.found.after.pixel, kept.found.after.smallest_area) == (done.found.after.pixel, 9)
    assert "pixel-kept" in {notice.code for notice in kept.notices}
    larger = edgead.calibrate(bundle, good=folder, pixel_regions=0.2, smallest_area=10)
    assert larger.found.after.pixel < 100  # none of them is so large
    with pytest.raises(OptionError, match="a whole map has 1536 pixels"):
        edgead.calibrate(bundle, good=folder, pixel_regions=0.2, smallest_area=2000)


def test_each_product_has_its_own(bundle: Path) -> None:
    done = edgead.calibrate(bundle, product="nut", good="good", false_positive_rate=0.1)
    assert done.found.is_new and done.product == "nut"
    assert done.threshold == pytest.approx(limit(GOOD, 0.1))
    now = read_bundle(bundle).manifest.thresholds
    assert {name: each.score for name, each in now.items()} == {"default": 100.0, "nut": done.threshold}
    again = edgead.calibrate(bundle, product="nut", threshold=50.0)
    assert not again.found.is_new and again.found.before.score == done.threshold
    assert "product-of-default" in {notice.code for notice in again.notices}
    assert edgead.load(bundle, product="nut").threshold == 50.0


def test_near_copies_and_named_groups_count_once(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for index in range(20):
        for copy in "ab":
            cv2.imwrite(str(folder / f"{index:02d}{copy}.png"), image(50 + index, 10 + index))
    found = edgead.calibrate(bundle, good=folder, dry_run=True)
    assert (found.found.after.n_images, found.found.after.n_counted) == (40, 20)
    assert found.found.after.counted == "parts" and "near-copies" in {n.code for n in found.notices}
    named = edgead.calibrate(bundle, good=folder, group=r"^(\d)", dry_run=True).found.after
    assert (named.n_counted, named.counted) == (2, "groups")


def test_images_that_look_learned_or_out_of_focus_are_doubted(bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "learned", [31 + i for i in range(10)])
    write(tmp_path / "brighter", [105 + i for i in range(10)])
    low = edgead.calibrate(bundle, good="learned", dry_run=True)
    high = edgead.calibrate(bundle, good="brighter", dry_run=True)
    assert "look-learned" in {n.code for n in low.notices}
    assert "10 of 10 good images are over" in " ".join(map(str, high.notices))
    assert not {n.code for n in edgead.calibrate(bundle, good="good", dry_run=True).notices} & {
        "look-learned",
        "good-over",
    }


def test_going_back_to_the_held_out_images_is_said(bundle: Path) -> None:
    edgead.calibrate(bundle, good="good")
    done = edgead.calibrate(bundle)
    assert any(n.code == "held-out-again" and n.values["images"] == 30 for n in done.notices)


# ---------------------------------------------------------------- what is kept


def test_a_revision_says_from_what(bundle: Path) -> None:
    done = edgead.calibrate(
        bundle, good="good", defects=Path("rejects"), recall=0.9, why=" too many\nescapes "
    )
    source, digests = done.revision.source, []
    for path in sorted(Path("good").iterdir()):
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    wanted = hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
    assert source["good"] == {"images": 30, "folders": ["good"], "sha256": wanted}
    assert source["defects"]["images"] == 8 and source["defects"]["folders"] == ["rejects"]
    assert source["options"] == {"recall": 0.9} and "onnxruntime" in source["runs_on"]
    assert done.revision.why == "too many escapes"
    assert str(bundle.parent) not in json.dumps(dict(source))  # names, no paths


def test_undo_and_restore(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edgead.calibrate(bundle, threshold=50.0)
    edgead.calibrate(bundle, threshold=60.0)
    done = edgead.calibrate(bundle, undo=True, by="bert", why="wrong light")
    assert done.threshold == 50.0 and done.found is None and done.notices == ()
    assert "revision 3" in repr(done)
    out, _ = by_shell(capsys, bundle, "--undo")
    assert "set back to the exported one" in out and "image score 100" in out
    assert edgead.calibrate(bundle, restore=2).threshold == 60.0
    out, _ = by_shell(capsys, bundle, "--revisions")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list("012345")
    assert re.search(r"3\s+\S+Z\s+bert\s+default 50\s+back to 1: wrong light", out)
    told = json.loads(by_shell(capsys, bundle, "--revisions", "--json")[0])
    assert told["exported"]["default"]["score"] == 100.0
    assert [each["number"] for each in told["revisions"]] == [1, 2, 3, 4, 5]
    assert told["revisions"][2]["restores"] == 1
    for words in (
        {"undo": True, "restore": 1},
        {"undo": True, "threshold": 5},
        {"restore": 1, "dry_run": True},
    ):
        with pytest.raises(OptionError):
            edgead.calibrate(bundle, **words)
    assert len(read_bundle(bundle).revisions) == 5


# ---------------------------------------------------------------- what is said


def test_the_shell_says_and_does_the_same(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--good", "good", "--defects", "rejects", "--recall", "0.8", "--why", "x", "--by", "anna")
    out, err = by_shell(capsys, bundle, *words, "--plot", "p.svg")
    done = edgead.calibrate(
        bundle, good="good", defects="rejects", recall=0.8, why="x", by="anna", plot="q.svg"
    )
    first, second = read_bundle(bundle).revisions
    assert (first.thresholds, first.source, first.by) == (second.thresholds, second.source, second.by)
    assert out.startswith(f"{bundle}: threshold of default {done.threshold:.6g}, so far 100; anomaly map ")
    for row in ("0.10 %", "1.00 %", "3.00 %", "5.00 %", "10.00 %", "so far", "new"):
        assert re.search(rf"^{re.escape(row)} ", out, re.M), row
    assert re.search(r"^so far +100 +3.23 % +9.50 % +0 of 5 \(0-43 %\) +1 of 3 \(6-79 %\)$", out, re.M)
    assert "when other kinds choose" in out and re.search(
        r"^revision 1, by anna; back: edgead calibrate", out, re.M
    )
    assert "note: 7 of 8 defects found: that shows at least 53%" in err
    assert Path("p.svg").stat().st_size > 4000 and "picture: p.svg" in out
    out, _ = by_shell(capsys, bundle, *words, "--dry-run")
    assert "a dry run: nothing is written" in out and len(read_bundle(bundle).revisions) == 2


def test_json_has_all_of_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--good", "good", "--defects", "rejects", "--cost", "100:1", "--pixel-regions", "0.2")
    told = json.loads(by_shell(capsys, bundle, *words, "--json")[0])
    assert set(told) == {
        *(
            "bundle",
            "product",
            "threshold",
            "dry_run",
            "revision",
            "thresholds",
            "new_product",
            "before",
            "after",
        ),
        *(
            "trade_off",
            "chosen",
            "synthetic_defects",
            "other_kinds",
            "unchosen",
            "regions",
            "cost",
            "notices",
        ),
    }
    assert told["revision"]["number"] == 1 and told["revision"]["text"].startswith(
        "the threshold was revised"
    )
    assert told["thresholds"]["default"]["score"] == told["threshold"] == told["after"]["score"]
    assert told["before"]["score"] == 100.0 and "note" in told["after"]
    rows = told["trade_off"]["rows"]
    assert [row["rate"] for row in rows] == [0.001, 0.01, 0.03, 0.05, 0.1]
    crack = rows[0]["found"]["crack"]
    assert set(crack) == {"count", "total", "interval", "at_least"} and crack["total"] == 5
    assert set(told["other_kinds"]) == {"crack", "stain"} and set(told["cost"]) == set(room.COST)
    assert {"threshold", "smallest_area", "asked", "expected", "upper"} <= set(told["regions"])
    assert all(set(notice) == {"code", "values", "text"} for notice in told["notices"])
    told = json.loads(by_shell(capsys, bundle, "--undo", "--json")[0])
    assert told["thresholds"]["default"]["score"] == 100.0 and told["revision"]["restores"] == 0


def test_many_kinds_have_one_column_together(bundle: Path, tmp_path: Path, capsys: Any) -> None:
    for index in range(6):
        write(tmp_path / "many" / f"kind{index}", [95])
    out, _ = by_shell(capsys, bundle, "--good", "good", "--defects", "many", "--dry-run")
    assert re.search(r"^new .* 6 of 6 \(61-100 %\)$", out, re.M) and "kind0" not in out


def test_a_verdict_follows_at_once(bundle: Path) -> None:
    frame = image(97, 5)
    assert not edgead.load(bundle)(frame).is_anomalous
    edgead.calibrate(bundle, good="good", defects="rejects", recall=1.0)
    assert edgead.load(bundle)(frame).is_anomalous


PAIRS = {"revisions", "quiet", "as_json"}


def test_the_verb_has_the_calls_words_and_defaults() -> None:
    options = {parameter.name: parameter for parameter in command.params}
    parameters = inspect.signature(edgead.calibrate).parameters
    assert set(options) - PAIRS == set(parameters) - {"progress"}
    for name, parameter in parameters.items():
        option = options.get(name)
        if option is None or option.multiple or parameter.default is inspect.Parameter.empty:
            continue
        theirs = option.default if isinstance(option.default, str | int | float) else None
        theirs = bool(theirs) if option.is_flag else theirs
        assert theirs == parameter.default, name


# ---------------------------------------------------------------- what is refused


REFUSED: dict[str, tuple[dict[str, Any], type[EdgeadError], str]] = {
    "two aims": ({"false_positive_rate": 0.1, "threshold": 3.0}, OptionError, "exclude each other"),
    "two of defects": ({"defects": "rejects", "recall": 1, "cost": "1:1"}, OptionError, "exclude each other"),
    "a rate of nothing": ({"false_positive_rate": 0.0}, OptionError, "between 0 and 1"),
    "a rate of all": ({"false_positive_rate": 1.0}, OptionError, "between 0 and 1"),
    "a recall over all": ({"defects": "rejects", "recall": 1.1}, OptionError, "up to 1"),
    "a recall of nothing": ({"defects": "rejects", "recall": 0.0}, OptionError, "over 0"),
    "a cost of one": ({"defects": "rejects", "cost": "5"}, OptionError, "100:1"),
    "a cost of words": ({"defects": "rejects", "cost": "a:b"}, OptionError, "100:1"),
    "a cost of nothing": ({"defects": "rejects", "cost": "0:1"}, OptionError, "over 0"),
    "endless": ({"defects": "rejects", "cost": "inf:1"}, OptionError, "over 0"),
    "no number": ({"threshold": float("nan")}, OptionError, "finite"),
    "recall without defects": ({"recall": 0.9}, OptionError, "defects"),
    "cost without defects": ({"cost": "1:1"}, OptionError, "defects"),
    "kinds without defects": ({"kinds": ["crack"]}, OptionError, "defects"),
    "regions without images": ({"pixel_regions": 0.1}, OptionError, "good"),
    "a smallest area alone": ({"smallest_area": 9}, OptionError, "pixel_regions"),
    "a group alone": ({"group": "parent"}, OptionError, "good"),
    "held-out ones beside nothing": ({"keep_held_out": True}, OptionError, "good"),
    "a share without cost": ({"defect_share": 0.1}, OptionError, "cost"),
    "a region a frame": ({"good": "good", "pixel_regions": 1.0}, OptionError, "under 1"),
    "a tiny area": ({"good": "good", "pixel_regions": 0.1, "smallest_area": 3}, OptionError, "at least 4"),
    "an odd product": ({"product": "../x"}, OptionError, "plain name"),
    "a kind that isn't there": (
        {"defects": "rejects", "recall": 1.0, "kinds": ["crakc"]}, UnknownNameError, "did you mean crack"
    ),
    "no such folder": ({"good": "nowhere"}, DatasetError, "no such folder"),
    "no such defects": ({"defects": "nowhere"}, DatasetError, "no such folder"),
    "a file of defects": ({"defects": "good/00.png"}, DatasetError, "a file"),
    "no images": ({"defects": "mean.edgead"}, DatasetError, "no images"),
    "another picture": ({"defects": "rejects", "plot": "x.gif"}, OutputError, "ending"),
    "a picture nowhere": ({"defects": "rejects", "plot": "nowhere/x.svg"}, OutputError, "doesn't exist"),
    "a picture of nothing": ({"good": "good", "plot": "x.svg", "group": "(.)."}, OptionError, "defects"),
    "nothing to undo": ({"undo": True}, InputError, "nothing to undo"),
    "no such revision": ({"restore": 7}, InputError, "no revision 7"),
    "a long reason": ({"why": "x" * 3000}, OptionError, "2000"),
    "no text": ({"by": 3}, OptionError, "a name"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_line(
    words: dict[str, Any], error: type[EdgeadError], says: str, bundle: Path
) -> None:
    if words.get("group") == "(.).":
        write_mean_bundle(bundle, held_out=HeldOut(HELD_OUT, HELD_OUT))  # no synthetic defects either
    with pytest.raises(error, match=re.escape(says)) as caught:
        edgead.calibrate(bundle, **words)
    assert "\n" not in str(caught.value)
    assert read_bundle(bundle).revision is None


def test_good_images_among_defects_are_refused(bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "test" / "good", [50])
    write(tmp_path / "test" / "crack", [95])
    with pytest.raises(DatasetError, match="subfolder 'good' is of good images"):
        edgead.calibrate(bundle, defects="test")


def test_files_that_are_no_images_are_named_and_nothing_is_written(bundle: Path) -> None:
    for name in ("good/05.png", "good/07.png"):
        Path(name).write_bytes(Path(name).read_bytes()[:100])
    with pytest.raises(ImageError, match=r"2 of 30 images can't be used.*05\.png.*07\.png"):
        edgead.calibrate(bundle, good="good")
    assert read_bundle(bundle).revision is None


def test_a_bundle_without_scores_takes_images(tmp_path: Path, bundle: Path) -> None:
    path = write_mean_bundle(tmp_path / "bare.edgead")
    for words in ({}, {"threshold": 5.0}, {"good": "good", "keep_held_out": True}):
        with pytest.raises(DatasetError, match="keeps no scores of held-out good images"):
            edgead.calibrate(path, **words)
    assert edgead.calibrate(path, good="good", false_positive_rate=0.1).threshold == pytest.approx(
        limit(GOOD, 0.1)
    )


def test_a_reference_bundle_is_refused_with_the_next_step(reference_bundle: Any) -> None:
    with pytest.raises(InputError, match="export it, and calibrate what export writes"):
        edgead.calibrate(reference_bundle)


def test_a_damaged_revision_ends_it(bundle: Path) -> None:
    edgead.calibrate(bundle, threshold=50.0)
    (bundle / "revisions" / "0001.json").write_bytes(b"{}")
    with pytest.raises(BundleError):
        edgead.calibrate(bundle, threshold=60.0)
    with pytest.raises(BundleError):
        edgead.load(bundle)


# ---------------------------------------------------------------- proven before it's written


@pytest.fixture
def proven(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[EdgeadError]], None]:
    """Let this machine's proof of any detector fail."""

    def fail(error: type[EdgeadError]) -> None:
        def prove(read: edgead.Bundle, *_: object) -> None:
            if read.manifest.threshold.score != 100.0:
                raise error(f"{read.path}: other numbers")

        monkeypatch.setattr("edgead.runtime.detector.prove", prove)

    return fail


@pytest.mark.parametrize("words", [{"threshold": 1.0}, {"good": "good", "recall": 1.0, "defects": "rejects"}])
def test_what_a_detector_would_not_load_is_not_written(words: Any, bundle: Path, proven: Any) -> None:
    proven(ParityError)
    with pytest.raises(ParityError, match="wouldn't load, so nothing is written"):
        edgead.calibrate(bundle, **words)
    assert read_bundle(bundle).revision is None


def test_where_no_engine_is_that_is_said(bundle: Path, proven: Any) -> None:
    proven(MissingDependencyError)
    done = edgead.calibrate(bundle, threshold=50.0)
    assert [n.code for n in done.notices] == ["not-proven"] and done.revision is not None


# ---------------------------------------------------------------- on the camera


def test_it_needs_an_engine_numpy_and_opencv_alone(bundle: Path) -> None:
    from tests.core.test_torch_wall import WORKBENCH

    code = (
        "import edgead, sys, json\n"
        "edgead.calibrate('mean.edgead', good='good', defects='rejects', recall=0.9, pixel_regions=0.2, "
        "plot='x.svg')\n"
        "edgead.calibrate('mean.edgead', undo=True)\n"
        "from edgead.cli import main\n"
        "main(['calibrate', 'mean.edgead', '--good', 'good', '--defects', 'rejects', '--fpr', '0.1'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {*WORKBENCH, "openvino", "edgead_plugins", "edgead_exporters", "jinja2"}
    assert len(read_bundle(bundle).revisions) == 3


# ---------------------------------------------------------------- docs/calibrate.md


PAGE = (Path(__file__).parents[2] / "docs" / "calibrate.md").read_text("utf-8")


@pytest.fixture
def line(bundle: Path, tmp_path: Path) -> Path:
    """What the page speaks of: part.edgead, line/good and line/rejects."""
    (tmp_path / "line").mkdir()
    Path("good").rename("line/good")
    Path("rejects").rename("line/rejects")
    return bundle.rename(tmp_path / "part.edgead")


def test_the_pages_commands_run(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ edgead (.+)$", PAGE, re.M)
    assert len(commands) == 7
    for words in map(shlex.split, commands):
        assert main(words) == 0, (words, capsys.readouterr().err)
    assert len(read_bundle(line).revisions) == 6 and Path("trade-off.svg").is_file()
    assert read_bundle(line).revisions[2].why == "escapes in lot 7"
    assert read_bundle(line).revisions[-1].restores == 4


def test_the_pages_code_runs(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(code, "docs/calibrate.md", "exec"), {})
    out = capsys.readouterr().out
    assert "expect" in out and "the threshold was revised" in out and "escapes in lot 7" in out
    assert len(read_bundle(line).revisions) == 2


def test_the_page_names_every_option_and_its_links_lead_somewhere() -> None:
    own = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    shared = {"--device", "--engine", "--threads", "--depth", "--quiet"}
    assert not {name for name in own - shared if name not in PAGE}
    for file, anchor in re.findall(r"\]\(([a-z-]+\.md)#?([\w-]*)\)", PAGE):
        text = (Path(__file__).parents[2] / "docs" / file).read_text("utf-8")
        headings = [
            h.strip().lower().replace(" ", "-").rstrip("/") for h in re.findall(r"^#+ (.*)$", text, re.M)
        ]
        assert not anchor or anchor in headings, (file, anchor)
