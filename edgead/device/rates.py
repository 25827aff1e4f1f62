"""Rates of false alarms and their thresholds, from good images' scores, each group of which counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgead.conformal import upper_rate
from edgead.device.calibrate import LEARNED, Quantile, conformal_quantile, largest_by_group


@dataclass(frozen=True)
class Rate:
    """What a threshold promises.

    Attributes:
        expected: the false-positive rate to expect, 0 to 1; 0 where nothing is known.
        upper: it's below this with 95 % confidence; 1 where nothing is known, or all images are over it.
    """

    expected: float
    upper: float


UNKNOWN = Rate(0.0, 1.0)
"""Of scores from which nothing follows for others."""


def quantile(scores: Sequence[float], rate: float) -> Quantile:
    """The threshold for a rate, 0 to 1; see ``edgead.device.calibrate``."""
    return conformal_quantile(scores, rate)


def rate_at(scores: Sequence[float], threshold: float) -> Rate:
    """The rate of a threshold that wasn't calibrated on these scores, one at least."""
    n, over = len(scores), int((np.asarray(scores, np.float64) > threshold).sum())
    return Rate((over + 1) / (n + 1), upper_rate(n, n - over) if over < n else 1.0)


def says_nothing(groups: Sequence[int] | None) -> bool:
    """Whether no rate follows from the scores, since their parts are learned ones."""
    return groups is not None and LEARNED in groups


def counted(values: Sequence[float], groups: Sequence[int] | None) -> list[float]:
    """What counts once each: every value, or the largest of each group."""
    return largest_by_group(values, groups)


__all__ = ["UNKNOWN", "Rate", "counted", "quantile", "rate_at", "says_nothing"]
