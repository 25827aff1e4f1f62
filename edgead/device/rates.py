"""Rates of false alarms and their thresholds, where images may say nothing of them."""

from __future__ import annotations

from collections.abc import Sequence

from edgead.device.calibrate import LEARNED, Rate

UNKNOWN = Rate(0.0, 1.0, "given")
"""Of scores from which nothing follows for others."""


def says_nothing(groups: Sequence[int] | None) -> bool:
    """Whether no rate follows from the scores, since their parts are learned ones."""
    return groups is not None and LEARNED in groups


__all__ = ["UNKNOWN", "says_nothing"]
