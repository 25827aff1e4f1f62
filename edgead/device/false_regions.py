"""A pixel threshold for a rate of false regions a frame, of at least a smallest area, from good images' maps.

A region is a connected area of the map over the threshold, in the map's own pixels, which are the model's
input. Of n good frames, or groups of frames that count once by the one with most, at most m regions may be
left, where (m + 1) / (n + 1) is the rate (the control of an expected loss of Angelopoulos et al., "Conformal
risk control", ICLR 2024, for a loss of one region a frame). That the rate is below the upper one holds with
95 % confidence if regions are Poisson distributed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.areas import count_areas
from edgead.conformal import CONFIDENCE
from edgead.notices import Notice
from edgead.sampling import spread

LEVELS = 16
"""Thresholds that are looked at from the top down, before the last step is halved."""
EXACT = 1e-4
"""Of the threshold: so near the lowest one it's found."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class RegionRate:
    """A pixel threshold and the false regions that it leaves.

    Attributes:
        threshold: a pixel of the map over it is anomalous.
        smallest_area: pixels of the smallest area that counts.
        asked: the rate aimed at, regions a frame.
        expected: the rate to expect, averaged over sets of good frames of this size.
        upper: the rate is below this with 95 % confidence.
        regions: how many the good frames have at the threshold.
        frames: how many of them, or of groups of them, counted.
    """

    threshold: float
    smallest_area: int
    asked: float
    expected: float
    upper: float
    regions: int
    frames: int

    @property
    def is_shown(self) -> bool:
        """Whether so many frames can show so small a rate."""
        return self.expected <= self.asked * (1 + 1e-9)

    def notice(self) -> Notice:
        """What to expect, for ``edgead.notices.say``."""
        values = {"expected": self.expected, "upper": self.upper, "confidence": CONFIDENCE}
        counts = {"regions": self.regions, "frames": self.frames, "area": self.smallest_area}
        return Notice("rate-of-regions", values | counts)


def region_rate(
    maps: Sequence[Map], rate: float, smallest_area: int, groups: Sequence[int] | None = None
) -> RegionRate:
    """The lowest pixel threshold that leaves good frames so few regions, to ``EXACT``.

    It's found from the top down, for the number of regions can fall again further down, where they merge.

    Args:
        maps: anomaly maps of good frames, (H, W) each, the part that shows the frame; one at least.
        rate: false regions a frame, over 0 and under 1.
        smallest_area: pixels, 1 or more.
        groups: each frame's group, where several show one part.
    """
    labels = list(range(len(maps))) if groups is None else list(groups)
    frames = len(set(labels))
    allowed = max(0, math.floor(rate * (frames + 1) + 1e-9) - 1)
    ordered = sorted(((float(m.max()), label, m) for m, label in zip(maps, labels, strict=True)), key=_top)

    def regions(threshold: np.float32) -> int:
        """How many there are; any number over the allowed one where it's more."""
        most: dict[int, int] = {}
        for top, label, each in ordered:
            if top <= threshold or sum(most.values()) > allowed:
                break
            most[label] = max(most.get(label, 0), count_areas(each > threshold, smallest_area))
        return sum(most.values())

    tops = [top for top, _, _ in ordered]
    high, low = _bracket(regions, tops, min(float(each.min()) for each in maps), allowed)
    while float(high) - float(low) > EXACT * abs(float(high)):
        middle = np.float32((float(low) + float(high)) / 2)
        if middle in (low, high):
            break
        high, low = (middle, low) if regions(middle) <= allowed else (high, middle)
    left = regions(high)
    return RegionRate(
        threshold=float(high),
        smallest_area=smallest_area,
        asked=rate,
        expected=(allowed + 1) / (frames + 1),
        upper=poisson_upper(allowed) / frames,
        regions=left,
        frames=frames,
    )


def poisson_upper(events: int) -> float:
    """A mean is below this with 95 % confidence where so many events were counted: at it, as few have 5 %."""
    low, high = 0.0, 10.0 + 2.0 * events
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(events, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def _at_most(events: int, mean: float) -> float:
    """The probability of so many events or fewer, Poisson distributed."""
    if mean <= 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(events + 1))


def _bracket(
    regions: Callable[[np.float32], int], tops: Sequence[float], bottom: float, allowed: int
) -> tuple[np.float32, np.float32]:
    """A threshold with no more than the allowed regions, and the next lower one that was tried, with more."""
    ordered = sorted(set(tops), reverse=True)
    levels = [np.float32(ordered[i]) for i in spread(len(ordered), LEVELS)]
    levels.append(np.nextafter(np.float32(bottom), np.float32(-np.inf)))
    high = levels[0]  # nothing is over it
    for level in levels[1:]:
        if regions(level) > allowed:
            return high, level
        high = level
    return high, high


def _top(frame: tuple[float, int, Map]) -> float:
    """Highest first."""
    return -frame[0]


__all__ = ["RegionRate", "poisson_upper", "region_rate"]
