"""Bundles with a region of interest: whatever lies outside of it changes no verdict, and is in none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.cli.fit_options import describe_fit
from edgead.datasets import open_dataset
from edgead.device.drift import look_at
from edgead.errors import (
    CarriedImageError,
    DatasetError,
    FrameError,
    ImageError,
    ManifestError,
    RoiError,
)
from edgead.evaluation.evaluate import evaluate
from edgead.manifest import Manifest
from edgead.metrics.pixels import PixelMetrics
from edgead.notices import Notice
from edgead.roi import Roi, read_roi, roi_of
from edgead.workbench.judged_part import draw_inside
from tests.bundles import bad_image, good_image, write_images
from tests.mean_bundle import HEIGHT, WIDTH, write_mean_bundle
from tests.sealed import seal

SHAPE = (120, 80)
LEFT = 46
"""The region: what lies left of this column, but for a hole."""


def region() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[8:112, :LEFT] = True
    mask[90:100, 5:15] = False
    return mask


def blot(image: np.ndarray, x: int, y: int) -> np.ndarray:
    return cv2.circle(image.copy(), (x, y), 9, (20, 25, 30), -1)


def scribbled(image: np.ndarray, seed: int) -> np.ndarray:
    """The image with something else outside of the region."""
    other = np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
    return np.where(region()[..., None], image, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good images whose outside is different in each, and the region as mask and as polygons."""
    folder = tmp_path_factory.mktemp("roi")
    write_images(folder / "good", [scribbled(good_image(i), i) for i in range(14)])
    cv2.imwrite(str(folder / "roi.png"), region().astype(np.uint8) * 255)
    polygons = {
        "width": 80, "height": 120, "polygons": [[[0, 8], [LEFT, 8], [LEFT, 112], [0, 112]]],
        "holes": [[[5, 90], [15, 90], [15, 100], [5, 100]]],
    }  # fmt: skip
    (folder / "roi.json").write_text(json.dumps(polygons))
    return folder


@pytest.fixture(scope="module")
def fitted(folder: Path) -> Path:
    done = edgead.fit(
        "patchcore", folder / "good", folder / "p.edgead", size=(96, 64), roi=folder / "roi.png",
        options={"coreset_ratio": 0.05}, folds=3,
    )  # fmt: skip
    return done.path


@pytest.fixture(scope="module")
def exported(fitted: Path, folder: Path) -> Path:
    return edgead.export(fitted, "onnx", folder / "onnx.edgead", precision="fp32").path


def test_whatever_is_drawn_outside_the_prediction_is_the_same_to_the_bit(exported: Path) -> None:
    detector = edgead.load(exported)
    for image in (good_image(300), bad_image(1), blot(good_image(301), 20, 60)):
        first = detector(image)
        for seed in range(3):
            other = scribbled(image, seed)
            assert (other != image).any() and detector(other) == first
        assert list(detector.map([scribbled(image, 7), image], held=True)) == [first, first]
        assert detector.start(scribbled(image, 8)).wait() == first


def test_nothing_outside_is_in_map_mask_or_regions(exported: Path) -> None:
    detector = edgead.load(exported, threshold=1e-6)
    inside = detector.rule.inside(SHAPE)
    assert inside is not None and 0.2 < inside.mean() < 0.6
    found = detector(blot(good_image(302), 20, 60))
    assert found.is_anomalous and found.mask.any() and found.regions
    assert not found.mask[~inside].any() and (found.anomaly_map[~inside] == 0).all()
    assert (found.anomaly_map[inside] > 0).any()
    for region_found in found.regions:
        x, _, width, _ = region_found.box
        assert x + width <= LEFT + 2  # a pixel of the model's is 1.25 of the frame's


def test_a_defect_inside_is_found_and_the_same_outside_is_not(exported: Path) -> None:
    detector = edgead.load(exported)
    clean = detector(good_image(303))
    inside, outside = detector(blot(good_image(303), 20, 60)), detector(blot(good_image(303), 70, 60))
    assert outside == clean
    assert inside.is_anomalous and inside.score > 1.5 * clean.score
    x, y, width, height = inside.regions[0].box
    assert x < 20 < x + width and y < 60 < y + height


def test_the_bundle_keeps_the_region_and_what_it_was_filled_with(fitted: Path, exported: Path) -> None:
    means = [scribbled(good_image(i), i)[region()].reshape(-1, 3).astype(float).mean(0) for i in range(14)]
    wanted = tuple(round(level) for level in np.mean(means, 0).tolist())
    for path in (fitted, exported):
        bundle = read_bundle(path)
        record = bundle.manifest.roi
        assert record is not None and (record.height, record.width) == SHAPE
        assert record.share == region().mean() and record.fill == wanted
        stored = cv2.imdecode(np.frombuffer(bundle.read(record.file), np.uint8), cv2.IMREAD_UNCHANGED)
        assert stored.ndim == 2 and (stored == region() * 255).all()
        roi = roi_of(bundle)
        assert roi is not None and (roi.mask == region()).all() and roi.fill == wanted
        carried = cv2.imread(str(path / bundle.manifest.probes[0].file))
        assert (carried[~roi.inside(carried.shape)] == wanted).all()


def test_a_mask_and_the_same_polygons_are_the_same_region(folder: Path) -> None:
    assert (read_roi(folder / "roi.json").mask == region()).all()
    assert (read_roi(folder / "roi.png").mask == region()).all()


def test_frames_of_another_aspect_get_no_verdict(exported: Path) -> None:
    detector = edgead.load(exported)
    with pytest.raises(FrameError, match="drawn on 120 x 80, and this frame of 96 x 72 "):
        detector(np.zeros((96, 72, 3), np.uint8))
    assert detector(cv2.resize(good_image(304), (160, 240))).score > 0


def test_a_region_of_other_images_is_refused_with_both_sizes(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.eye(80, dtype=np.uint8).repeat(2, 1) * 255)
    with pytest.raises(RoiError, match=r"drawn on 80 x 160, and the images are 120 x 80 \(height x width\)"):
        edgead.fit("patchcore", folder / "good", tmp_path / "x.edgead", roi=tmp_path / "wide.png")
    assert [file.name for file in tmp_path.iterdir()] == ["wide.png"]


def test_images_of_another_aspect_among_the_good_ones_are_named(folder: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    shutil.copytree(folder / "good", good)
    cv2.imwrite(str(good / "wide.png"), cv2.resize(good_image(1), (160, 120)))
    with pytest.raises(
        ImageError, match=r"wide\.png: the region of interest was drawn on 120 x 80, and this"
    ):
        edgead.fit("patchcore", good, tmp_path / "x.edgead", size=(96, 64), roi=folder / "roi.png")


def test_a_region_that_the_models_size_leaves_nothing_of_is_refused(folder: Path, tmp_path: Path) -> None:
    line = np.zeros((1200, 800), np.uint8)
    line[600:603] = 255
    cv2.imwrite(str(tmp_path / "line.png"), line)
    with pytest.raises(RoiError, match=r"so thin that nothing of it is left at the model's input of 96 x 64"):
        edgead.fit(
            "patchcore", folder / "good", tmp_path / "x.edgead", size=(96, 64), roi=tmp_path / "line.png"
        )


# ---------------------------------------------------------------- a bundle that isn't as it was


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    """The mean of the colours inside of the left half, which is what's judged."""
    return write_mean_bundle(tmp_path / "mean.edgead", roi=Roi(left_half(), (1, 2, 3)))


def left_half() -> np.ndarray:
    mask = np.zeros((2 * HEIGHT, 2 * WIDTH), bool)
    mask[:, :WIDTH] = True
    return mask


def changed(path: Path, image: np.ndarray | bytes, **record) -> Path:
    """The bundle with another region file, hashed as it is now, and another record."""
    from hashlib import sha256

    data = image if isinstance(image, bytes) else cv2.imencode(".png", image)[1].tobytes()
    (path / "roi.png").write_bytes(data)
    manifest = Manifest.from_json((path / "manifest.json").read_text())
    files = [
        replace(file, bytes=len(data), sha256=sha256(data).hexdigest()) if file.path == "roi.png" else file
        for file in manifest.files
    ]
    roi = replace(manifest.roi, **record)
    (path / "manifest.json").write_text(replace(manifest, files=tuple(files), roi=roi).to_json())
    return path


@pytest.mark.parametrize(
    ("image", "record", "says"),
    [
        (b"no image", {}, "its region of interest: the content is not a PNG"),
        (left_half()[:-1] * np.uint8(255), {}, "63 x 96 pixels, and another size is recorded"),
        (left_half() * np.uint8(254), {}, "values between outside and inside"),
        (np.repeat(left_half()[..., None] * np.uint8([255, 255, 0]), 1, 2), {}, "values between outside"),
        (left_half() * np.uint8(255), {"share": 0.25}, "50.00% inside, and 25.00% is recorded"),
    ],
)
def test_a_region_that_isnt_as_recorded_is_refused(mean: Path, image, record, says: str) -> None:
    changed(mean, image, **record)
    with pytest.raises(CarriedImageError, match=says):
        edgead.load(mean)
    with pytest.raises(CarriedImageError, match=r"'roi\.png'"):
        roi_of(read_bundle(mean))


@pytest.mark.parametrize(
    ("name", "value"),
    [("height", 0), ("width", 1 << 16), ("share", 0.0), ("share", 1.5), ("fill", [0, 0, 256]),
     ("file", "x.png"), ("fill", [-1, 0, 0]), ("fill", [0, 0]), ("height", "64")],
)  # fmt: skip
def test_a_record_out_of_bounds_is_refused(mean: Path, name: str, value) -> None:
    document = json.loads((mean / "manifest.json").read_text())
    document["roi"][name] = value
    with pytest.raises(ManifestError, match=r"manifest field 'roi(\.\w+)?' (is out of range|must)"):
        Manifest.from_json(seal(document))


def test_a_manifest_without_a_region_says_nothing_of_one(tmp_path: Path) -> None:
    path = write_mean_bundle(tmp_path / "plain.edgead")
    assert '"roi"' not in (path / "manifest.json").read_text() and read_bundle(path).manifest.roi is None


# ---------------------------------------------------------------- what is made of verdicts


def grey(level: int, spots: dict[tuple[int, int], int]) -> np.ndarray:
    """A frame of one level with 6 x 6 spots, at (x, y), of others."""
    image = np.full((2 * HEIGHT, 2 * WIDTH, 3), level, np.uint8)
    for (x, y), other in spots.items():
        image[y : y + 6, x : x + 6] = other
    return image


def test_pixel_metrics_leave_what_lies_outside_out(mean: Path, tmp_path: Path) -> None:
    """Held against the ranks of the pixels inside, by hand; the defects outside would spoil them all."""
    write_images(tmp_path / "set" / "good", [grey(40 + i, {}) for i in range(3)])
    left, right = (20, 10), (70, 30)
    frames = [grey(50, {left: 60, right: 44}), grey(50, {left: 46}), grey(30, {right: 20})]
    marks = [grey(0, {left: 255, right: 255}), grey(0, {left: 255}), grey(0, {right: 255})]
    write_images(tmp_path / "set" / "bad", frames)
    write_images(tmp_path / "set" / "masks" / "bad", marks)
    write_images(tmp_path / "mvtec" / "train" / "good", [grey(40, {}), grey(41, {})])
    shutil.copytree(tmp_path / "set" / "good", tmp_path / "mvtec" / "test" / "good")
    shutil.copytree(tmp_path / "set" / "bad", tmp_path / "mvtec" / "test" / "bad")
    truth = tmp_path / "mvtec" / "ground_truth" / "bad"
    shutil.copytree(tmp_path / "set" / "masks" / "bad", truth)
    for file in truth.iterdir():
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    data = open_dataset(tmp_path / "mvtec")
    done = evaluate(edgead.load(mean), data.test, draws=0)

    good = np.concatenate(
        [np.full(HEIGHT * WIDTH // 2, 40 + i) for i in range(3)]
        + [np.full(HEIGHT * WIDTH // 2 - 9, 50)] * 2
        + [np.full(HEIGHT * WIDTH // 2, 30)]
    )
    bad = np.concatenate([np.full(9, 60), np.full(9, 46)])
    wins = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert done.metrics["pixel_auroc"].value == pytest.approx(wins, abs=1e-12)
    (told,) = [notice for notice in done.notices if notice.code.startswith("roi-")]
    assert told.code == "roi-defects"
    assert told.values == {"count": 2, "total": 4, "images": 1, "masked": 3, "example": "bad/002.png"}


def test_pixel_metrics_of_a_part_are_those_of_the_part_alone() -> None:
    rng = np.random.default_rng(0)
    whole, part = PixelMetrics(), PixelMetrics()
    for _ in range(6):
        anomaly_map = rng.random((20, 30), np.float32)
        mask = cv2.resize(rng.random((4, 6)), (30, 20)) > 0.6
        inside = np.zeros((20, 30), bool)
        inside[:, :17] = True
        whole.add(anomaly_map, mask, bad=True, inside=inside)
        part.add(anomaly_map[:, :17], mask[:, :17], bad=True)
    assert whole.metrics() == part.metrics() and whole.metrics()["aupro_30"].value is not None


def test_test_images_of_another_aspect_are_named_before_any_is_judged(mean: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "good", [grey(40, {}), grey(41, {})[:, :80]])
    write_images(tmp_path / "set" / "bad", [grey(99, {})])
    data = open_dataset(tmp_path / "set")
    with pytest.raises(
        DatasetError, match=r"001\.png: the region of interest was drawn on 64 x 96, and this"
    ):
        evaluate(edgead.load(mean), data.test, draws=0)


def test_calibration_names_images_of_another_aspect_and_counts_the_inside(mean: Path, tmp_path: Path) -> None:
    good = write_images(tmp_path / "good", [grey(40 + i, {(70, 30): 200}) for i in range(8)])
    found = edgead.calibrate(mean, good=good, false_positive_rate=0.2, dry_run=True)
    assert found.found is not None and 40 <= found.found.after.pixel <= 48
    write_images(good / ".." / "more", [grey(40, {})[:, :80]])
    with pytest.raises(ImageError, match=r"000\.png: the region of interest was drawn on 64 x 96"):
        edgead.calibrate(mean, good=good / ".." / "more", false_positive_rate=0.2, dry_run=True)


def test_drift_looks_at_the_inside_alone(mean: Path) -> None:
    roi = roi_of(read_bundle(mean))
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    other = frame.copy()
    other[:, WIDTH:] = 255
    size = (HEIGHT, WIDTH)
    assert look_at(frame, size, roi) == look_at(other, size, roi) != look_at(other, size)
    assert look_at(frame, size, roi).level == pytest.approx(frame[:, :WIDTH].mean(), abs=6)
    thin = Roi(np.eye(64, dtype=bool), (0, 0, 0))
    assert look_at(np.diag(np.full(64, 9, np.uint8)), (32, 32), thin).level == 9
    with pytest.raises(FrameError, match="another aspect"):
        look_at(frame[:, :64], size, roi)
    drift = edgead.Drift(read_bundle(mean))
    drift.update(1.0, frame)
    with pytest.raises(FrameError, match="another aspect"):
        drift.update(1.0, frame[:, :64])
    assert drift.frames == 1


def test_synthetic_defects_begin_inside_and_nothing_of_them_lies_outside() -> None:
    image, inside = good_image(5), region()
    reached = []
    for seed in range(60):
        drawn, mask = draw_inside(image, np.random.default_rng(seed), inside)
        assert (drawn[~inside] == image[~inside]).all() and not mask[~inside].any()
        assert mask.any() and (drawn != image).any()
        reached.append(mask)
    assert np.any(reached, 0)[inside].mean() > 0.8, "they are drawn all over the region"
    thin = np.zeros(SHAPE, bool)
    thin[60, 3:70] = True
    for seed in range(10):
        drawn, mask = draw_inside(image, np.random.default_rng(seed), thin)
        assert (drawn[~thin] == image[~thin]).all() and not mask[~thin].any()


def test_the_picture_shows_what_isnt_judged(mean: Path) -> None:
    frame = grey(90, {(20, 10): 150})
    found = edgead.load(mean)(frame)
    picture = found.draw(frame)
    assert (picture[:, WIDTH + 2 :] != frame[:, WIDTH + 2 :]).mean() > 0.9
    plain = edgead.Prediction(**{**vars(found), "placement": replace(found.placement, inside=None)}).draw(
        frame
    )
    assert (picture[:, : WIDTH - 2] == plain[:, : WIDTH - 2]).all()
    assert (plain[:, WIDTH + 2 :] == frame[:, WIDTH + 2 :]).all()


# ---------------------------------------------------------------- as typed


def test_fit_run_inspect_and_verify_as_typed(
    folder: Path, exported: Path, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--size", "96x64", "-q", "-o", "coreset_ratio=0.05", "--folds", "0", "--no-final-fit", "--json"]
    given = ["fit", "patchcore", str(folder / "good"), "--roi", str(folder / "roi.json")]
    assert main([*given, *words, "--out", "t.edgead"]) == 0
    record = json.loads(capsys.readouterr().out)["roi"]
    assert record["file"] == "roi.png" and record["share"] == region().mean() and len(record["fill"]) == 3
    said = "\n".join(describe_fit(read_bundle(Path("t.edgead")), Notice("input-asked")))
    assert (
        "region of interest: 48.79% of a frame, drawn on 120 x 80 pixels (height x width); the rest" in said
    )
    assert main(["inspect", str(exported)]) == 0
    assert "region of interest  48.79% of a frame" in capsys.readouterr().out
    assert main(["inspect", str(exported), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["roi"]["height"] == 120
    assert main(["verify", str(exported), "--on-device", "--images", str(folder / "good")]) == 0
    capsys.readouterr()
    assert main(["bench", str(exported), "--frames", "10", "-q"]) == 0
    capsys.readouterr()
    cv2.imwrite("wide.png", np.zeros((50, 90, 3), np.uint8))
    cv2.imwrite("right.png", blot(good_image(9), 20, 60))
    assert main(["run", str(exported), "right.png", "wide.png", "--out", "maps", "--json"]) == 2
    right, wide = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert right["is_anomalous"] and "drawn on 120 x 80, and this frame of 50 x 90" in wide["error"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.json", None, "none.json: no such file"),
        ("roi.json", b"{}", "field 'height' is missing"),
        ("roi.png", b"GIF", "roi.png: "),
    ],
)
def test_a_bad_region_costs_one_line_and_no_bundle(
    name, content, says, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    assert main(["fit", "patchcore", str(folder / "good"), "--roi", name, "-q"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and says in line
    assert not list(tmp_path.glob("*.edgead"))


def test_teaching_takes_what_lies_inside(exported: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(exported, tmp_path / "taught.edgead")
    cv2.imwrite(str(tmp_path / "missed.png"), blot(good_image(310), 20, 60))
    outside = np.zeros(SHAPE, np.uint8)
    outside[50:70, 60:75] = 255
    cv2.imwrite(str(tmp_path / "outside.png"), outside)
    with pytest.raises(ImageError, match="marks nothing inside of the bundle's region of interest"):
        edgead.teach(bundle, missed=tmp_path / "missed.png", mask=tmp_path / "outside.png")
    with pytest.raises(FrameError, match="another aspect"):
        edgead.teach(bundle, false_alarms=np.zeros((50, 90, 3), np.uint8))
    before = edgead.load(bundle)(blot(good_image(310), 20, 60))
    assert before.is_anomalous
    edgead.teach(bundle, false_alarms=scribbled(blot(good_image(310), 20, 60), 3), accept_changes=True)
    after = edgead.load(bundle)(blot(good_image(310), 20, 60))
    assert after.score < before.score
