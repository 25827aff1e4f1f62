"""A bundle on labelled images: threshold-free metrics, and the verdicts at the bundle's own threshold.

Nothing is tuned on the test images. Pixel metrics are at the model's input size; masks are brought there by
bilinear resizing and rounded at one half, which keeps thin defects that nearest-neighbour sampling loses
(Zhang et al., "DeSTSeg", CVPR 2023, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead.evaluation.datasets import Sample
from edgead.evaluation.metrics import Metric, image_metrics, image_samples
from edgead.evaluation.pixels import PixelMetrics
from edgead.evaluation.uncertainty import DRAWS, resample, with_intervals
from edgead.images import read_image
from edgead.resize import ResizeRule
from edgead.runtime.detector import Detector
from edgead.types import Image, Prediction, Size

Draws = Mapping[str, NDArray[np.float64]]
"""A metric's name to its value on each bootstrap draw, (draws,)."""


@dataclass(frozen=True)
class Judged:
    """The verdict on one labelled image."""

    sample: Sample
    score: float
    is_anomalous: bool

    @property
    def is_wrong(self) -> bool:
        """A false alarm, or an escape."""
        return self.is_anomalous == self.sample.is_good


@dataclass(frozen=True)
class Evaluation:
    """What a bundle did on a data set.

    Attributes:
        images: every image with its verdict, in the data set's order.
        threshold: what the verdicts were given at.
        metrics: ``image_auroc``, ``image_ap``, ``image_f1_max``, ``pixel_auroc``, ``pixel_ap``,
            ``pixel_f1_max``, ``aupro_30``, ``aupro_5``, ``iap``, ``iap_90``; with intervals.
        defects: defect to the same metrics of its images against all good ones. Pixel metrics are within
            0.002 there; see ``PixelMetrics.samples``.
        draws: the metrics on the bootstrap's draws, which are the same for every bundle on the same images.
    """

    images: tuple[Judged, ...]
    threshold: float
    metrics: Mapping[str, Metric]
    defects: Mapping[str, Mapping[str, Metric]]
    draws: Draws = field(repr=False)

    @property
    def good(self) -> tuple[Judged, ...]:
        """The good images."""
        return tuple(j for j in self.images if j.sample.is_good)

    @property
    def bad(self) -> tuple[Judged, ...]:
        """The defective images."""
        return tuple(j for j in self.images if not j.sample.is_good)

    @property
    def false_alarms(self) -> int:
        """Good images that the threshold calls anomalous."""
        return sum(j.is_wrong for j in self.good)

    @property
    def escapes(self) -> int:
        """Defective images that it lets through."""
        return sum(j.is_wrong for j in self.bad)

    def record(self) -> dict[str, Any]:
        """One JSON object: metrics as fractions by name, None where undefined and then with the reason."""
        return {
            **{name: metric.value for name, metric in self.metrics.items()},
            "intervals": {name: list(m.interval) for name, m in self.metrics.items() if m.interval},
            "undefined": {name: m.reason for name, m in self.metrics.items() if m.reason},
            "defects": {
                defect: {
                    "images": sum(j.sample.defect == defect for j in self.bad),
                    "escapes": sum(j.is_wrong for j in self.bad if j.sample.defect == defect),
                    **{name: metric.value for name, metric in metrics.items()},
                }
                for defect, metrics in self.defects.items()
            },
            "good": len(self.good),
            "bad": len(self.bad),
            "false_alarms": self.false_alarms,
            "escapes": self.escapes,
            "threshold": self.threshold,
        }


OnImage = Callable[[Judged, Image, Prediction, NDArray[np.bool_]], None]
"""Is given an image's verdict, the frame, its prediction and the (H, W) mask at the model's input size."""


def evaluate(
    detector: Detector,
    samples: Sequence[Sample],
    on_image: OnImage = lambda judged, frame, prediction, mask: None,
    draws: int = DRAWS,
) -> Evaluation:
    """Run the detector on every sample.

    Memory doesn't grow with the number of images, but by a few bytes each and what ``PixelMetrics`` keeps.

    Args:
        on_image: is called for each, in order: for progress, galleries, saved maps.
        draws: how often the bootstrap draws images for the intervals; 0 for none.

    Raises:
        DatasetError: there are no samples, or a mask isn't of its image's size.
        ImageError: an image or mask can't be read.
    """
    if not samples:
        raise DatasetError("no test images to evaluate on; give a folder with good/ and defect folders")
    pixels = PixelMetrics()
    images: list[Judged] = []
    under_way: list[Image] = []

    def frames() -> Iterator[Image]:
        for sample in samples:
            under_way.append(read_image(sample.image))
            yield under_way[-1]

    for sample, prediction in zip(samples, detector.map(frames()), strict=True):
        frame = under_way.pop(0)
        judged = Judged(sample, prediction.score, prediction.is_anomalous)
        shape = (frame.shape[0], frame.shape[1])
        mask = read_mask(sample.masks, detector.rule, shape)
        area = detector.rule.valid_area(shape)
        known = sample.is_good or bool(sample.masks)
        pixels.add(prediction.anomaly_map[area], mask[area] if known else None, bad=not sample.is_good)
        images.append(judged)
        on_image(judged, frame, prediction, mask)
    scores = np.array([j.score for j in images])
    bad = np.array([not s.is_good for s in samples])
    weights = resample(bad, draws)
    drawn = {**image_samples(scores, bad, weights), **pixels.samples(weights)}
    metrics = with_intervals({**image_metrics(scores, bad), **pixels.metrics()}, drawn)
    return Evaluation(
        images=tuple(images),
        threshold=detector.threshold,
        metrics=metrics,
        defects=_by_defect(samples, scores, bad, pixels, metrics),
        draws=drawn,
    )


def _by_defect(
    samples: Sequence[Sample],
    scores: NDArray[np.float64],
    bad: NDArray[np.bool_],
    pixels: PixelMetrics,
    metrics: Mapping[str, Metric],
) -> dict[str, dict[str, Metric]]:
    kinds = list(dict.fromkeys(s.defect for s in samples if not s.is_good))
    chosen = np.array([[s.is_good or s.defect == kind for s in samples] for kind in kinds], np.int64)
    if not kinds:
        return {}
    values = {**image_samples(scores, bad, chosen), **pixels.samples(chosen)}
    return {
        kind: {
            name: Metric(float(values[name][row]))
            if np.isfinite(values[name][row])
            else Metric(None, metric.reason or "no pixels of this defect are marked")
            for name, metric in metrics.items()
        }
        for row, kind in enumerate(kinds)
    }


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
