"""Threshold-free metrics of image scores, computed once for every command that shows them.

An image is predicted anomalous where its score is over the threshold, as a detector does it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import InputError
from edgead.metrics.curves import Curve
from edgead.notices import Notice


@dataclass(frozen=True)
class Metric:
    """A number, or the reason why there is none: it's never stood in for by 0, 1 or NaN.

    Attributes:
        value: a fraction of 1, or None.
        reason: why the value is undefined; None where there's a value.
        interval: (low, high) that holds the value with 95 % confidence; None where it isn't known.
        no_interval: why there's a value and no interval; None where none was asked for.
    """

    value: float | None
    reason: Notice | None = None
    interval: tuple[float, float] | None = None
    no_interval: Notice | None = None


@dataclass(frozen=True)
class CurvePoints:
    """A curve to draw, the highest threshold first.

    Attributes:
        x, y: (n,) float64 in 0..1. ROC: false- and true-positive rate. PR: recall and precision.
        threshold: (n,) float64, finite, descending; what is over it gives the point.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    threshold: NDArray[np.float64]


def auroc(good: ArrayLike, bad: ArrayLike) -> float | None:
    """Area under the ROC curve: the probability that a bad score exceeds a good one, ties counting half.

    Args:
        good, bad: scores of any shape; larger is more anomalous.

    Returns:
        0 to 1, or None where there is no good or no bad score, since nothing can be separated then.
    """
    negative, positive = np.sort(np.ravel(good)), np.ravel(bad)
    if not negative.size or not positive.size:
        return None
    below = np.searchsorted(negative, positive, side="left").astype(np.float64)
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).sum() / 2 / negative.size / positive.size)


def pixel_auroc(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float | None:
    """AUROC over pixels: ``maps`` and ``masks`` of one shape, True where the pixel is defective."""
    return auroc(maps[~masks], maps[masks])


def image_metrics(scores: ArrayLike, bad: ArrayLike) -> dict[str, Metric]:
    """Return ``image_auroc``, ``image_ap`` and ``image_f1_max``; ``edgead.metrics.curves`` defines them.

    Args:
        scores: (images,) finite; larger is more anomalous.
        bad: (images,) bool.

    Raises:
        edgead.errors.InputError: the shapes differ, or a score isn't finite.
    """
    counts = _Counts(scores, bad)
    reason = counts.why_undefined()
    one = image_samples(scores, bad, np.ones((1, counts.bad.size), np.int64))
    return {name: Metric(None, reason) if reason else Metric(float(v[0])) for name, v in one.items()}


def image_samples(
    scores: ArrayLike, bad: ArrayLike, weights: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Compute the image metrics once for each row of weights, exactly.

    Args:
        scores, bad: as in ``image_metrics``.
        weights: (n, images), how often each image is taken; rows of ``uncertainty.resample``.

    Returns:
        Name to (n,) float64; NaN where a row takes no good or no bad image.

    Raises:
        edgead.errors.InputError: as in ``image_metrics``, or the weights are for another number of images.
    """
    counts = _Counts(scores, bad)
    if weights.ndim != 2 or weights.shape[1] != counts.bad.size:
        raise InputError(
            f"weights of shape {weights.shape} for {counts.bad.size} images: pass a column for each"
        )
    rows = max(1, 2_000_000 // max(1, counts.bad.size))  # a few temporaries of 16 MB
    parts = [counts.curve(weights[i : i + rows]).values() for i in range(0, len(weights), rows)]
    if not parts:
        parts = [counts.curve(weights).values()]
    return {f"image_{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}


def best_threshold(scores: ArrayLike, bad: ArrayLike) -> float | None:
    """Return the threshold at which F1-max is reached, or None where F1-max is undefined.

    It's halfway between two scores, the highest such where there are several. It was chosen on labelled
    images: what it achieves on these same images says nothing about others, so say so wherever it's shown.

    Raises:
        edgead.errors.InputError: as in ``image_metrics``.
    """
    counts = _Counts(scores, bad)
    if counts.why_undefined():
        return None
    fp, tp = counts.below(np.ones(counts.bad.size, np.int64))
    return float(counts.thresholds[np.argmax(tp / (tp + fp + counts.bad.sum()))])


def roc_curve(scores: ArrayLike, bad: ArrayLike, points: int = 300) -> CurvePoints | None:
    """Return the ROC curve from (0, 0) to (1, 1), or None where there are no good or no bad images.

    Args:
        points: at most so many; no point left out is further from the line than ``2 / (points - 1)``.

    Raises:
        edgead.errors.InputError: as in ``image_metrics``.
    """
    counts = _Counts(scores, bad)
    if counts.why_undefined():
        return None
    fp, tp = counts.below(np.ones(counts.bad.size, np.int64))
    x, y = np.append(0, fp / fp[-1]), np.append(0, tp / tp[-1])
    return _thin(CurvePoints(x, y, np.append(counts.highest, counts.thresholds)), points)


def pr_curve(scores: ArrayLike, bad: ArrayLike, points: int = 300) -> CurvePoints | None:
    """Return recall and precision, or None where there are no good or no bad images.

    There's no point at recall 0 unless the highest score is a good image's: with nothing predicted there's
    no precision.

    Args:
        points: at most so many, evenly along the curve.

    Raises:
        edgead.errors.InputError: as in ``image_metrics``.
    """
    counts = _Counts(scores, bad)
    if counts.why_undefined():
        return None
    fp, tp = counts.below(np.ones(counts.bad.size, np.int64))
    return _thin(CurvePoints(tp / tp[-1], tp / (tp + fp), counts.thresholds), points)


class _Counts:
    """Checked scores and labels in the order that curves are walked: the highest score first, ties together.

    Attributes:
        bad: (images,) bool, in the caller's order.
        thresholds: (distinct scores,) what is over it is of that score or more.
        highest: the highest score; nothing is over it.
    """

    def __init__(self, scores: ArrayLike, bad: ArrayLike) -> None:
        values, self.bad = np.asarray(scores, np.float64), np.asarray(bad, bool)
        if values.ndim != 1 or values.shape != self.bad.shape:
            raise InputError(
                f"scores of shape {values.shape} with labels of {self.bad.shape}: "
                "pass one score and one label for each image"
            )
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            raise InputError(f"the score of image {at} is {values[at]}: leave it out or fit the bundle again")
        self._order = np.argsort(-values, kind="stable")
        descending = values[self._order]
        self._ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: values.size])
        distinct = descending[self._ends]
        halfway = distinct[:-1] / 2 + distinct[1:] / 2
        # Between neighbouring floats there's no halfway; the lower one does, as it isn't over itself.
        halfway = np.where((distinct[1:] < halfway) & (halfway < distinct[:-1]), halfway, distinct[1:])
        self.thresholds = np.append(halfway, np.nextafter(distinct[-1:], -np.inf))
        self.highest = distinct[:1]

    def why_undefined(self) -> Notice | None:
        """Return why these labels define no metric, or None where they do."""
        if not self.bad.size:
            return Notice("no-images")
        if self.bad.all():
            return Notice("no-good-images")
        return None if self.bad.any() else Notice("no-bad-images")

    def below(self, weights: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return false and true positives at each threshold, (..., thresholds), for weights (..., images)."""
        taken = weights[..., self._order].astype(np.float64)
        bad = self.bad[self._order]
        return np.cumsum(taken * ~bad, axis=-1)[..., self._ends], np.cumsum(taken * bad, axis=-1)[
            ..., self._ends
        ]

    def curve(self, weights: NDArray[np.int64]) -> Curve:
        """Return the whole curve for each row of weights, (n, images)."""
        fp, tp = self.below(weights)
        curve = Curve(weights @ ~self.bad, weights @ self.bad)
        curve.extend(np.diff(fp, axis=-1, prepend=0), np.diff(tp, axis=-1, prepend=0))
        return curve


def _thin(curve: CurvePoints, points: int) -> CurvePoints:
    """Keep points at even steps of the way along the curve, both ends among them."""
    if curve.x.size <= points:
        return curve
    steps = np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))
    way = np.append(0, np.cumsum(steps))
    keep = np.unique(np.searchsorted(way, np.linspace(0, way[-1], points)))
    return CurvePoints(curve.x[keep], curve.y[keep], curve.threshold[keep])


__all__ = [
    "CurvePoints",
    "Metric",
    "auroc",
    "best_threshold",
    "image_metrics",
    "image_samples",
    "pixel_auroc",
    "pr_curve",
    "roc_curve",
]
