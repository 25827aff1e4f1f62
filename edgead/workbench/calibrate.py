"""The threshold, from held-out good images alone, to a target false-positive rate.

Split conformal calibration (Vovk et al. 2005; Laxhammar and Falkman 2010 for anomalies): with n held-out
scores, the k-th smallest, k = ceil((n + 1)(1 - rate)), is exceeded by a new good image with probability at
most ``rate``. Where k > n, n images can't show so small a rate: the largest score is taken and the note
says what rate it stands for.

That holds for scores that are drawn independently of each other, and of the learned images, as those of the
line will be. Several images of one part are not: so a group of them counts once, by its largest score. A new
part's image exceeds the threshold no more often than the largest of a group of its images would, so what is
stated for groups holds for images as well.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgead.errors import DatasetError, OptionError
from edgead.manifest import ThresholdRecord

CONFIDENCE = 0.95
LEARNED = -1
"""Group of a held-out image whose part is among the learned ones."""
RULE = "split conformal quantile of held-out good images"
ASSUMED = "those images show different parts, drawn as the line's are"
ASSUMED_OF_GROUPS = "the groups are drawn as the line's are"


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
    """Calibrate one threshold; see the module's text.

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
    k = min(math.ceil((n + 1) * (1 - rate) - 1e-12), n)
    # The rate at the k-th smallest of n is Beta(n + 1 - k, k) distributed, whatever the scores' law.
    return Quantile(float(ordered[k - 1]), (n + 1 - k) / (n + 1), _upper_bound(n, k))


def calibrate(
    scores: Sequence[float],
    map_maxima: Sequence[float],
    rate: float,
    groups: Sequence[int] | None = None,
    by: str = "",
) -> ThresholdRecord:
    """Thresholds for image score and pixel, and the sentence that says how far they can be trusted.

    Args:
        scores: image scores of held-out good images.
        map_maxima: the maxima of their anomaly maps; over the pixel threshold is anomalous.
        rate: false-positive rate aimed at, per image.
        groups: which group each image belongs to, where not every one shows a part of its own; ``LEARNED`` of
            those whose part is among the learned ones too, and then no rate is stated.
        by: what the user grouped them by, if he did.

    Raises:
        DatasetError: no scores, or one isn't finite.
        OptionError: the rate isn't between 0 and 1.
    """
    n = len(scores)
    if groups is not None and LEARNED in groups:
        return _without_promise(scores, map_maxima, rate)
    image = conformal_quantile(largest_by_group(scores, groups), rate)
    pixel = conformal_quantile(largest_by_group(map_maxima, groups), rate)
    n_groups = n if groups is None else len(set(groups))
    counted = _count(n, "held-out image")
    if n_groups != n:
        counted = f"{_count(n_groups, 'group' if by else 'different part')} in {counted}"
    note = (
        f"expect {image.expected_rate:.2%} of good images over the threshold, "
        f"under {image.upper_rate:.2%} with {CONFIDENCE:.0%} confidence"
    )
    if image.expected_rate > rate * (1 + 1e-9):
        needed = math.ceil(1 / rate) - 1
        note = f"{counted} can't show a rate of {rate:.2%}, that takes {needed}: " + note
    elif n_groups != n:
        note += f", from {counted}"
    return ThresholdRecord(
        score=_single(image.threshold),
        pixel=_single(pixel.threshold),
        rule=RULE if n_groups == n else f"{RULE}, each group's largest",
        false_positive_rate=rate,
        n_images=n,
        note=f"{note}, if {ASSUMED_OF_GROUPS if by else ASSUMED}",
        expected_rate=image.expected_rate,
        upper_rate=image.upper_rate,
        n_groups=0 if n_groups == n else n_groups,
    )


def largest_by_group(values: Sequence[float], groups: Sequence[int] | None) -> list[float]:
    """The largest value of each group, in the order of their first; all values where there are no groups."""
    if groups is None:
        return list(values)
    largest: dict[int, float] = {}
    for value, group in zip(values, groups, strict=True):
        largest[group] = max(value, largest.get(group, value))
    return list(largest.values())


def _without_promise(scores: Sequence[float], map_maxima: Sequence[float], rate: float) -> ThresholdRecord:
    """The largest scores, of parts that are learned too: nothing follows from them for other parts."""
    return ThresholdRecord(
        score=_single(conformal_quantile([max(scores)], rate).threshold),
        pixel=_single(conformal_quantile([max(map_maxima)], rate).threshold),
        rule=RULE,
        false_positive_rate=rate,
        n_images=len(scores),
        note="no false-positive rate can be stated: the held-out images are near copies of learned ones",
        expected_rate=1.0,
        upper_rate=1.0,
        n_groups=1,
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _single(value: float) -> float:
    """Round up to float32, what the graph yields, so that the calibrating image itself stays good."""
    single = np.float32(value)
    return float(single if single >= value else np.nextafter(single, np.float32(np.inf)))


@functools.cache
def _upper_bound(n: int, k: int) -> float:
    """The rate p at which n - k or fewer of n good images over the threshold has probability 5 %."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = sum(math.exp(_log_binomial(n, i, middle)) for i in range(n - k + 1))
        low, high = (middle, high) if tail > 1 - CONFIDENCE else (low, middle)
    return high


def _log_binomial(n: int, i: int, p: float) -> float:
    choices = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return choices + i * math.log(p) + (n - i) * math.log1p(-p)
