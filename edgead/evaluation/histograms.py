"""One histogram per image, over common bins: what resampling images needs of their pixels.

Drawing images again and evaluating all their pixels a thousand times would take days. Every pixel metric is a
function of how many good and defective pixels, how much overlap and how many regions lie at each score, and
these add up over images. So each image leaves a sparse histogram of its scores, and a draw is a weighted sum.

The bins are fine at first and put together, two by two, as the histograms come to fill their memory: a few
dozen maps keep nearly every score apart, thousands of maps some thousand bins each. For a draw, a common
set of about ``THRESHOLDS`` is chosen from them, evenly spaced in what the metrics depend on: in true- and
false-positive rate, in overlap, and in the logarithm of false positives, which rules precision; and scores at
which regions are found. Scores between two chosen thresholds count as tied. The tests state how far that is
from all scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.counting import Keys, PixelCounts, without_low_bits
from edgead.evaluation.curves import Curve, Values

Numbers = NDArray[np.int64]

THRESHOLDS = 1024
_REGION_THRESHOLDS = 512
_FIRST_SHIFT = 6
"""Bits of a score that the bins leave out at first: 17 bits of the fraction stay."""


@dataclass(frozen=True)
class _Histogram:
    """One image: its occupied bins, ascending, and what is in each.

    Attributes:
        good_bins, good: of its good pixels, and their number.
        bad_bins, bad, overlap: of its defective pixels, their number and the sum of their weights.
        found: for each of its regions the bin from which on it's found.
    """

    good_bins: Keys
    good: Numbers
    bad_bins: Keys
    bad: Numbers
    overlap: Values
    found: Keys

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
        self._shift = _FIRST_SHIFT
        self._images: list[_Histogram] = []

    def add(self, good: Keys, bad: Keys, overlap: Values, found: Keys) -> None:
        """Add an image: flat keys of its good and defective pixels, these' weights, its regions' keys."""
        good, bad, found = (without_low_bits(keys, self._shift) for keys in (good, bad, found))
        good_bins, good_counts = _count(good)
        bad_bins, bad_counts = _count(bad)
        sums = np.bincount(np.searchsorted(bad_bins, bad), overlap, bad_bins.size).astype(np.float64)
        image = _Histogram(good_bins, good_counts, bad_bins, bad_counts, sums, found)
        self._images.append(image)
        self._used += image.nbytes
        while self._used > self._memory and self._shift < 31:
            self._shift += 1
            self._images = [_halve(image) for image in self._images]
            self._used = sum(image.nbytes for image in self._images)

    def samples(self, weights: NDArray[np.int64], counts: PixelCounts, found: Keys) -> dict[str, Values]:
        """Compute the pixel metrics for each row of weights.

        Args:
            weights: (n, images).
            counts, found: of all images together, to choose the thresholds by.

        Returns:
            Name to (n,), NaN where a row has no good or no defective pixel.
        """
        edges = np.unique(without_low_bits(choose_thresholds(counts, found), self._shift))
        good, bad, overlap, regions = (np.zeros((len(self._images), edges.size)) for _ in range(4))
        for i, image in enumerate(self._images):
            good[i] = _place(edges, image.good_bins, image.good)
            bad[i] = _place(edges, image.bad_bins, image.bad)
            overlap[i] = _place(edges, image.bad_bins, image.overlap)
            regions[i] = _place(edges, image.found)
        some = bad.any(axis=1)
        bad, overlap, regions = bad[some], overlap[some], regions[some]
        parts = []
        for start in range(0, max(1, len(weights)), 100):
            drawn = weights[start : start + 100].astype(np.float64)
            defective = drawn[:, some]
            totals = drawn @ good.sum(1), defective @ bad.sum(1), defective @ regions.sum(1)
            curve = Curve(*totals)
            curve.extend(drawn @ good, defective @ bad, defective @ overlap, defective @ regions)
            parts.append(curve.values())
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def choose_thresholds(counts: PixelCounts, found: Keys) -> Keys:
    """Return about ``THRESHOLDS`` keys, ascending from 0: the lowest of each bin."""
    chosen = [np.zeros(1, np.uint32)]
    fp = tp = overlap = 0.0
    last = -1.0
    regions = max(1, found.size)
    for block in counts.blocks():
        fps, tps = fp + np.cumsum(block.good), tp + np.cumsum(block.bad)
        overlaps = overlap + np.cumsum(block.overlap)
        way = (
            fps / max(1, counts.good)
            + np.log1p(fps) / np.log1p(max(1, counts.good))
            + tps / max(1, counts.bad)
            + overlaps / regions
        ) / 4
        step = np.floor(way * THRESHOLDS)
        chosen.append(block.keys[step > np.append(last, step[:-1])])
        fp, tp, overlap, last = fps[-1], tps[-1], overlaps[-1], step[-1]
    own = np.unique(found)
    if own.size > _REGION_THRESHOLDS:
        own = own[np.linspace(0, own.size - 1, _REGION_THRESHOLDS).astype(np.intp)]
    return np.unique(np.concatenate([*chosen, own]))


def _count(bins: Keys) -> tuple[Keys, Numbers]:
    """Return the occupied bins, ascending, and how many values each has."""
    low, high = int(bins.min(initial=0xFFFFFFFF)), int(bins.max(initial=0))
    if bins.size and high - low < 8 * bins.size:  # counting beats sorting where the counters are few
        counts = np.bincount(bins - np.uint32(low))
        some = np.flatnonzero(counts)
        return (some + low).astype(np.uint32), counts[some].astype(np.int64)
    occupied, counts = np.unique(bins, return_counts=True)
    return occupied, counts.astype(np.int64)


def _halve(image: _Histogram) -> _Histogram:
    """Put each two neighbouring bins together."""
    good, bad, found = (without_low_bits(k, 1) for k in (image.good_bins, image.bad_bins, image.found))
    good_starts = np.flatnonzero(np.append(True, good[1:] != good[:-1])[: good.size])
    bad_starts = np.flatnonzero(np.append(True, bad[1:] != bad[:-1])[: bad.size])
    return _Histogram(
        good[good_starts],
        _add_up(image.good, good_starts),
        bad[bad_starts],
        _add_up(image.bad, bad_starts),
        _add_up(image.overlap, bad_starts),
        found,
    )


def _add_up(values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    return np.add.reduceat(values, starts) if starts.size else values


def _place(edges: Keys, bins: Keys, values: NDArray[Any] | None = None) -> NDArray[Any]:
    """Add values up between the edges, the highest bin first."""
    at = edges.size - np.searchsorted(edges, bins, side="right")
    return np.bincount(at, values, edges.size)


__all__ = ["THRESHOLDS", "ImageHistograms", "choose_thresholds"]
