"""Connected areas of a mask: which of them are large enough to count."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

CONNECTIVITY = 8
"""Pixels that touch at a corner belong together."""


def count_areas(mask: NDArray[np.bool_], smallest: int = 1) -> int:
    """How many connected areas of at least ``smallest`` pixels a (H, W) bool mask has."""
    if cv2.countNonZero(mask.view(np.uint8)) < max(1, smallest):
        return 0
    return int((_sizes(mask)[0][1:] >= smallest).sum())


def without_small(mask: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    """The mask, (H, W) bool, without its connected areas of fewer than ``smallest`` pixels."""
    if smallest <= 1 or not mask.any():
        return mask
    sizes, labels = _sizes(mask)
    kept = sizes >= smallest
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)


def _sizes(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Pixels of each area, what is outside the mask first, and the (H, W) labels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=CONNECTIVITY)
    return np.asarray(stats[:, cv2.CC_STAT_AREA], np.int64), np.asarray(labels, np.int32)


__all__ = ["CONNECTIVITY", "count_areas", "without_small"]
