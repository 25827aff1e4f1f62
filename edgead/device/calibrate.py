"""The threshold, from held-out good images alone, to a target false-positive rate.

``edgead.conformal`` has the arithmetic. It holds for scores that are drawn independently of each other, and
of the learned images, as those of the line will be. Several images of one part are not: so a group of them
counts once, by its largest score. A new part's image exceeds the threshold no more often than the largest of
a group of its images would, so what is stated for groups holds for images as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgead.conformal import expected_rate, rank, upper_rate
from edgead.errors import DatasetError, OptionError
from edgead.manifest import ThresholdRecord

LEARNED = -1
"""Group of a held-out image whose part is among the learned ones."""


@dataclass(frozen=True)
class Quantile:
    """A threshold and what it promises.

    Attributes:
        threshold: a score over it is anomalous.
        expected_rate: the false-positive rate to expect, averaged over held-out sets of this size.
        upper_rate: the rate is below this with 95 % confidence.
    """

    threshold: float
    expected_rate: float
    upper_rate: float


def conformal_quantile(scores: Sequence[float], rate: float) -> Quantile:
    """Calibrate one threshold; see ``edgead.conformal``.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the rate isn't between 0 and 1.
    """
    if not 0 < rate < 1:
        raise OptionError(f"false-positive rate {rate} must be between 0 and 1, 0.01 for instance")
    ordered = np.sort(np.asarray(scores, np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise DatasetError("calibration needs at least one held-out good image with a finite score")
    n = len(ordered)
    k = rank(n, rate)
    return Quantile(float(ordered[k - 1]), expected_rate(n, k), upper_rate(n, k))


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
            those whose part is among the learned ones too, and then no rate is stated.
        by_user: whether the user named the groups, rather than near copies.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the rate isn't between 0 and 1.
    """
    learned = groups is not None and LEARNED in groups
    if learned:  # the largest scores, of parts that are learned too: nothing follows from them for others
        image, pixel = (conformal_quantile([max(v)], rate) for v in (scores, map_maxima))
        image = Quantile(image.threshold, 1.0, 1.0)
    else:
        image, pixel = (conformal_quantile(largest_by_group(v, groups), rate) for v in (scores, map_maxima))
    n_counted = len(scores) if groups is None else len(set(groups))
    counted: Literal["images", "parts", "groups"] = "groups" if by_user else "parts"
    return ThresholdRecord(
        score=_single(image.threshold),
        pixel=_single(pixel.threshold),
        rule="largest-of-learned" if learned else "split-conformal",
        false_positive_rate=rate,
        n_images=len(scores),
        counted="images" if n_counted == len(scores) else counted,
        n_counted=n_counted,
        expected_rate=image.expected_rate,
        upper_rate=image.upper_rate,
    )


def largest_by_group(values: Sequence[float], groups: Sequence[int] | None) -> list[float]:
    """The largest value of each group, in the order of their first; all values where there are no groups."""
    if groups is None:
        return list(values)
    largest: dict[int, float] = {}
    for value, group in zip(values, groups, strict=True):
        largest[group] = max(value, largest.get(group, value))
    return list(largest.values())


def _single(value: float) -> float:
    """Round up to float32, what the graph yields, so that the calibrating image itself stays good."""
    single = np.float32(value)
    return float(single if single >= value else np.nextafter(single, np.float32(np.inf)))


__all__ = ["LEARNED", "Quantile", "calibrate", "conformal_quantile", "largest_by_group"]
