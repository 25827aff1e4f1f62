"""A bundle on labelled images: threshold-free metrics, and the verdicts at the bundle's own threshold.

Nothing is tuned on the test images. Pixel metrics are at the model's input size; masks are brought there by
bilinear resizing, rounded at one half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead.evaluation.datasets import Sample
from edgead.evaluation.metrics import auroc, pixel_auroc
from edgead.images import read_image
from edgead.resize import ResizeRule
from edgead.runtime.detector import Detector
from edgead.types import Image, Prediction, Size


@dataclass(frozen=True)
class Evaluation:
    """What a bundle did on a data set. A metric that can't be computed is None, and ``undefined`` says why.

    Attributes:
        image_auroc, pixel_auroc: 0 to 1; pixels over all images, good ones included.
        per_defect: image AUROC of each defect against all good images.
        good, bad: number of images.
        false_alarms: good images that the bundle's threshold calls anomalous.
        escapes: bad images that it lets through.
        threshold: that threshold.
        undefined: metric name to reason.
    """

    image_auroc: float | None
    pixel_auroc: float | None
    per_defect: Mapping[str, float | None]
    good: int
    bad: int
    false_alarms: int
    escapes: int
    threshold: float
    undefined: Mapping[str, str]


def evaluate(
    detector: Detector,
    samples: Sequence[Sample],
    on_prediction: Callable[[Sample, Prediction], None] = lambda sample, prediction: None,
) -> Evaluation:
    """Run the detector on every sample.

    Args:
        on_prediction: is called for each, in order: for progress, galleries, saved maps.

    Raises:
        DatasetError: there are no samples.
        ImageError: an image or mask can't be read.
    """
    if not samples:
        raise DatasetError("no test images to evaluate on; give a folder with good/ and defect folders")
    predictions = []
    shapes: list[Size] = []

    def frames() -> Iterator[Image]:
        for sample in samples:
            frame = read_image(sample.image)
            shapes.append((frame.shape[0], frame.shape[1]))
            yield frame

    for sample, prediction in zip(samples, detector.map(frames()), strict=True):
        predictions.append(prediction)
        on_prediction(sample, prediction)
    good = np.array([s.is_good for s in samples])
    scores = np.array([p.score for p in predictions])
    alarms = np.array([p.is_anomalous for p in predictions])
    undefined: dict[str, str] = {}
    image = auroc(scores[good], scores[~good])
    if image is None:
        undefined["image_auroc"] = "needs at least one good and one bad image"
    pixel = _pixel_auroc(samples, predictions, shapes, detector.rule, undefined)
    kinds = list(dict.fromkeys(s.defect for s in samples if not s.is_good))
    per_defect = {kind: auroc(scores[good], scores[[s.defect == kind for s in samples]]) for kind in kinds}
    return Evaluation(
        image_auroc=image,
        pixel_auroc=pixel,
        per_defect=per_defect,
        good=int(good.sum()),
        bad=int((~good).sum()),
        false_alarms=int(alarms[good].sum()),
        escapes=int((~alarms[~good]).sum()),
        threshold=detector.threshold,
        undefined=undefined,
    )


def read_mask(files: Sequence[Path], rule: ResizeRule, frame_shape: Size) -> NDArray[np.bool_]:
    """Where any of an image's masks isn't 0, at the model's input size: (H, W) bool.

    Raises:
        DatasetError: a mask's size isn't its image's.
    """
    mask = np.zeros(frame_shape, bool)
    for file in files:
        values = read_image(file).max(axis=2)
        if values.shape != frame_shape:
            raise DatasetError(
                f"{file}: the mask is {values.shape}, its image {frame_shape}; they must be the same size"
            )
        mask |= values > 0
    rows, columns = rule.valid_area(frame_shape)
    inner = cv2.resize(
        mask.astype(np.float32),
        (columns.stop - columns.start, rows.stop - rows.start),
        interpolation=cv2.INTER_LINEAR,
    )
    whole = np.zeros(rule.size, bool)
    whole[rows, columns] = inner >= 0.5
    return whole


def _pixel_auroc(
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    shapes: Sequence[Size],
    rule: ResizeRule,
    undefined: dict[str, str],
) -> float | None:
    missing = [s for s in samples if not s.is_good and not s.masks]
    if missing:
        undefined["pixel_auroc"] = (
            f"{len(missing)} defective images have no mask, {missing[0].image.name} for one"
        )
        return None
    maps, masks = [], []
    for sample, prediction, shape in zip(samples, predictions, shapes, strict=True):
        area = rule.valid_area(shape)
        mask = read_mask(sample.masks, rule, shape)
        maps.append(prediction.anomaly_map[area].ravel())
        masks.append(mask[area].ravel())
    value = pixel_auroc(np.concatenate(maps), np.concatenate(masks))
    if value is None:
        undefined["pixel_auroc"] = "needs both good and defective pixels"
    return value
