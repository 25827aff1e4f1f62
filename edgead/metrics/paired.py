"""Two bundles' verdicts on the same images: is one wrong less often than chance explains?

Only the images on which the verdicts differ say anything. McNemar's exact test asks how likely a split of
these at least as uneven is if both bundles were equally often wrong (Q. McNemar, "Note on the sampling error
of the difference between correlated proportions or percentages", Psychometrika 12, 1947; with the binomial's
own sum). The interval of the difference is Newcombe's: Wilson's of either share, put together with regard to
how the two go along (R. G. Newcombe, "Improved confidence intervals for the difference between binomial
proportions based on paired data", Statistics in Medicine 17, 1998, method 10). Both hold for few images, for
none that differ and for shares of 0 and 1, where drawing images again shows no spread.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import InputError
from edgead.metrics.uncertainty import Difference, share_interval
from edgead.notices import Notice


def paired_shares(wrong: ArrayLike, before: ArrayLike, none: Notice) -> Difference:
    """The share of images that are judged wrongly, less the share that another bundle judged wrongly.

    Args:
        wrong, before: (images,) bool, of the same images in the same order.
        none: why there's no difference where there are no images.

    Returns:
        The difference with its 95 % interval, and the p value of McNemar's exact test (two-sided).

    Raises:
        edgead.errors.InputError: the shapes differ.
    """
    new, old = np.asarray(wrong, bool), np.asarray(before, bool)
    if new.ndim != 1 or new.shape != old.shape:
        raise InputError(f"verdicts of shapes {new.shape} and {old.shape}: pass both for the same images")
    if not new.size:
        return Difference(None, reason=none)
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    value = (gained - lost) / new.size
    return Difference(value, _interval(new, old), _mcnemar(gained, lost))


def _mcnemar(one: int, other: int) -> float:
    """Twice the probability that the smaller of two equally likely parts is so small: exact to the end."""
    images, smaller = one + other, min(one, other)
    ways = total = 1
    for k in range(1, smaller + 1):
        ways = ways * (images - k + 1) // k
        total += ways
    whole: int = 2**images
    return min(1.0, 2 * total / whole)


def _interval(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> tuple[float, float]:
    n = new.size
    both, neither = int((new & old).sum()), int((~new & ~old).sum())
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    p, q = (both + gained) / n, (both + lost) / n
    (p_low, p_high), (q_low, q_high) = share_interval(both + gained, n), share_interval(both + lost, n)
    margins = math.prod((both + gained, lost + neither, both + lost, gained + neither))
    together = float(both * neither - gained * lost)
    if together > 0:  # corrected for continuity
        together = max(0.0, together - n / 2)
    going_along = together / math.sqrt(margins) if margins else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * going_along * a * b + b * b))

    return p - q - reach(p - p_low, q_high - q), p - q + reach(p_high - p, q - q_low)


__all__ = ["paired_shares"]
