"""Threshold-free metrics, computed once for every command that shows them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auroc(good: ArrayLike, bad: ArrayLike) -> float | None:
    """Area under the ROC curve: the probability that a bad score exceeds a good one, ties counting half.

    Args:
        good, bad: scores of any shape; larger is more anomalous.

    Returns:
        0 to 1, or None where there is no good or no bad score, since nothing can be separated then.
    """
    negative, positive = np.sort(np.ravel(good)), np.ravel(bad)
    if not negative.size or not positive.size:
        return None
    below = np.searchsorted(negative, positive, side="left").astype(np.float64)
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).sum() / 2 / negative.size / positive.size)


def pixel_auroc(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float | None:
    """AUROC over pixels: ``maps`` and ``masks`` of one shape, True where the pixel is defective."""
    return auroc(maps[~masks], maps[masks])
