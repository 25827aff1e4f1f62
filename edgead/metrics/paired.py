"""Two bundles' verdicts on the same images: is one wrong less often than chance explains?

Only the images on which the verdicts differ say anything. McNemar's exact test asks how likely a split of
these at least as uneven is if both bundles were equally often wrong (Q. McNemar, "Note on the sampling error
of the difference between correlated proportions or percentages", Psychometrika 12, 1947; with the binomial's
own sum). The interval of the difference is Newcombe's: Wilson's of either share, put together with regard to
how the two go along (R. G. Newcombe, "Improved confidence intervals for the difference between binomial
proportions based on paired data", Statistics in Medicine 17, 1998, method 10). Both hold for few images, for
none that differ and for shares of 0 and 1, where drawing images again shows no spread, or too little.

F1 is tested in the same way: if the bundles were alike, either of an image's two verdicts could be either's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import InputError
from edgead.metrics.uncertainty import Difference, share_interval
from edgead.metrics.verdicts import Share, f1
from edgead.notices import Notice

_SAME = 1e-12


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


def paired_f1(wrong: ArrayLike, before: ArrayLike, bad: ArrayLike) -> Difference:
    """F1 of verdicts less F1 of another bundle's, on the same images.

    Args:
        wrong, before: (images,) bool.
        bad: (images,) bool, the defective ones.

    Returns:
        The difference, and the p value of the exact test (two-sided): how likely one at least as large is if
        each image's two verdicts are exchanged at random. It has no interval: those of the shares say more.

    Raises:
        edgead.errors.InputError: the shapes differ.
    """
    new, old, labels = (np.asarray(each, bool) for each in (wrong, before, bad))
    if new.ndim != 1 or not new.shape == old.shape == labels.shape:
        raise InputError(
            f"verdicts of shapes {new.shape} and {old.shape} for {labels.shape} images: pass all for the same"
        )
    reason = f1(Share(0, int(labels.sum())), Share(0, int((~labels).sum()))).reason
    if reason is not None:
        return Difference(None, reason=reason)
    n_bad = int(labels.sum())
    both_bad, both_good = (int((new & old & kind).sum()) for kind in (labels, ~labels))
    splits = [int(((new != old) & kind).sum()) for kind in (labels, ~labels)]
    alarms = both_good + np.arange(splits[1] + 1)

    def less(missed: int) -> NDArray[np.float64]:
        """The difference where so many of the differing defects escape the one, by its false alarms."""
        other = 2 * both_bad + splits[0] - missed
        return _f1(n_bad, missed, alarms) - _f1(n_bad, other, alarms[::-1])

    seen = float(less(int((new & labels).sum()))[int((new & ~old & ~labels).sum())])
    of_bad, of_good = _halves(splits[0]), _halves(splits[1])
    as_far = sum(
        share * float(of_good[np.abs(less(both_bad + k)) >= abs(seen) - _SAME].sum())
        for k, share in enumerate(of_bad.tolist())
    )
    return Difference(seen, p_value=min(1.0, as_far))


def _f1(n_bad: int, missed: int, alarms: NDArray[np.int64]) -> NDArray[np.float64]:
    found = n_bad - missed
    return np.asarray(2 * found / (found + alarms + n_bad), np.float64)


def _halves(images: int) -> NDArray[np.float64]:
    """How likely 0, 1, ... of so many images are, each with probability one half."""
    ways, all_ways = [1], 2**images
    for k in range(1, images + 1):
        ways.append(ways[-1] * (images - k + 1) // k)
    return np.array([way / all_ways for way in ways])


def _mcnemar(one: int, other: int) -> float:
    """Twice the probability that the smaller of two equally likely parts is so small."""
    return min(1.0, 2 * float(_halves(one + other)[: min(one, other) + 1].sum()))


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


__all__ = ["paired_f1", "paired_shares"]
