"""One histogram per image: what drawing images again needs of their pixels.

Evaluating all pixels of a thousand draws would take days. But every pixel metric is a function of how many
good and defective pixels, how much overlap and how many regions there are at each score or over it, and these
add up over images. So each image leaves a histogram with bins of its own, and a draw is a weighted sum.

An image's bins are narrow where the metrics depend on it: each holds a small share of its pixels, and a small
share of those at its score or over it, because precision depends on the few highest. As histograms come to
fill their memory, all get fewer bins: a few dozen maps keep nearly every score apart, five thousand get some
two thousand bins each. A draw is read off at about a thousand common scores, chosen likewise, and at scores
at which regions are found; what a bin holds is spread evenly over it, and scores between two common ones
count as tied. The tests state how far that is from evaluating all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.metrics.counting import Keys, PixelCounts
from edgead.metrics.curves import Curve, Values

THRESHOLDS = 1024
_REGION_THRESHOLDS = 512
_MOST_BINS, _FEWEST_BINS = 1 << 16, 64
_FEW = 1 << 16
"""Pixels: fewer are sorted."""


@dataclass(frozen=True)
class _Bins:
    """What lies where, the lowest bin first; bins don't overlap.

    Attributes:
        low, high: (n,) uint32, the lowest and highest key in each bin.
        count: (n,) number of pixels.
        overlap: (n,) sum of their weights; empty for good pixels, which have none.
    """

    low: Keys
    high: Keys
    count: NDArray[Any]
    overlap: Values

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in vars(self).values())


class ImageHistograms:
    """Histograms of the images' pixels in bounded memory; see the module's text.

    Args:
        memory: bytes that they may take.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._used = 0
        self._most = _MOST_BINS
        self._good: list[_Bins] = []
        self._bad: list[_Bins] = []
        self._found: list[Keys] = []

    def add(self, good: Keys, bad: Keys, overlap: Values, found: Keys) -> None:
        """Add an image: flat keys of its good and defective pixels, these' weights, its regions' keys."""
        self._good.append(_merge(_count(good), self._most))
        self._bad.append(_merge(_count_weighted(bad, overlap), self._most))
        self._found.append(found)
        self._used += self._good[-1].nbytes + self._bad[-1].nbytes + found.nbytes
        while self._used > self._memory and self._most > _FEWEST_BINS:
            self._most //= 2
            self._good = [_merge(bins, self._most) for bins in self._good]
            self._bad = [_merge(bins, self._most) for bins in self._bad]
            self._used = sum(array.nbytes for part in (self._good, self._bad, self._found) for array in part)

    def samples(self, weights: NDArray[np.int64], counts: PixelCounts, found: Keys) -> dict[str, Values]:
        """Compute the pixel metrics for each row of weights.

        Args:
            weights: (n, images).
            counts, found: of all images together, to choose the common scores by.

        Returns:
            Name to (n,), NaN where a row has no good or no defective pixel.
        """
        edges = _choose(counts, found)
        some = np.flatnonzero([bins.count.size > 0 for bins in self._bad])
        good = np.stack([np.rint(_over(edges, b, b.count)) for b in self._good])
        bad = np.stack([np.rint(_over(edges, self._bad[i], self._bad[i].count)) for i in some])
        overlap = np.stack([_over(edges, self._bad[i], self._bad[i].overlap) for i in some])
        regions = np.stack([_at_or_over(edges, self._found[i]) for i in some])
        parts = []
        for start in range(0, max(1, len(weights)), 100):
            drawn = weights[start : start + 100].astype(np.float64)
            # Of each, what is over the edges, and by that what lies between them: from the highest down.
            sums = (drawn @ good, *(drawn[:, some] @ per_image for per_image in (bad, overlap, regions)))
            curve = Curve(sums[0][:, -1], sums[1][:, -1], sums[3][:, -1])
            curve.extend(*(np.diff(each, axis=1, prepend=0) for each in sums))
            parts.append(curve.values())
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _choose(counts: PixelCounts, found: Keys) -> Keys:
    """Return about ``THRESHOLDS`` keys and those of regions, descending to 0, evenly along the metrics."""
    chosen = [np.zeros(1, np.uint32)]
    fp = tp = overlap = 0.0
    last_key, last_step = np.uint32(0xFFFFFFFF), -1.0
    for block in counts.blocks():
        fps, tps = fp + np.cumsum(block.good), tp + np.cumsum(block.bad)
        overlaps = overlap + np.cumsum(block.overlap)
        way = _way(fps, counts.good) / 2 + tps / counts.bad / 4 + overlaps / found.size / 4
        step = np.floor(way * THRESHOLDS)
        jump = np.diff(step, prepend=last_step)
        before = np.append(last_key, block.keys[:-1])
        chosen += [block.keys[jump > 0], before[jump > 1]]  # not tied with what alone makes more than a step
        fp, tp, overlap = fps[-1], tps[-1], overlaps[-1]
        last_key, last_step = block.keys[-1], step[-1]
    own = np.unique(found)
    if own.size > _REGION_THRESHOLDS:
        own = own[np.linspace(0, own.size - 1, _REGION_THRESHOLDS).astype(np.intp)]
    return np.unique(np.concatenate([*chosen, own]))[::-1]


def _way(over: Values, total: int) -> Values:
    """From 0 to 1 as the number of pixels over a score goes from 0 to all, half of it for the highest few."""
    return np.asarray(over / total + np.log1p(over) / np.log1p(total), np.float64) / 2


def _count(keys: Keys) -> _Bins:
    """Count keys in bins narrow enough; sorted only where it must be, since counting is far quicker."""
    none = np.empty(0)
    if keys.size < _FEW:
        found, counts = np.unique(keys, return_counts=True)
        return _Bins(found, found, counts.astype(np.uint32), none)
    lowest, spread = int(keys.min()), int(keys.max() - keys.min())
    shift = max(0, spread.bit_length() - keys.size.bit_length() + 2)
    counts = np.bincount((keys - np.uint32(lowest)) >> np.uint32(shift))
    over = np.cumsum(counts[::-1])[::-1]
    if shift and (counts > 16 + over / 256).any():  # too much in one bin, say where scores saturate
        found, counts = np.unique(keys, return_counts=True)
        return _Bins(found, found, counts.astype(np.uint32), none)
    some = np.flatnonzero(counts)
    low = lowest + (some << shift)
    high = np.minimum(low + (1 << shift) - 1, lowest + spread)
    return _Bins(low.astype(np.uint32), high.astype(np.uint32), counts[some].astype(np.uint32), none)


def _count_weighted(keys: Keys, weights: Values) -> _Bins:
    found, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.bincount(index, weights, found.size).astype(np.float64)
    return _Bins(found, found, counts.astype(np.uint32), sums)


def _merge(bins: _Bins, most: int) -> _Bins:
    """Put neighbouring bins together until there are at most so many."""
    if bins.count.size <= most:
        return bins
    over = np.cumsum(bins.count[::-1], dtype=np.float64)[::-1]
    way = _way(over, int(over[0]))
    if bins.overlap.size:
        shares = np.cumsum(bins.overlap[::-1])[::-1]
        way = (way + shares / shares[0]) / 2
    jump = -np.diff(np.floor(way * (most // 2)), append=-1)  # in each bin, over the one above it
    # What alone makes more than a step keeps a bin of its own, or it would be spread over its neighbours'.
    starts = np.flatnonzero(np.append(True, (jump[:-1] > 0) | (jump[1:] > 1)))
    return _Bins(
        bins.low[starts],
        bins.high[np.append(starts[1:], bins.high.size) - 1],
        np.add.reduceat(bins.count, starts),
        np.add.reduceat(bins.overlap, starts) if bins.overlap.size else bins.overlap,
    )


def _at_or_over(edges: Keys, keys: Keys) -> Values:
    return (keys.size - np.searchsorted(np.sort(keys), edges, side="left")).astype(np.float64)


def _over(edges: Keys, bins: _Bins, values: NDArray[Any]) -> Values:
    """Add up the values at each edge and over it, those of a bin spread evenly from its low to its high."""
    if not values.size:
        return np.zeros(edges.size)
    above = np.append(np.cumsum(values[::-1], dtype=np.float64)[::-1], 0)
    first = np.searchsorted(bins.low, edges, side="left")
    split = np.maximum(first - 1, 0)  # the bin that the edge may be in
    low, high = bins.low[split].astype(np.float64), bins.high[split].astype(np.float64)
    share = np.where(first > 0, np.clip((high - edges + 1) / (high - low + 1), 0, 1), 0)
    return np.asarray(above[first] + share * values[split], np.float64)


__all__ = ["THRESHOLDS", "ImageHistograms"]
