"""What one threshold makes of labelled images: the figures that people at the line see.

An image over the threshold is called anomalous. A good one that is, is a false alarm; a defective one that
isn't, an escape. F1 is the harmonic mean of recall (of the defective images, those found) and precision (of
the alarms, the true ones), 2 found / (2 found + false alarms + escapes). F1-max is the largest that any
threshold gives, and so what F1 lacks, 1 - F1, has two parts: F1-max - F1 is the threshold's, 1 - F1-max the
scores'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.conformal import images_needed, rank
from edgead.metrics.scores import Metric, best_threshold
from edgead.metrics.uncertainty import share_interval
from edgead.notices import Notice


@dataclass(frozen=True)
class Share:
    """So many of all.

    Attributes:
        count, total: 0 <= count <= total.
    """

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None where there are none at all."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's (low, high): holds the share among all such parts with 95 % confidence; None of none."""
        return share_interval(self.count, self.total) if self.total else None

    @property
    def rest(self) -> Share:
        """The others."""
        return Share(self.total - self.count, self.total)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        interval = self.interval
        return {
            "count": self.count,
            "total": self.total,
            "share": self.value,
            "interval": None if interval is None else list(interval),
        }


@dataclass(frozen=True)
class Best:
    """The threshold of F1-max, chosen on the labelled images: on others it does worse.

    Attributes:
        threshold: halfway between two scores, the highest where there are several.
        f1: F1-max, 0 to 1.
    """

    threshold: float
    f1: float


@dataclass(frozen=True)
class Allowed:
    """What a threshold for a rate of false alarms, read off these very good images, would find.

    Attributes:
        rate: of false alarms on new images, over 0 and under 1.
        threshold: the lowest of these good images' scores that keeps it; see ``edgead.conformal``.
        false_alarms: the good images over it.
        found: the defective images over it; their share is the recall.
    """

    rate: float
    threshold: float
    false_alarms: Share
    found: Share


def escapes(scores: ArrayLike, bad: ArrayLike, threshold: float) -> Share:
    """Defective images that aren't over the threshold; ``scores`` and ``bad`` are (images,)."""
    values, labels = np.asarray(scores, np.float64), np.asarray(bad, bool)
    return Share(int((labels & ~(values > threshold)).sum()), int(labels.sum()))


def false_alarms(scores: ArrayLike, bad: ArrayLike, threshold: float) -> Share:
    """Good images that are over the threshold; ``scores`` and ``bad`` are (images,)."""
    values, labels = np.asarray(scores, np.float64), np.asarray(bad, bool)
    return Share(int((~labels & (values > threshold)).sum()), int((~labels).sum()))


def f1(missed: Share, alarms: Share) -> Metric:
    """F1 of these escapes and false alarms; undefined, as F1-max is, without images of either kind."""
    if reason := _why_undefined(missed, alarms):
        return Metric(None, reason)
    twice = 2 * missed.rest.count
    return Metric(twice / (twice + alarms.count + missed.count))


def f1_samples(
    scores: ArrayLike, bad: ArrayLike, threshold: float, weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """F1 at the threshold once for each row of weights.

    Args:
        weights: (n, images), how often each image is taken; rows of ``uncertainty.resample``.

    Returns:
        (n,); NaN where a row takes no good or no bad image.
    """
    values, labels = np.asarray(scores, np.float64), np.asarray(bad, bool)
    over = values > threshold
    found, alarms = weights @ (over & labels), weights @ (over & ~labels)
    n_bad, n_good = weights @ labels, weights @ ~labels
    is_defined = (n_bad > 0) & (n_good > 0)
    divisor = np.where(is_defined, found + alarms + n_bad, 1)
    return np.where(is_defined, 2 * found / divisor, np.nan)


def best(scores: ArrayLike, bad: ArrayLike) -> Best | None:
    """Where F1-max is reached, or None where it's undefined.

    Raises:
        edgead.errors.InputError: as ``edgead.metrics.scores.image_metrics``.
    """
    threshold = best_threshold(scores, bad)
    if threshold is None:
        return None
    value = f1(escapes(scores, bad, threshold), false_alarms(scores, bad, threshold)).value
    return None if value is None else Best(threshold, value)


def threshold_share(at_threshold: Metric, f1_max: float | None) -> Metric:
    """Of what F1 lacks, 1 - F1, the share that the threshold costs, (F1-max - F1) / (1 - F1), 0 to 1.

    The rest is the scores'. Undefined where F1 is, and where it lacks nothing.
    """
    if at_threshold.value is None or f1_max is None:
        return Metric(None, at_threshold.reason)
    gap = 1 - at_threshold.value
    if gap <= 0:
        return Metric(None, Notice("no-gap"))
    return Metric(min(1.0, max(0.0, (f1_max - at_threshold.value) / gap)))


def allowed(scores: ArrayLike, bad: ArrayLike, rate: float) -> Allowed | Notice:
    """What the rate's own threshold on these good images would find: the best that a calibration could do.

    Args:
        rate: of false alarms on new images, over 0 and under 1.

    Returns:
        A notice that says why not, where there are no defective images, or fewer good ones than can show the
        rate (``edgead.conformal.images_needed``, as for a calibration).
    """
    values, labels = np.asarray(scores, np.float64), np.asarray(bad, bool)
    good = np.sort(values[~labels])
    if good.size < (needed := images_needed(rate)):
        return Notice("too-few-for-rate", {"images": int(good.size), "rate": rate, "needed": needed})
    if not labels.any():
        return Notice("no-bad-images")
    limit = float(good[rank(good.size, rate) - 1])
    return Allowed(rate, limit, false_alarms(values, labels, limit), escapes(values, labels, limit).rest)


def _why_undefined(missed: Share, alarms: Share) -> Notice | None:
    """The reasons of the metrics without a threshold, in the same order."""
    if not missed.total and not alarms.total:
        return Notice("no-images")
    if not alarms.total:
        return Notice("no-good-images")
    return None if missed.total else Notice("no-bad-images")


__all__ = [
    "Allowed",
    "Best",
    "Share",
    "allowed",
    "best",
    "escapes",
    "f1",
    "f1_samples",
    "false_alarms",
    "threshold_share",
]
