"""Thresholds from held-out good images alone: which one keeps a false-positive rate, which rate one keeps.

Among the scores ``edgead.conformal`` has the arithmetic, which holds whatever their law; beyond the largest
``edgead.tail`` says how far to go on, where the scores support that. The bound on the rate is always the
scores' own. All of it holds for scores that are drawn independently of each other, and of the learned images,
as those of the line will be. Several images of one part are not: so a part counts once, and each of its
images for a share of it (``edgead.device.counted``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.conformal import FEWEST_FOR_TAIL, between, expected_rate, upper_rate
from edgead.device.counted import APART, Counted, count, largest_by_group
from edgead.errors import DatasetError, OptionError
from edgead.manifest import Rule, ThresholdRecord
from edgead.tail import LEAST_RATIO, Tail, fit_tail

LEARNED = -1
"""Group of a held-out image whose part is among the learned ones."""
LARGEST_SINGLE = float(np.finfo(np.float32).max)
"""Scores and thresholds are float32."""


@dataclass(frozen=True)
class Quantile:
    """A threshold and what it promises.

    Attributes:
        threshold: a score over it is anomalous.
        expected_rate: the false-positive rate to expect, averaged over held-out sets of this size; over the
            rate that was asked for where the scores can't show one so small.
        upper_rate: the rate is below this with 95 % confidence; with 95 % or more unless the rule is
            ``split-conformal``.
        rule: as ``ThresholdRecord.rule``.
    """

    threshold: float
    expected_rate: float
    upper_rate: float
    rule: Rule


@dataclass(frozen=True)
class Rate:
    """What is to be expected of a given threshold.

    Attributes:
        expected: the false-positive rate, 0 to 1, that ``quantile`` would give the threshold for.
        upper: the rate is below this with 95 % confidence or more.
        rule: as ``ThresholdRecord.rule``, what ``expected`` rests on.
    """

    expected: float
    upper: float
    rule: Rule


def quantile(scores: Sequence[float], rate: float, groups: Sequence[int] | None = None) -> Quantile:
    """The threshold that good images are expected to exceed at a rate.

    Between two scores where the rate is between theirs. Beyond the largest for a rate under its 1 / (n + 1),
    by the tail that the scores support, down to a tenth of that; else the largest. ``expected_rate`` says it
    where that is more than was asked for.

    Args:
        scores: (n,) of held-out good images.
        rate: the false-positive rate, between 0 and 1.
        groups: (n,) equal for the images of one part, ``APART`` for one unlike all others; None where each
            image shows a part of its own.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the rate isn't between 0 and 1.
    """
    if not 0 < rate < 1:
        raise OptionError(f"false-positive rate {rate} must be between 0 and 1, 0.01 for instance")
    ordered = _ordered(scores, groups)
    n = len(ordered)
    parts = count(scores, groups)
    if parts and rate >= parts.expected(-1) * (1 - 1e-9):
        return _among(parts, rate)
    k, share = between(n, rate)
    shown = int(np.isfinite(ordered).sum())
    if k + (share > 0) > shown:  # images apart take up the rate: the largest of the others then
        k = shown
        return Quantile(float(ordered[k - 1]), expected_rate(n, k), upper_rate(n, k), "split-conformal")
    upper = upper_rate(n, k)
    if share:
        low, high = float(ordered[k - 1]), float(ordered[k])
        threshold = min(max(low * (1 - share) + high * share, low), high)  # their difference may be infinite
        return Quantile(threshold, rate, upper, "interpolated")
    largest = expected_rate(n, n)
    if rate < largest * (1 - 1e-9) and (tail := _tail(ordered)):
        # A smaller rate than the tail answers for gets its least: never a lower threshold than a larger one.
        ratio = max(rate / largest, LEAST_RATIO)
        threshold = tail.score(ratio)
        if threshold <= LARGEST_SINGLE:
            return Quantile(threshold, max(rate, largest * ratio), upper, "generalised-pareto")
    return Quantile(float(ordered[k - 1]), expected_rate(n, k), upper, "split-conformal")


def _among(parts: Counted, rate: float) -> Quantile:
    """The threshold for a rate that parts with several images show."""
    k, share = parts.at_most(rate)
    low, expected = float(parts.values[k]), parts.expected(k, share)
    if not share:
        return Quantile(low, expected, parts.upper(low), "split-conformal")
    high = float(parts.values[k + 1])
    threshold = min(max(low * (1 - share) + high * share, low), high)
    return Quantile(threshold, rate, parts.upper(threshold), "interpolated")


def rate_at(scores: Sequence[float], threshold: float, groups: Sequence[int] | None = None) -> Rate:
    """What is to be expected of a threshold that was chosen in whatever way.

    The upper rate holds for one that was chosen without looking at these scores; of several that were looked
    at, for the one that is taken a little less often.

    Args:
        scores, groups: as ``quantile`` takes them.
        threshold: a score; one over it is anomalous.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the threshold is NaN.
    """
    if np.isnan(threshold):
        raise OptionError("the threshold must be a number, not NaN")
    ordered = _ordered(scores, groups)
    n = len(ordered)
    parts = count(scores, groups)
    if parts and threshold <= parts.values[-1]:
        return _rate_among(parts, threshold)
    k = int(np.searchsorted(ordered, threshold, "right"))
    if k == 0:
        return Rate(1.0, 1.0, "split-conformal")
    upper = upper_rate(n, k)
    if threshold == ordered[k - 1]:
        return Rate(expected_rate(n, k), upper, "split-conformal")
    if k < n and np.isfinite(ordered[k]):
        share = _way(threshold, float(ordered[k - 1]), float(ordered[k]))
        return Rate(expected_rate(n, k, share), upper, "interpolated")
    if k < n:  # over all but those apart
        return Rate(expected_rate(n, k), upper, "split-conformal")
    if tail := _tail(ordered):
        ratio = max(tail.ratio(threshold), LEAST_RATIO)
        return Rate(expected_rate(n, n) * ratio, upper, "generalised-pareto")
    return Rate(expected_rate(n, n), upper, "split-conformal")


def _rate_among(parts: Counted, threshold: float) -> Rate:
    """What is to be expected of a threshold up to the largest score of parts with several images."""
    k = int(np.searchsorted(parts.values, threshold, "right")) - 1
    if k < 0:
        return Rate(1.0, 1.0, "split-conformal")
    upper = parts.upper(threshold)
    if threshold == parts.values[k]:
        return Rate(parts.expected(k), upper, "split-conformal")
    share = _way(threshold, float(parts.values[k]), float(parts.values[k + 1]))
    return Rate(parts.expected(k, share), upper, "interpolated")


def calibrate(
    scores: Sequence[float],
    map_maxima: Sequence[float],
    rate: float,
    groups: Sequence[int] | None = None,
    by_user: bool = False,
) -> ThresholdRecord:
    """Thresholds for image score and pixel, and how far they can be trusted.

    Args:
        scores: image scores of held-out good images.
        map_maxima: the maxima of their anomaly maps; over the pixel threshold is anomalous.
        rate: false-positive rate aimed at, per image.
        groups: which group each image belongs to, where not every one shows a part of its own; ``LEARNED`` of
            those whose part is among the learned ones too, and then no rate is stated; ``APART`` of those
            unlike all others.
        by_user: whether the user named the groups, rather than near copies.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the rate isn't between 0 and 1.
    """
    if not (np.isfinite(scores).all() and np.isfinite(map_maxima).all()):
        raise DatasetError("calibration needs good images with finite scores; export the bundle again")
    learned = groups is not None and LEARNED in groups
    if learned:  # the largest scores, of parts that are learned too: nothing follows from them for others
        image, pixel = (quantile([max(v)], rate) for v in (scores, map_maxima))
        image = Quantile(image.threshold, 1.0, 1.0, "largest-of-learned")
    else:
        image, pixel = (quantile(v, rate, groups) for v in (scores, map_maxima))
    n_counted = len(largest_by_group(scores, groups))
    counted: Literal["images", "parts", "groups"] = "groups" if by_user else "parts"
    return ThresholdRecord(
        score=round_up(image.threshold),
        pixel=round_up(pixel.threshold),
        rule=image.rule,
        false_positive_rate=rate,
        n_images=len(scores),
        counted="images" if n_counted == len(scores) else counted,
        n_counted=n_counted,
        expected_rate=image.expected_rate,
        upper_rate=image.upper_rate,
    )


def _tail(ordered: NDArray[np.floating[Any]]) -> Tail | None:
    return fit_tail(ordered) if len(ordered) >= FEWEST_FOR_TAIL else None


def _way(threshold: float, low: float, high: float) -> float:
    """How far the threshold is from one score to the next, 0 to 1."""
    return float((threshold / 2 - low / 2) / (high / 2 - low / 2))  # halves, or it may be infinite


def _ordered(scores: Sequence[float], groups: Sequence[int] | None) -> NDArray[np.floating[Any]]:
    ordered = np.sort(np.asarray(largest_by_group(scores, groups), np.float64))
    if not len(ordered) or np.isnan(ordered).any() or not np.isfinite(ordered[0]):
        raise DatasetError("calibration needs at least one held-out good image with a finite score")
    return ordered


def round_up(value: float) -> float:
    """Round up to float32, what the graph yields, so that no image is over its own value."""
    single = np.float32(value)
    return float(single if single >= value else np.nextafter(single, np.float32(np.inf)))


__all__ = [
    "APART",
    "LEARNED",
    "Quantile",
    "Rate",
    "calibrate",
    "largest_by_group",
    "quantile",
    "rate_at",
    "round_up",
]
