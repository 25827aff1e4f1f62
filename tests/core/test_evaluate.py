"""A bundle on labelled images: the same figures as scikit-learn finds on the saved maps."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import edgead
from edgead.datasets import open_dataset
from edgead.errors import DatasetError, ImageError, OptionError
from edgead.evaluation.cell import Making, make_bundle
from edgead.evaluation.evaluate import evaluate
from edgead.evaluation.table import metrics_csv, remarks, verdicts_csv
from edgead.images import read_image
from edgead.manifest import FORMAT
from edgead.masks import read_mask
from edgead.names import json_text, shown
from edgead.notices import Notice, say
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.types import Sample
from tests.bundles import bad_image, good_image
from tests.core.report_support import Detector, write_samples


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
    assert all("no bad images" in say(m.reason) for m in only_good.metrics.values())
    assert only_good.defects == {} and len(only_good.record()["undefined"]) == len(only_good.metrics)
    unmasked = [*good, Sample(judged[0].bad[0].sample.image, "spot")]
    found = evaluate(detector, unmasked, draws=10)
    assert found.metrics["image_auroc"].value is not None
    assert found.metrics["iap_90"].reason == found.defects["spot"]["iap_90"].reason
    assert "no mask" in say(found.metrics["iap_90"].reason)
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
    bundle = make_bundle(making, data, tmp_path, silent)[0].bundle
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


# ---------------------------------------------------------------- files that can't be used, or are doubtful


class Bright(Detector):
    """The report's tests' detector, which counts the frames that it's given."""

    def __init__(self) -> None:
        self.judged = 0

    def map(self, frames, held):
        for prediction in super().map(frames, held):
            self.judged += 1
            yield prediction


@pytest.fixture
def samples(tmp_path):
    return write_samples(tmp_path)


def test_all_bad_files_are_named_before_any_image_is_judged(samples):
    detector, bad = Bright(), [s for s in samples if not s.is_good]
    bad[0].image.write_bytes(bad[0].image.read_bytes()[:90])
    bad[1].masks[0].write_bytes(b"")
    bad[2].masks[0].write_bytes(cv2.imencode(".png", np.ones((7, 9), np.uint8))[1].tobytes())
    with pytest.raises(DatasetError) as caught:
        evaluate(detector, samples, draws=0)
    said = str(caught.value)
    assert said.startswith(f"3 of {len(samples)} test images can't be used: ") and "\n" not in said
    for file in (bad[0].image, bad[1].masks[0], bad[2].masks[0], bad[2].image):
        assert str(file) in said
    assert detector.judged == 0
    for sample in bad[:3]:
        sample.masks[0].unlink()
        sample.image.unlink()
    for sample in samples:
        sample.image.unlink(missing_ok=True)
    with pytest.raises(DatasetError, match=r"10 of 10|and 0 more") as caught:
        evaluate(detector, samples, draws=0)
    assert str(caught.value).count("no such file") + str(caught.value).count("No such file") == len(samples)


def test_a_single_bad_file_has_its_own_error(samples):
    samples[0].image.unlink()
    with pytest.raises(ImageError, match=re.escape(str(samples[0].image))):
        evaluate(Bright(), samples, draws=0)


def test_an_image_that_fails_when_it_is_decoded_costs_no_other_its_verdict(samples, monkeypatch):
    whole = evaluate(Bright(), samples, draws=0)
    gone = samples[2].image

    def read(path):
        if path == gone:
            raise ImageError(f"{path}: can't be decoded")
        return read_image(path)

    detector = Bright()
    monkeypatch.setattr(detector, "read_image", read)
    found = evaluate(detector, samples, draws=0)
    assert detector.judged == len(samples) - 1
    assert found.images == tuple(j for j in whole.images if j.sample.image != gone)
    assert found.problems == (f"{gone}: can't be decoded",)
    record = found.record()
    assert record["problems"] == list(found.problems) and record["notices"][0]["code"] == "left-out"
    assert str(gone) in record["notices"][0]["text"]
    rest = evaluate(Bright(), [s for s in samples if s.image != gone], draws=0)
    assert rest.metrics == found.metrics


def test_a_mask_that_marks_nothing_leaves_its_image_unmasked(samples):
    sample = next(s for s in samples if not s.is_good)
    sample.masks[0].write_bytes(cv2.imencode(".png", np.zeros((96, 64), np.uint8))[1].tobytes())
    found = evaluate(Bright(), samples, draws=0)
    assert found.metrics["pixel_ap"].value is None
    assert say(found.metrics["pixel_ap"].reason) == "1 defective image has no mask"
    assert [n.code for n in found.notices] == ["mask-empty"]
    assert any("marks nothing" in line for line in remarks(found))


def test_labels_in_16_bits_measure_as_any_mask(samples):
    before = evaluate(Bright(), samples, draws=0)
    for sample in samples:
        for mask in sample.masks:
            values = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
            mask.write_bytes(cv2.imencode(".png", (values > 0).astype(np.uint16))[1].tobytes())
    assert evaluate(Bright(), samples, draws=0).metrics == before.metrics
    assert before.metrics["pixel_auroc"].value is not None and before.notices == ()


def test_a_good_image_with_marks_is_refused(samples):
    odd = Sample(samples[0].image, "good", next(s.masks for s in samples if s.masks))
    with pytest.raises(DatasetError, match="labelled good, but its mask"):
        evaluate(Bright(), [odd, *samples[1:]], draws=0)


# ---------------------------------------------------------------- thresholds, notices, names


def test_verdicts_at_another_threshold_leave_the_metrics_alone(samples):
    own = evaluate(Bright(), samples, draws=20)
    assert own.record()["threshold_source"] == "bundle"
    scores = sorted(j.score for j in own.images)
    middle = (scores[3] + scores[4]) / 2
    other = evaluate(Bright(), samples, draws=20, threshold=middle)
    assert [j.is_anomalous for j in other.images] == [j.score > middle for j in own.images]
    assert other.metrics == own.metrics and other.record()["threshold"] == middle
    assert other.record()["threshold_source"] == "given"
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(OptionError, match="finite"):
            evaluate(Bright(), samples, draws=0, threshold=wrong)


def test_what_the_bundle_says_of_itself_comes_with_every_record(samples):
    detector = Bright()
    notice = Notice("plugin", {"text": "mind the gap"})
    manifest = replace(Detector.bundle.manifest, notices=(notice,), format=FORMAT)
    detector.bundle = replace(Detector.bundle, manifest=manifest)
    found = evaluate(detector, samples, draws=0)
    assert found.record()["bundle_notices"] == [notice.record()]
    assert "the bundle says: mind the gap" in remarks(found)


def test_shares_have_wilsons_interval_everywhere(samples):
    found = evaluate(Bright(), samples, draws=0)
    record = found.record()

    def wilson(count, total):  # by the roots of (p - share)**2 = z**2 p (1 - p) / total
        z, p = 1.959963984540054, count / total
        return sorted(np.roots([1 + z * z / total, -2 * p - z * z / total, p * p]).real)

    assert record["escapes_interval"] == pytest.approx(wilson(found.escapes, len(found.bad)))
    assert record["false_alarms_interval"] == pytest.approx(wilson(found.false_alarms, len(found.good)))
    (defect, *_) = found.defects
    mine = [j for j in found.bad if j.sample.defect == defect]
    limits = wilson(sum(j.is_wrong for j in mine), len(mine))
    assert record["defects"][defect]["escapes_interval"] == pytest.approx(limits)
    header, whole, *_ = rows = list(csv.reader(metrics_csv(found).splitlines()))
    assert {len(row) for row in rows} == {len(header)}
    assert float(whole[header.index("escapes_high")]) == record["escapes_interval"][1]
    only_good = evaluate(Bright(), [s for s in samples if s.is_good], draws=0)
    assert only_good.record()["escapes_interval"] is None


def test_the_verdicts_are_counted_over_the_images(samples):
    found = evaluate(Bright(), samples, draws=30)
    told = found.verdicts
    assert (told.escapes.count, told.false_alarms.count) == (
        sum(j.is_wrong for j in found.bad),
        sum(j.is_wrong for j in found.good),
    )
    for defect, share in told.kinds.items():
        mine = [j for j in found.bad if j.sample.defect == defect]
        assert (share.count, share.total) == (sum(j.is_wrong for j in mine), len(mine))
        assert found.record()["defects"][shown(defect)]["escapes"] == share.count
        over = [j.is_anomalous for j in (*mine, *found.good)]
        known = f1_score([1] * len(mine) + [0] * len(found.good), over, zero_division=0)
        assert told.f1_of_kinds[defect].value == pytest.approx(known)
    over, bad = [j.is_anomalous for j in found.images], [not j.sample.is_good for j in found.images]
    assert told.f1.value == pytest.approx(f1_score(bad, over))
    assert told.best.f1 == pytest.approx(found.metrics["image_f1_max"].value)
    assert told.f1.interval is not None
    record = found.record()["verdicts"]
    assert record["escapes"]["share"] == told.escapes.count / len(found.bad)
    assert record["threshold"] == found.threshold and record["threshold_source"] == "bundle"
    header, whole, *kinds = csv.reader(metrics_csv(found).splitlines())
    assert header[:9] == ["defect", "images", "escapes", "escapes_low", "escapes_high", "false_alarms",
                          "false_alarms_low", "false_alarms_high", "image_f1"]  # fmt: skip
    assert float(whole[header.index("image_f1")]) == told.f1.value
    assert float(whole[header.index("threshold_share")]) == told.threshold_share.value
    assert [int(row[2]) for row in kinds] == [share.count for share in told.kinds.values()]


def test_a_threshold_that_does_not_keep_its_promise_is_noted_everywhere(samples):
    class Promising(Bright):
        """Its threshold, which a quarter of the good images exceed, states next to none."""

        bundle = replace(
            Detector.bundle,
            manifest=replace(
                Detector.bundle.manifest,
                thresholds={
                    "default": replace(
                        Detector.bundle.manifest.threshold,
                        rule="split-conformal", counted="images", n_images=99, n_counted=99,
                        expected_rate=0.01, upper_rate=0.03, false_positive_rate=0.01,
                    )
                },
            ),
        )  # fmt: skip

    found = evaluate(Promising(), samples, draws=0)
    assert found.verdicts.stated.upper == 0.03 and found.verdicts.false_alarms.interval[0] > 0.03
    assert found.notices[0].code == "alarms-over-stated"
    assert found.record()["notices"][0]["text"] == say(found.notices[0]) == remarks(found)[0]
    several = Promising()
    several.product, several.threshold = "other", found.threshold / 2
    kept = Promising.bundle.manifest.thresholds["default"]
    of_other = replace(kept, score=several.threshold, upper_rate=0.9)
    manifest = replace(Promising.bundle.manifest, thresholds={"default": kept, "other": of_other})
    several.bundle = replace(Promising.bundle, manifest=manifest)
    told = evaluate(several, samples, draws=0).verdicts
    assert (told.source, told.stated.upper) == ("bundle", 0.9), "the product's own"
    other = evaluate(Promising(), samples, draws=0, threshold=1e6)
    assert "alarms-over-stated" not in [notice.code for notice in other.notices]
    assert other.notices[0].code == "threshold-too-high", "nothing is found there"


@pytest.mark.skipif(sys.platform != "linux", reason="names that aren't text are Linux's")
def test_names_that_are_not_text_can_be_written(samples):
    odd = samples[1].image.with_name("caf\udce9.png")
    samples[1].image.rename(odd)
    samples[1] = Sample(odd, "good")
    found = evaluate(Bright(), samples, draws=0)
    written = verdicts_csv(found.images, found.threshold).encode("utf-8").decode()
    assert r"caf\xe9.png" in written
    assert json.loads(json_text(found.record()).encode("utf-8")) == found.record()
