"""``edgead demo`` on a few small parts: what it says is what its bundle does, and refusals are told."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.datasets import find_samples
from edgead.demo import demo
from edgead.errors import MissingDependencyError, PrecisionError
from edgead.evaluation.report import gallery
from edgead.images import read_image
from edgead.notices import Notice
from edgead.progress import silent

SMALL = {"N_TRAIN": 10, "N_GOOD": 3, "N_BAD_PER_KIND": 1, "SMALLEST": 64, "BENCH_FRAMES": 3}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    """One small run: its folder, its JSON and the thresholds that the heatmaps were drawn with."""
    out = tmp_path_factory.mktemp("demo") / "réel"
    drawn = []
    real = gallery.overlay

    def watched(frame, anomaly_map, threshold, **more):
        drawn.append(threshold)
        return real(frame, anomaly_map, threshold, **more)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(demo, name, value)
        patch.setattr(gallery, "overlay", watched)
        result = demo.run_demo(out, 3, silent)
    return SimpleNamespace(out=out, result=result, document=demo.record(result), drawn=drawn)


def test_the_verdicts_are_those_of_the_shipped_bundle(ran):
    detector = edgead.load(ran.document["bundle"])
    samples = find_samples(ran.out / "product")
    assert [s.is_good for s in samples] == [True] * 3 + [False] * 8
    over = [detector(read_image(s.image)).score > detector.bundle.manifest.threshold.score for s in samples]
    found = ran.document["evaluation"]
    assert (found["false_alarms"], found["escapes"]) == (sum(over[:3]), 8 - sum(over[3:]))
    assert ran.drawn == [detector.bundle.manifest.threshold.pixel] * len(samples)


def test_the_page_and_both_forms_are_there(ran):
    names = {path.name for path in ran.out.iterdir()}
    assert names == {
        *("product", "demo.html", "patchcore.edgead"),
        *("patchcore-openvino.edgead", "patchcore-openvino-fp32.edgead"),
    }
    assert read_bundle(ran.out / "patchcore-openvino-fp32.edgead").manifest.precision == "fp32"
    shipped = read_bundle(ran.out / "patchcore-openvino.edgead").manifest.precision
    assert shipped == ran.document["precision"]
    assert list(ran.document["latencies"]) == list(dict.fromkeys(["FP32", demo.LABELS[shipped]]))
    page = ran.result.page.read_text("utf-8")
    found = ran.document["evaluation"]
    assert f"{found['escapes']} of 8 defective images escape" in page
    assert f"{found['false_alarms']} of 3 good ones" in page
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert len(json.loads(data)["names"]) == 11
    (times,) = re.findall(r'<h2 id="latency-title">.*?</section>', page, re.DOTALL)
    assert all(f'<th scope="row">{form}' in times for form in ran.document["latencies"])
    assert ran.document["note"].split(",")[0] in page
    json.dumps(ran.document, allow_nan=False)


def test_the_commands_on_the_page_are_known(ran, capsys):
    page = ran.result.page.read_text("utf-8")
    words = re.search(r"folder: (edgead fit .*?); (edgead export .*?); (edgead eval .*?)</dd>", page)
    for command in words.groups():
        verb = command.split()[1]
        assert main([verb, "--help"]) == 0
        usage = capsys.readouterr().out
        assert all(flag in usage for flag in re.findall(r" (--?[a-z]+)", command))


def exporting(monkeypatch, refused):
    """Replace the export by one that refuses INT8, and tells so where all forms are tried."""
    asked = []

    def fake(reference, exporter, precision, out, progress):
        asked.append((precision, out.name))
        if precision == "int8":
            raise PrecisionError("precision int8 misses a gate")
        chosen = "mixed" if precision == "auto" else precision
        forms = [
            SimpleNamespace(precision="int8", misses=refused),
            SimpleNamespace(precision=chosen, misses=[]),
        ]
        return SimpleNamespace(chosen=chosen, forms=forms)

    monkeypatch.setattr(demo, "export", fake)
    return asked


def test_where_int8_is_refused_the_next_form_ships_and_the_reason_is_told(monkeypatch):
    asked = exporting(monkeypatch, [Notice("form-failed", {"reason": "precision: loses 2.00 points"})])
    reference, shipped, note = demo._export(None, Path("d"), silent)
    assert asked == [
        ("fp32", "patchcore-openvino-fp32.edgead"),
        *((form, "patchcore-openvino.edgead") for form in ("int8", "auto")),
    ]
    assert (reference.chosen, shipped.chosen) == ("fp32", "mixed")
    assert note.startswith("mixed, ") and "INT8 was refused: precision: loses 2.00 points" in note


@pytest.fixture
def no_work(monkeypatch):
    """Fail where anything is drawn or fitted."""

    def fail(*words, **more):
        raise AssertionError("work was done")

    monkeypatch.setattr(demo, "fit", fail)
    return monkeypatch


def test_a_missing_engine_shows_before_any_work(no_work, tmp_path, capsys):
    def missing():
        raise MissingDependencyError('openvino isn\'t installed: pip install "edgead[openvino]"')

    no_work.setattr(demo, "import_openvino", missing)
    assert main(["demo", "--out", str(tmp_path / "d")]) == 5
    assert "edgead[openvino]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="folders elsewhere answer differently")
def test_an_output_in_the_way_of_a_file_is_one_line(no_work, tmp_path, capsys):
    (tmp_path / "d").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "d")]) == 7
    captured = capsys.readouterr()
    assert len(captured.err.strip().splitlines()) == 1 and captured.out == ""
    assert (tmp_path / "d").read_text() == "mine"


def test_the_summary_tells_the_figures(ran, monkeypatch, capsys):
    monkeypatch.setattr(demo, "run_demo", lambda *words: ran.result)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    found, times = ran.result.evaluation, ran.document["latencies"]
    assert f"{len(found.bad) - found.escapes} of {len(found.bad)} defective parts found" in out
    image, pixel = (100 * found.metrics[name].value for name in ("image_auroc", "pixel_auroc"))
    assert f"AUROC {image:.2f} % by image, {pixel:.2f} % by pixel" in out
    assert f"FP32 {times['FP32']['p50_ms']:.1f} ms" in out
    assert str(ran.result.page.resolve()) in out
    assert main(["demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ran.document
