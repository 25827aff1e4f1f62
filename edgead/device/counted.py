"""Good scores of parts that were photographed several times: a part counts once, each of its images a share.

With K parts, a new image of a new part exceeds a score with a probability of at most (1 + the sum over the
parts of the share of their images that do) / (K + 1), whatever the scores' law and however alike a part's
images are: hierarchical conformal prediction (Lee, Barber and Willett 2023; Dunn, Wasserman and Ramdas 2022).
With one image each that's the split conformal rate. How sure it is, the parts alone say: a part counts as
over a threshold where any of its images is, so the bound holds for images as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.conformal import upper_rate

APART = -2
"""Group of an image that is unlike all others. A fit that lacks it has nothing like it, and one such image
would set the threshold for all; but parts like it will come, as rare as it is. So one with a score over all
others counts as over any threshold: it's in the rate, and it isn't what the threshold is read off. With a
score among the others' it's a part like any other."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """Scores, and how many parts are over each.

    Attributes:
        values: (m,) float64, the different scores, ascending.
        over: (m,) float64, parts over each, an image for its share of one; those ``APART`` may be over all.
        largest: (n,) float64, each part's largest score, ascending; infinite for those.
    """

    values: Floats
    over: Floats
    largest: Floats

    @property
    def n(self) -> int:
        """How many parts there are."""
        return len(self.largest)

    def expected(self, k: int, share: float = 0.0) -> float:
        """The rate to expect, 0 to 1, of the k-th value as threshold, counted from 0, or of one beyond it.

        Args:
            share: how far the threshold is from there to the next value, 0 to 1. In between the rate falls
                as it does between scores of single images; see ``edgead.conformal``.
        """
        at = float(self.over[k] + 1) / (self.n + 1)
        return at * self._fall(k) / (self._fall(k) + share) if share else at

    def at_most(self, rate: float) -> tuple[int, float]:
        """The value, and the share of the way to the next one, from which on the rate isn't exceeded.

        The largest value where none is so rare.
        """
        kept = np.flatnonzero(self.over + 1 <= rate * (self.n + 1) * (1 + 1e-12))
        k = int(kept[0]) if len(kept) else len(self.values) - 1
        if k == 0 or not len(kept) or self.expected(k) >= rate * (1 - 1e-12):
            return k, 0.0
        share = self._fall(k - 1) * (self.expected(k - 1) / rate - 1)
        return k - 1, min(max(share, 0.0), 1.0)

    def upper(self, threshold: float) -> float:
        """The rate is below this with 95 % confidence or more."""
        k = int(np.searchsorted(self.largest, threshold, "right"))
        return upper_rate(self.n, k) if k else 1.0

    def _fall(self, k: int) -> float:
        step = float(self.over[k] - self.over[k + 1])
        return (float(self.over[k]) + 1 - step) / step


def count(scores: Sequence[float], groups: Sequence[int] | None) -> Counted | None:
    """Count the parts over each score; None where no part has several images.

    Args:
        scores: (n,) finite.
        groups: equal for the images of one part, ``APART`` for one that is unlike all others.
    """
    if groups is None or len(largest_by_group(scores, groups)) == len(scores):
        return None
    own, apart = _own_part(scores, groups)
    values = np.array([scores[i] for i in own])
    _, part, sizes = np.unique(list(own.values()), return_inverse=True, return_counts=True)
    different, at = np.unique(values, return_inverse=True)
    here = np.bincount(at, 1 / sizes[part])
    over = np.maximum(len(sizes) - np.cumsum(here), 0) + apart
    over[-1] = apart  # exactly
    return Counted(different, over, np.sort(largest_by_group(scores, groups)))


def largest_by_group(values: Sequence[float], groups: Sequence[int] | None) -> list[float]:
    """The largest value of each group, in the order of their first; all values where there are no groups.

    Infinity for each image ``APART`` that is over all others, after the rest.
    """
    if groups is None:
        return list(values)
    own, apart = _own_part(values, groups)
    largest: dict[int, float] = {}
    for i, part in own.items():
        largest[part] = max(values[i], largest.get(part, values[i]))
    return [*largest.values(), *[float("inf")] * apart]


def _own_part(values: Sequence[float], groups: Sequence[int]) -> tuple[dict[int, int], int]:
    """Each image's part, by its index, and how many others are over all; an image alone gets one under 0."""
    usual = [value for value, group in zip(values, groups, strict=True) if group != APART]
    highest = max(usual, default=float("-inf"))
    own, apart = {}, 0
    for i, (value, group) in enumerate(zip(values, groups, strict=True)):
        if group != APART:
            own[i] = group
        elif value <= highest:
            own[i] = APART - 1 - i
        else:
            apart += 1
    return own, apart


__all__ = ["APART", "Counted", "count", "largest_by_group"]
