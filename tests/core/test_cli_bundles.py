"""The verbs that take a bundle, on a tiny one: its anomaly map is the image's mean over the colours."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from tests.mean_bundle import HEIGHT, WIDTH, picture, write_mean_bundle

pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bundle(folder: Path) -> Path:
    return write_mean_bundle(folder / "mean.edgead")


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(list(words)) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def lines(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_run_prints_one_line_an_image(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new").mkdir()
    cv2.imwrite("new/good.png", picture())
    cv2.imwrite("new/spot.png", picture(200))
    out, _ = run(capsys, "run", "mean.edgead", "new")
    good, spot = lines(out)
    assert good == {
        "source": str(Path("new", "good.png")),
        "score": 50.0,
        "is_anomalous": False,
        "threshold": 100.0,
        "regions": [],
    }
    assert (spot["score"], spot["is_anomalous"]) == (200.0, True)
    assert spot["regions"] == [{"box": [30, 20, 20, 20], "area": 400, "peak": 200.0}]


def test_run_takes_another_threshold_and_a_bare_name(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("good.png", picture())
    (verdict,) = lines(run(capsys, "run", "mean", "good.png", "--threshold", "40")[0])
    assert (verdict["is_anomalous"], verdict["threshold"]) == (True, 40.0)


def test_run_writes_heatmaps_of_the_frames_size(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("spot.png", picture(200))
    run(capsys, "run", "mean.edgead", "spot.png", "--out", "deep/maps")
    drawn = cv2.imread("deep/maps/spot.png.heatmap.png")
    assert drawn is not None and drawn.shape == picture().shape
    assert np.array_equal(drawn[0, 0], [50, 50, 50])  # nothing over what is good
    assert not np.array_equal(drawn[30, 40], [200, 200, 200])


def test_run_goes_on_after_a_bad_image_and_says_so(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "a.png").write_text("no image")
    cv2.imwrite("new/b.png", picture())
    out, err = run(capsys, "run", "mean.edgead", "new", code=2)
    bad, good = lines(out)
    assert "a.png" in str(bad["error"])
    assert good["score"] == 50.0
    assert "1 of 2 couldn't be judged" in err
    _, err = run(capsys, "run", "mean.edgead", "new/a.png", code=2)
    assert "a.png" in err
    assert len(err.strip().splitlines()) == 1


def test_run_reads_a_video(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = cv2.VideoWriter("v.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (2 * WIDTH, 2 * HEIGHT))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    for spot in (0, 0, 250):
        writer.write(picture(spot))
    writer.release()
    frames = lines(run(capsys, "run", "mean.edgead", "v.avi", "--out", "maps")[0])
    assert [frame["frame"] for frame in frames] == [0, 1, 2]
    assert [frame["is_anomalous"] for frame in frames] == [False, False, True]
    assert (folder / "maps" / "v.avi.000002.heatmap.png").is_file()
    assert len(lines(run(capsys, "run", "mean.edgead", "v.avi", "--limit", "2")[0])) == 2


@pytest.mark.parametrize(
    "source, code, message",
    [
        ("nowhere.png", 2, "nowhere.png"),
        ("nowhere", 2, "nowhere"),
        ("broken.avi", 2, "broken.avi"),
        ("empty", 2, "empty"),
    ],
)
def test_run_refuses_what_it_cannot_read(
    bundle: Path, folder: Path, source: str, code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.avi").write_bytes(b"RIFF nothing")
    (folder / "empty").mkdir()
    assert main(["run", "mean.edgead", source]) == code
    assert message in capfd.readouterr().err


def test_run_refuses_an_output_that_is_a_file(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("good.png", picture())
    assert "good.png" in run(capsys, "run", "mean.edgead", "good.png", "--out", "good.png", code=7)[1]


def test_inspect_shows_and_prints_the_manifest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "inspect", str(bundle))
    for text in (
        "mean (scorer mean",
        "layers=layer2,layer3 seed=7",
        "32x48",
        "set by hand",
        "Provenance",
        "1, 2",
    ):
        assert text in out
    document = json.loads(run(capsys, "inspect", str(bundle), "--json")[0])
    content = (bundle / "manifest.json").read_bytes()
    assert document == json.loads(content) | {"manifest_sha256": hashlib.sha256(content).hexdigest()}


def test_what_no_hash_covers_is_named_by_every_verb(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "taught").mkdir()
    (bundle / "taught" / "rows.f32").write_bytes(b"1234")
    for words in (["inspect", str(bundle)], ["verify", str(bundle)]):
        assert "taught/rows.f32" in run(capsys, *words)[0]
    (record,) = json.loads(run(capsys, "verify", str(bundle), "--json")[0])
    assert record["unchecked"] == ["taught/rows.f32"]
    (notice,) = json.loads(run(capsys, "inspect", str(bundle), "--json")[0])["notices"]
    assert notice["code"] == "unchecked-files" and notice["values"]["files"] == 1
    cv2.imwrite(str(folder / "image.png"), picture())
    out, err = run(capsys, "run", str(bundle), str(folder / "image.png"))
    assert "taught/rows.f32" in out + err


def test_verify_tells_a_changed_file(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "verify", str(bundle))[0].startswith(f"ok   {bundle}: 1 file,")
    model = bundle / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    out, err = run(capsys, "verify", str(bundle), code=3)
    assert out == ""
    assert "model.onnx" in err
    out, err = run(capsys, "verify", str(bundle), "nowhere.edgead", code=3)
    assert out.count("BAD") == 2
    assert "2 of 2 bundles" in err


def test_eval_measures_and_says_what_it_cannot(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, spot in (("good", 0), ("scratch", 200), ("stain", 20)):
        (folder / "set" / kind).mkdir(parents=True)
        cv2.imwrite(f"set/{kind}/0.png", picture(spot))
    found = json.loads(run(capsys, "eval", "mean.edgead", "set", "--json")[0])
    # The stain is darker than a good image, so it ties with it: its highest value is the background's.
    assert {kind: of["image_auroc"] for kind, of in found["defects"].items()} == {
        "scratch": 1.0,
        "stain": 0.5,
    }
    assert found["image_auroc"] == 0.75
    assert found["pixel_auroc"] is None
    assert found["undefined"]["pixel_auroc"] == "2 defective images have no mask"
    assert (found["false_alarms"], found["escapes"]) == (0, 1)
    assert found["layout"] == "plain"
    assert "best_threshold_on_test" not in found
    out, _ = run(
        capsys, "eval", "mean.edgead", "set", "--csv", "t.csv", "--verdicts", "v.csv", "--best-threshold"
    )
    assert re.search(r"image AUROC +75.00", out)
    assert "IAP@90: undefined, 2 defective images have no mask" in out
    assert "chosen on these test images" in out
    table = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    assert [(row["defect"], row["image_auroc"]) for row in table] == [
        ("all", "0.75"),
        ("scratch", "1.0"),
        ("stain", "0.5"),
    ]
    assert all(row["pixel_auroc"] == "" for row in table)
    out, _ = run(capsys, "eval", "mean.edgead", "set", "--report", "r.html", "-q")
    assert str(Path("r.html").resolve()) in out and "mean.edgead on set" in Path("r.html").read_text()
    assert "no/r.html" in run(capsys, "eval", "mean.edgead", "set", "--report", "no/r.html", code=7)[1]
    verdicts = list(csv.DictReader(Path("v.csv").read_text().splitlines()))
    assert [row["is_wrong"] for row in verdicts] == ["False", "False", "True"]
    assert verdicts[1]["image"] == "set/scratch/0.png"
    assert "good" in run(capsys, "eval", "mean.edgead", str(bundle), code=2)[1]


def test_bench_compares_bundles(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "bench", "mean.edgead", "mean", "--frames", "3", "--threads", "1", "--json")
    document = json.loads(out)
    assert document["threads"] == 1
    assert len(document["bundles"]) == 2
    for found in document["bundles"]:
        assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"] <= found["max_ms"]
        assert found["frames"] == 3
        assert found["frames_per_second"] > 0
        assert 20e6 < found["peak_memory_bytes"] < 2e9
    out, _ = run(capsys, "bench", "mean.edgead", "--frames", "3")
    header, row, _ = out.splitlines()
    assert header.split()[:2] == ["bundle", "precision"]
    assert row.split()[:3] == ["mean.edgead", "fp32", "onnxruntime"]


# ---------------------------------------------------------------- eval: thresholds, names, several sets


def dataset(root: Path, good: int = 2, bad: int = 2, spot: int = 200) -> Path:
    """A plain data set with masks: good/ and scratch/ of as many images."""
    for kind, count in (("good", good), ("scratch", bad)):
        (root / kind).mkdir(parents=True)
        for number in range(count):
            write(root / kind / f"{number}.png", picture(spot if kind == "scratch" else 0))
    (root / "masks" / "scratch").mkdir(parents=True)
    for number in range(bad):
        mask = (picture(spot)[..., 0] == spot).astype(np.uint8)
        write(root / "masks" / "scratch" / f"{number}.png", mask)
    return root


def write(file: Path, image: np.ndarray) -> None:
    """OpenCV's own writing crashes on a name that isn't text."""
    file.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_eval_at_another_threshold_says_so(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset(folder / "set")
    words = ("eval", "mean.edgead", "set", "--draws", "0")
    own = json.loads(run(capsys, *words, "--json")[0])
    assert (own["threshold"], own["threshold_source"], own["escapes"]) == (100.0, "bundle", 0)
    other = json.loads(run(capsys, *words, "--json", "--threshold", "250")[0])
    assert (other["threshold"], other["threshold_source"], other["escapes"]) == (250.0, "given", 2)
    assert other["bundle_threshold"] == 100.0 and other["image_auroc"] == own["image_auroc"]
    lines = run(capsys, *words)[0].splitlines()
    assert lines[1].startswith("at the bundle's threshold 100 ")
    assert re.fullmatch(r"escapes +0 of 2 +0\.00 +0\.00 - 65\.76", lines[2])
    assert re.match(r"false alarms +0 of 2 +0\.00 +0\.00 - 65\.76 +the thresholds were set by hand", lines[3])
    out, _ = run(capsys, *words, "--threshold", "250", "--report", "r.html", "-q")
    lines = out.splitlines()
    assert lines[1].startswith("at the given threshold 250, not the bundle's 100 ")
    assert re.match(r"escapes +2 of 2 +100\.00", lines[2])
    assert "note: the threshold costs 100% of what F1 lacks" in out and "a lower one" in out
    assert "not the bundle's own" in Path("r.html").read_text("utf-8")
    for wrong in ("nan", "inf"):
        assert "finite" in run(capsys, *words, "--threshold", wrong, code=2)[1]


def test_data_sets_of_one_name_are_told_apart_by_their_paths(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = dataset(folder / "a" / "product"), dataset(folder / "b" / "product", spot=20)
    other = dataset(folder / "b" / "nut")
    words = ("eval", "mean.edgead", str(one), str(two), str(other), "--draws", "0")
    found = json.loads(run(capsys, *words, "--json")[0])
    assert sorted(found["classes"]) == ["a/product", "b/product", "nut"]
    assert found["classes"]["a/product"]["image_auroc"] == 1.0
    assert found["classes"]["b/product"]["image_auroc"] == 0.5
    out, _ = run(capsys, *words)
    assert [line.split()[0] for line in out.splitlines()][1:5] == ["a/product", "b/product", "nut", "mean"]
    assert "verdicts at the bundle's threshold 100" in out
    assert out.splitlines()[0].split()[:5] == ["class", "escapes", "false", "alarms", "image"]
    assert (found["mean"]["escapes_share"], found["mean"]["false_alarms_share"]) == (1 / 3, 0.0)
    assert found["mean"]["image_f1"] == pytest.approx(2 / 3), "1, 0 and 1"
    assert "note: no training images, only test images" in out
    said = run(capsys, "eval", "mean.edgead", str(one), f"{one}/../product", code=2)[1]
    assert "given twice" in said


def test_bundles_of_one_name_are_told_apart(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("a", "b"):
        shutil.copytree(bundle, folder / line / "mean.edgead")
    dataset(folder / "set")
    out, _ = run(capsys, "bench", "a/mean.edgead", "b/mean.edgead", "--frames", "3", "--threads", "1")
    assert [line.split()[0] for line in out.splitlines()][1:3] == ["a/mean.edgead", "b/mean.edgead"]
    out, _ = run(capsys, "compare", "a/mean.edgead", "b/mean.edgead", "-d", "set", "--draws", "20")
    assert out.splitlines()[0].split() == ["%", "a/mean.edgead", "b/mean.edgead"]
    first = [line[:13].split() for line in out.splitlines()[1:5]]
    assert first == [["escapes"], ["false", "alarms"], ["image", "F1"], ["image", "F1-max"]], (
        "these come first"
    )
    assert re.search(r"\n  escapes +\+0\.00 +-65\.76 \.\. \+65\.76 +1\.000\n", out)
    assert "escapes, false alarms and F1 by exact tests" in out
    found = json.loads(run(capsys, "compare", "a/mean.edgead", "b/mean.edgead", "-d", "set", "--json")[0])
    told = found["against_first"][0]["verdicts"]
    assert list(told) == ["escapes", "false_alarms", "image_f1"] and told["escapes"]["p_value"] == 1
    assert found["bundles"][0]["verdicts"]["escapes"]["total"] == 2
    assert "0 of 2 (0.0 %, 95 %: 0.0 - 65.8)" in out
    assert "image AUROC, image AP, image F1-max" in out
    assert "no interval, both are 1 on every draw" in out


def test_all_bad_files_are_named_and_nothing_is_judged(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset(folder / "set", good=3)
    for name in ("set/good/1.png", "set/scratch/0.png"):
        Path(name).write_bytes(Path(name).read_bytes()[:60])
    cv2.imwrite("set/masks/scratch/1.png", np.ones((9, 9), np.uint8))
    for words in (("eval", "mean.edgead", "set"), ("compare", "mean.edgead", "mean", "-d", "set")):
        out, err = run(capsys, *words, code=2)
        assert out == "" and err.count("\n") == 1
        for name in ("set/good/1.png", "set/scratch/0.png", "set/masks/scratch/1.png", "set/scratch/1.png"):
            assert name in err


def test_empty_classes_are_all_named(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset(folder / "set")
    for name in ("dent", "bump"):
        (folder / "set" / name).mkdir()
    err = run(capsys, "eval", "mean.edgead", "set", code=2)[1]
    assert "set/dent: no images in this folder" in err and "set/bump: no images in this folder" in err


@pytest.mark.skipif(sys.platform != "linux", reason="names that aren't text are Linux's")
def test_names_that_are_not_text_cost_no_result(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset(folder / os.fsdecode(b"s\xe9t"))
    for part in ("scratch", "masks/scratch"):
        (root / part / "0.png").rename(root / part / os.fsdecode(b"caf\xe9.png"))
    (root / "masks" / "scratch" / os.fsdecode(b"stray\xff.png")).write_bytes(b"x")
    words = ("eval", "mean.edgead", str(root), "--draws", "20")
    out, _ = run(capsys, *words, "--verdicts", "v.csv", "--csv", "t.csv", "--report", "r.html", "-q")
    assert r"s\xe9t (plain)" in out and r"stray\xff.png for one" in out
    assert r"s\xe9t/scratch/caf\xe9.png" in Path("v.csv").read_text("utf-8")
    page = Path("r.html").read_text("utf-8")
    assert r"on s\xe9t" in page and r"scratch/caf\\xe9.png" in page
    found = json.loads(run(capsys, *words, "--json")[0].encode("utf-8"))
    assert found["dataset"].endswith(r"s\xe9t") and found["pixel_auroc"] == 1.0
    assert run(capsys, "datasets", str(root))[0].encode("utf-8")
    json.loads(run(capsys, "datasets", str(root), "--json")[0].encode("utf-8"))
    run(capsys, "compare", "mean", "mean.edgead", "-d", str(root), "--draws", "20")[0].encode("utf-8")
    run(capsys, *words[:3], str(dataset(folder / "other")), "--draws", "0")[0].encode("utf-8")
    (root / "scratch" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"broken")
    assert r"caf\xe9.png: the content is not" in run(capsys, *words, code=2)[1]


def test_a_bundles_facts_are_shown_for_people() -> None:
    from edgead.cli.readable import readable

    assert readable(0.12345678) == "0.1235" and readable(20480) == "20,480"
    assert readable("ab" * 32) == "ab" * 8 and readable("ab" * 31) == "ab" * 31
    assert readable([1, None, True]) == "1, none, yes" and readable({}) == "none"
    assert readable({"int8_bytes": 3, "rows": 4}) == "int8 bytes 3, rows 4"


@pytest.mark.parametrize(
    "reports",
    [
        {"forms": "not a list"},
        {"forms": [{"precision": "fp32"}]},
        {"forms": [None]},
        {"forms": [{"precision": "int8", "misses": [], "parity": 3, "separation": None, "model_bytes": 1}]},
        {"mine": {"a": {"b": {"c": 1}}}},
    ],
)
def test_reports_of_another_version_are_shown_as_they_are(
    reports: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    from edgead.cli.readable import print_reports

    print_reports(reports)
    out = capsys.readouterr().out
    assert "Reports" in out and "Gates" not in out
