"""Thresholds by product: each frame by its own, and a name that isn't known is never the default."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import Note, add_revision, read_bundle
from edgead.cli import main
from edgead.errors import OptionError, UnknownNameError
from tests.mean_bundle import picture, write_mean_bundle


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Anomalous over 100; ``bright`` over 180, where the map is over 190; ``dark`` over 60."""
    monkeypatch.chdir(tmp_path)
    path = write_mean_bundle(tmp_path / "mean.edgead")
    read = read_bundle(path)
    own = read.manifest.threshold
    changed = {"bright": replace(own, score=180.0, pixel=190.0), "dark": replace(own, score=60.0)}
    add_revision(read, changed, Note())
    cv2.imwrite("x.png", picture(170))
    return path


def test_each_frame_is_judged_by_its_products_thresholds(bundle: Path) -> None:
    detector = edgead.load(bundle)
    assert (detector.product, detector.threshold) == ("default", 100.0)
    for product, spot, anomalous in (
        ("bright", 170, False),
        ("bright", 185, True),
        ("dark", 70, True),
        ("default", 70, False),
        (None, 170, True),
    ):
        frame = picture(spot)
        found = detector(frame, product=product)
        limits = detector.limits(product)
        assert found.is_anomalous is anomalous and found.threshold == limits.score
        assert found.placement.pixel_threshold == limits.pixel
        assert (found.mask == ((found.anomaly_map > limits.pixel) if anomalous else False)).all()
        assert detector.start(frame, product=product).wait() == found
        assert list(detector.map([frame, frame], product=product)) == [found, found]
        assert edgead.load(bundle, product=product)(frame) == found


def test_a_detector_for_one_product_takes_others_too(bundle: Path) -> None:
    detector = edgead.load(bundle, product="bright")
    assert (detector.product, detector.threshold) == ("bright", 180.0)
    assert detector(picture(170)).threshold == 180.0
    assert detector(picture(170), product="default").threshold == 100.0
    assert detector.with_throughput().threshold == 180.0
    given = edgead.load(bundle, product="bright", threshold=120.0)
    assert given.threshold == 120.0 and given(picture(130), product="dark").threshold == 120.0
    assert given(picture(130)).placement.pixel_threshold == 190.0


def test_an_unknown_product_is_never_the_default(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detector = edgead.load(bundle)
    for call in (
        lambda: detector(picture(), product="brigth"),
        lambda: detector.start(picture(), product="brigth"),
        lambda: next(detector.map([picture()], product="brigth")),
        lambda: edgead.load(bundle, product="brigth"),
        lambda: detector.limits("brigth"),
        lambda: detector.with_thresholds(read_bundle(bundle), product="brigth"),
    ):
        with pytest.raises(UnknownNameError, match="did you mean bright"):
            call()
    for odd in ("", "zzz", 3, "x" * 10_000):
        with pytest.raises(UnknownNameError) as caught:
            detector(picture(), product=odd)
        assert len(str(caught.value)) < 300
    assert main(["run", str(bundle), "x.png", "--product", "brigth"]) == 2
    assert "did you mean bright" in capsys.readouterr().err


def test_at_the_command_line(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for product in ("default", "bright", "dark"):
        assert main(["run", str(bundle), "x.png", "--product", product]) == 0
        found[product] = json.loads(capsys.readouterr().out)
    assert {name: each["is_anomalous"] for name, each in found.items()} == {
        "default": True,
        "bright": False,
        "dark": True,
    }
    assert found["bright"]["threshold"] == 180.0
    assert main(["inspect", str(bundle)]) == 0
    out = capsys.readouterr().out
    for name, score in (("bright", 180), ("dark", 60)):
        assert f"threshold of {name}" in out and f"image score {score}" in out


def test_a_data_set_is_judged_by_a_products_thresholds(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, value in (("good", 30), ("good", 90), ("spot", 150), ("spot", 200)):
        folder = tmp_path / "set" / "test" / kind
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{value}.png"), picture(value))
    wrong = {}
    for product, threshold in (("default", 100.0), ("bright", 180.0), ("dark", 60.0)):
        found = edgead.evaluate(bundle, tmp_path / "set", product=product, draws=0)
        wrong[product] = (found.escapes, found.false_alarms)
        assert (found.product, found.threshold) == (product, threshold)
        words = ["eval", str(bundle), str(tmp_path / "set"), "--draws", "0", "--json", "--product", product]
        assert main(words) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["product"], told["threshold"], told["bundle_threshold"]) == (
            product,
            threshold,
            threshold,
        )
    assert wrong == {"default": (0, 0), "bright": (1, 0), "dark": (0, 1)}
    assert main(["eval", str(bundle), str(tmp_path / "set"), "--product", "brigth"]) == 2
    assert "did you mean bright" in capsys.readouterr().err
    with pytest.raises(OptionError, match="product"):
        edgead.evaluate(edgead.load(bundle), tmp_path / "set", product="dark")


def test_a_running_detector_takes_new_thresholds_without_compiling(bundle: Path) -> None:
    detector = edgead.load(bundle, product="dark")
    read = read_bundle(bundle)
    now = add_revision(read, {"dark": replace(read.manifest.thresholds["dark"], score=90.0)}, Note())
    revised = detector.with_thresholds(now)
    assert revised._session is detector._session
    assert (revised.threshold, detector.threshold) == (90.0, 60.0)
    frame = picture(80)
    assert detector(frame).is_anomalous and not revised(frame).is_anomalous
    assert revised.bundle.revision.number == 2 and revised(frame).threshold == 90.0
    given = edgead.load(bundle, threshold=120.0)
    assert given.with_thresholds(now).threshold == 120.0
    other = read_bundle(write_mean_bundle(bundle.parent / "other.edgead", resize="letterbox"))
    with pytest.raises(OptionError, match="another bundle"):
        detector.with_thresholds(other)


def test_the_report_colours_by_the_products_threshold(bundle: Path) -> None:
    pytest.importorskip("jinja2", reason="needs the [report] extra")
    from edgead.evaluation.report.gallery import Gallery

    drawn = []
    for product in ("default", "bright"):
        detector = edgead.load(bundle, product=product)
        gallery = Gallery(detector)
        frame = picture(195)
        gallery.add(None, frame, detector(frame), np.zeros((32, 48), bool))
        drawn.append(gallery.entries[0].pictures[1])
    assert drawn[0] != drawn[1]
