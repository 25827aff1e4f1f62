"""How sure a metric of 1 is, where the scores separate all test images.

Every draw of perfectly separated images is perfectly separated, so that a bootstrap's interval has no width,
however few they are. Here are the lower ends of intervals that assume nothing of how scores are distributed:
were the metric lower than that among all such parts, test images would be separated perfectly with 2.5 %
probability at most. The upper end is 1. They rest on two limits:

- AUROC is the chance that a defective image scores over a good one. Of n defective and m good images, pair
  each one of the smaller kind with another of the larger: k = min(n, m) independent pairs, each in order
  with that chance, and all of them are. So AUROC's is Clopper and Pearson's limit for k of k,
  0.025 ** (1 / k) ("The use of confidence or fiducial limits illustrated in the case of the binomial",
  Biometrika 26, 1934). It can't be better without assumptions: where some defects look like good parts, it's
  just as likely.
- Take the threshold that a share 1 - 0.0125 ** (1 / m) of all good parts is over. With 98.75 % probability
  the highest of m good images is over it; then so are all n defective ones, which has a probability of 1.25 %
  at most unless 0.0125 ** (1 / n) of all defective parts are.

From either limit follow the worst AP and F1-max, at the test images' shares of good and defective ones; the
better of both is taken.
"""

from __future__ import annotations

import math

import numpy as np

_LOWER = 0.025
_STEPS = 2000


def auroc_at_least(good: int, bad: int) -> float:
    """Return the lower end of the AUROC's 95 % interval, of so many good and bad images in perfect order."""
    return float(_LOWER ** (1 / min(good, bad)))


def f1_max_at_least(good: int, bad: int) -> float:
    """Return the lower end of F1-max's, at the same shares of good and bad images."""
    ratio = good / bad
    rate, recall = _point(good, bad)
    return max(2 * recall / (recall + ratio * rate + 1), _f1_of_area(auroc_at_least(good, bad), ratio))


def ap_at_least(good: int, bad: int) -> float:
    """Return the lower end of average precision's, at the same shares of good and bad images."""
    ratio = good / bad
    rate, recall = _point(good, bad)
    by_point = _ap_between(0, recall, ratio * rate) + _ap_between(recall, 1, ratio)
    return max(by_point, _ap_of_area(auroc_at_least(good, bad), ratio))


def _point(good: int, bad: int) -> tuple[float, float]:
    """A false-positive rate, and the recall that there's at least where it's no higher."""
    return 1 - (_LOWER / 2) ** (1 / good), (_LOWER / 2) ** (1 / bad)


def _ap_between(low: float, high: float, false: float) -> float:
    """The integral over the recall t of the precision t / (t + false)."""
    return high - low - false * math.log((high + false) / (low + false))


def _f1_of_area(area: float, ratio: float) -> float:
    """F1-max at least, of all ROC curves over such an area: under f, a curve lies under a straight line."""

    def most(f1: float) -> float:
        slope = f1 / (2 - f1)
        full = min(1.0, (1 / slope - 1) / ratio)
        return slope * (full + ratio * full * full / 2) + 1 - full

    low, high = 2 / (2 + ratio), 1.0  # with everything called defective, and at best
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if most(middle) < area else (low, middle)
    return low


def _ap_of_area(area: float, ratio: float) -> float:
    """AP at least, of all ROC curves over such an area.

    Over the recalls t, false-positive rates x of mean 1 - area that make t / (t + ratio * x) least: by
    Lagrange, t + ratio * x goes with the root of t. That rates rise with t isn't asked, so it's a little low.
    """
    recall = (np.arange(_STEPS) + 0.5) / _STEPS

    def rates(level: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.clip((math.exp(level) * np.sqrt(recall) - recall) / ratio, 0, 1)

    low, high = -50.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if rates(middle).mean() < 1 - area else (low, middle)
    return float((recall / (recall + ratio * rates(high))).mean())


AT_LEAST = {"image_auroc": auroc_at_least, "image_ap": ap_at_least, "image_f1_max": f1_max_at_least}
"""Name of a metric to its lower end."""

__all__ = ["AT_LEAST", "ap_at_least", "auroc_at_least", "f1_max_at_least"]
