"""A small evaluation with a known answer, for the report's tests: an image's score is its brightest pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.errors import ImageError
from edgead.evaluation.evaluate import Evaluation, Judged, evaluate
from edgead.evaluation.report.gallery import Entry, Gallery
from edgead.evaluation.verdicts import verdicts
from edgead.images import read_image
from edgead.metrics.scores import Metric, image_metrics
from edgead.notices import Notice
from edgead.resize import ResizeRule
from edgead.types import Prediction, Sample

pytest.importorskip("jinja2", reason="needs the [report] extra")
BUNDLE = read_bundle(Path(__file__).parents[1] / "golden" / "v1.edgead")
THRESHOLD = BUNDLE.manifest.threshold.score
HOSTILE = "</script><img src=x onerror=alert(1)>"

SCORES = {
    "good": (0.2, 0.5, 0.9, 1.3),
    "big_scratch": (0.4, 1.1, 2.0, 3.0),
    HOSTILE.replace("/", ""): (0.8, 1.6),
}
"""Defect to scores, in thresholds."""


class Detector:
    """Gives a frame's brightness as its map, in units that make 50 the threshold."""

    bundle = BUNDLE
    product = "default"
    threshold = THRESHOLD
    rule = ResizeRule((48, 32))
    read_image = staticmethod(read_image)
    depth_notice = size_notice = staticmethod(lambda: None)
    limits = staticmethod(lambda: BUNDLE.manifest.threshold)

    def read_ahead(self, paths):
        for path in paths:
            try:
                yield self.read_image(path)
            except ImageError as error:
                yield error

    def map(self, frames, held):
        assert held, "the frames stay as they are: none needs to be copied"
        for frame in frames:
            anomaly_map = self.rule.apply(frame)[..., 0].astype(np.float32) / 50 * THRESHOLD
            score = float(anomaly_map.max())
            yield Prediction(score, score > THRESHOLD, THRESHOLD, anomaly_map, anomaly_map > THRESHOLD, ())


def write_samples(folder: Path) -> list[Sample]:
    """A grey image for each score, with a square that's as bright as it says, marked where it's a defect."""
    samples = []
    for defect, scores in SCORES.items():
        for number, score in enumerate(scores):
            place = folder / "test" / defect
            place.mkdir(parents=True, exist_ok=True)
            image = np.full((96, 64, 3), 10, np.uint8)
            image[20:50, 10:40] = round(50 * score)
            file, masks = place / f"{number} & 'a'.png", ()
            file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
            if defect != "good":
                mask = place / f"{number}_mask.png"
                mask.write_bytes(cv2.imencode(".png", (image > 10).astype(np.uint8) * 255)[1].tobytes())
                masks = (mask,)
            samples.append(Sample(file, defect, masks))
    return samples


def evaluated(folder: Path) -> tuple[Evaluation, Gallery]:
    gallery = Gallery(Detector())
    return evaluate(Detector(), write_samples(folder), gallery.add, 50), gallery


def made_up(n_good: int, n_bad: int) -> tuple[Evaluation, Gallery]:
    """Many images without any file; only one picture."""
    rng = np.random.default_rng(0)
    scores = THRESHOLD * np.concatenate([rng.lognormal(-0.6, 0.3, n_good), rng.lognormal(0.4, 0.5, n_bad)])
    kinds = ["good"] * n_good + [("dent", "scratch", "stain")[i % 3] for i in range(n_bad)]
    picture = rng.integers(0, 256, (60, 80, 3), np.uint8)
    gallery = Gallery(Detector())
    whole = np.zeros((48, 32), bool)
    gallery.add(None, picture, Prediction(1, True, 1, np.zeros((48, 32), np.float32), whole, ()), whole)
    (model,) = gallery.entries
    images = [
        Judged(Sample(Path(f"/d/{kind}/{number:05d}.png"), kind), float(score), bool(score > THRESHOLD))
        for number, (score, kind) in enumerate(zip(scores, kinds, strict=True))
    ]
    gallery.entries = [Entry(judged, model.size, model.pictures, "") for judged in images]
    metrics = image_metrics(scores, np.array(kinds) != "good")
    undefined = Metric(None, Notice("unmasked", {"n": n_bad}, "{n} defective images have no mask <b>"))
    of_defects = {kind: metrics | {"pixel_auroc": undefined} for kind in dict.fromkeys(kinds[n_good:])}
    kinds_or_none = [None if kind == "good" else kind for kind in kinds]
    draws = np.zeros((0, len(kinds)), np.int64)
    told = verdicts(scores, kinds_or_none, THRESHOLD, BUNDLE.manifest.threshold, draws)
    found = Evaluation(tuple(images), told, metrics | {"pixel_auroc": undefined}, of_defects, {})
    return found, gallery


def outcomes(found: Evaluation, threshold: float) -> dict[str, list[str]]:
    """What comes of the images at a threshold: outcome to file names, the worst first."""
    sorted_images = sorted(found.images, key=lambda j: j.score)

    def names(want: Iterator[Judged]) -> list[str]:
        return [f"{j.sample.image.parent.name}/{j.sample.image.name}" for j in want]

    return {
        "escape": names(j for j in sorted_images if not j.sample.is_good and j.score <= threshold),
        "alarm": names(j for j in reversed(sorted_images) if j.sample.is_good and j.score > threshold),
        "found": names(j for j in sorted_images if not j.sample.is_good and j.score > threshold),
        "passed": names(j for j in reversed(sorted_images) if j.sample.is_good and j.score <= threshold),
    }
