"""A bundle on labelled images: the same figures as scikit-learn finds on the saved maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import edgead
from edgead.cli.progress import silent
from edgead.errors import DatasetError
from edgead.evaluation.cell import Making, make_bundle
from edgead.evaluation.datasets import Sample, open_dataset
from edgead.evaluation.evaluate import evaluate
from edgead.masks import read_mask
from edgead.resize import ResizeRule
from tests.bundles import bad_image, good_image


@pytest.fixture(scope="module")
def judged(compiled, tmp_path_factory):
    """An evaluation, and every map and mask that went into it."""
    folder = tmp_path_factory.mktemp("evaluate")
    samples = []
    for index in range(6):
        file = folder / f"good{index}.png"
        cv2.imwrite(str(file), good_image(500 + index))
        samples.append(Sample(file, "good"))
    for index in range(6):
        image, mask = bad_image(index), np.zeros((120, 80), np.uint8)
        cv2.circle(mask, (40, 30 + 3 * index), 9, 255, -1)
        file, mask_file = folder / f"bad{index}.png", folder / f"mask{index}.png"
        cv2.imwrite(str(file), image)
        cv2.imwrite(str(mask_file), mask)
        samples.append(Sample(file, "blob" if index % 2 else "spot", (mask_file,)))
    seen = []
    detector = edgead.load(compiled("onnx", "fp32").bundle.path)
    found = evaluate(detector, samples, lambda *image: seen.append(image), draws=200)
    return found, seen


def test_the_metrics_are_those_of_the_saved_maps(judged):
    found, seen = judged
    bad = [not verdict.sample.is_good for verdict, *_ in seen]
    scores = [prediction.score for _, _, prediction, _ in seen]
    maps = np.stack([prediction.anomaly_map for _, _, prediction, _ in seen]).ravel()
    masks = np.stack([mask for *_, mask in seen]).ravel()
    assert found.metrics["image_auroc"].value == pytest.approx(roc_auc_score(bad, scores), abs=1e-9)
    assert found.metrics["image_ap"].value == pytest.approx(average_precision_score(bad, scores), abs=1e-9)
    assert found.metrics["pixel_auroc"].value == pytest.approx(roc_auc_score(masks, maps), abs=1e-9)
    assert found.metrics["pixel_ap"].value == pytest.approx(average_precision_score(masks, maps), abs=1e-9)
    for metric in found.metrics.values():
        low, high = metric.interval
        assert low <= metric.value + 0.01 and metric.value <= high + 0.01


def test_each_defect_is_held_against_all_good_images(judged):
    found, seen = judged
    assert list(found.defects) == ["spot", "blob"]
    chosen = [(v, p, m) for v, _, p, m in seen if v.sample.defect in ("good", "blob")]
    bad = [not verdict.sample.is_good for verdict, _, _ in chosen]
    blob = found.defects["blob"]
    assert blob["image_auroc"].value == pytest.approx(roc_auc_score(bad, [p.score for _, p, _ in chosen]))
    maps = np.stack([p.anomaly_map for _, p, _ in chosen]).ravel()
    masks = np.stack([mask for *_, mask in chosen]).ravel()
    assert blob["pixel_auroc"].value == pytest.approx(roc_auc_score(masks, maps), abs=2e-3)


def test_verdicts_are_counted_at_the_bundles_threshold(judged):
    found, seen = judged
    assert [v for v, *_ in seen] == list(found.images)
    assert found.escapes == sum(v.score <= found.threshold for v in found.bad)
    assert found.false_alarms == sum(v.score > found.threshold for v in found.good)
    record = found.record()
    assert record["image_auroc"] == found.metrics["image_auroc"].value
    assert record["defects"]["blob"]["images"] == 3 and record["undefined"] == {}


def test_the_same_images_are_drawn_for_every_bundle(judged, compiled):
    found, _ = judged
    other = edgead.load(compiled("onnx", "int8").bundle.path)
    again = evaluate(other, [v.sample for v in found.images], draws=200)
    assert again.draws["image_auroc"].shape == found.draws["image_auroc"].shape == (200,)
    none = evaluate(other, [v.sample for v in found.images], draws=0)
    assert none.metrics["pixel_auroc"].interval is None
    assert none.metrics["pixel_auroc"].value == again.metrics["pixel_auroc"].value


def test_what_cannot_be_computed_has_a_reason(compiled, judged):
    detector = edgead.load(compiled("onnx", "fp32").bundle.path)
    good = [v.sample for v in judged[0].good]
    only_good = evaluate(detector, good, draws=10)
    assert {m.value for m in only_good.metrics.values()} == {None}
    assert all("no bad images" in m.reason for m in only_good.metrics.values())
    assert only_good.defects == {} and len(only_good.record()["undefined"]) == len(only_good.metrics)
    unmasked = [*good, Sample(judged[0].bad[0].sample.image, "spot")]
    found = evaluate(detector, unmasked, draws=10)
    assert found.metrics["image_auroc"].value is not None
    assert found.metrics["iap_90"].reason == found.defects["spot"]["iap_90"].reason
    assert "no mask" in found.metrics["iap_90"].reason
    with pytest.raises(DatasetError, match="no test images"):
        evaluate(detector, [])


def test_masks_keep_thin_defects_and_are_one(tmp_path):
    """A line of one pixel, halved: half an area rounds up, where nearest-neighbour may lose all of it."""
    line, dot = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    line[:, 21] = 255
    dot[60, 60:62] = 1  # valued by class: small, and still a defect
    for name, mask in (("line", line), ("dot", dot)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    files = (tmp_path / "line.png", tmp_path / "dot.png")
    mask = read_mask(files, ResizeRule((32, 32)), (64, 64))
    assert mask[:, 10].all() and mask.sum() == 33
    boxed = read_mask(files, ResizeRule((32, 64), "letterbox"), (64, 64))
    assert boxed.shape == (32, 64) and boxed[:, 16 + 10].all()
    with pytest.raises(DatasetError, match=r"line\.png: the mask is \(64, 64\)"):
        read_mask(files, ResizeRule((32, 32)), (32, 64))


def test_real_images_and_weights(shared_data, resnet18_weights, tmp_path):
    """The whole table for PatchCore on real cookies, and AUROC as scikit-learn finds it on the saved maps."""
    data = open_dataset(shared_data / "cookie")
    making = Making(
        "patchcore", backbone="resnet18", weights=str(resnet18_weights), size=(256, 256), target="onnx"
    )
    bundle, _ = make_bundle(making, data, tmp_path, silent)
    maps, masks, scores, bad = [], [], [], []

    def keep(judged, frame, prediction, mask):
        maps.append(prediction.anomaly_map)
        masks.append(mask)
        scores.append(prediction.score)
        bad.append(not judged.sample.is_good)

    found = evaluate(edgead.load(bundle.path), data.test, keep, draws=100)
    assert found.metrics["image_auroc"].value == pytest.approx(roc_auc_score(bad, scores), abs=1e-9)
    pixels = roc_auc_score(np.stack(masks).ravel(), np.stack(maps).ravel())
    assert found.metrics["pixel_auroc"].value == pytest.approx(pixels, abs=1e-9)
    assert all(metric.value is not None and metric.interval for metric in found.metrics.values())
    assert found.metrics["image_auroc"].value > 0.97 and pixels > 0.95
