"""How much of each pixel of another size a mask covers, and the mask at that size by area."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]
TINY = 1e-6
"""Rounding, of shares that are added up: a half must be one, and nothing nothing."""
_BLOCK = 1 << 20
"""Pixels that are worked on at once: some arrays of eight bytes each."""


def edges_of(length: int, old: int) -> Shares:
    """Where the pixels of a side of ``length`` begin and end on one of ``old``: (length + 1,)."""
    return np.asarray(np.arange(length + 1) * (old / length), np.float64)


def shares(mask: NDArray[np.bool_], rows: Shares, columns: Shares) -> Shares:
    """How much of each rectangle between edges is marked, 0 to 1; what lies outside the mask isn't.

    The integral image is linear in both directions within a pixel, so reading it between pixels is exact.
    """
    sums = cv2.integral(mask.astype(np.uint8), sdepth=cv2.CV_32S)
    row, down = _between(rows, mask.shape[0])
    column, along = _between(columns, mask.shape[1])
    upper, lower = sums[row], sums[row + 1]
    left = upper[:, column] * (1 - down) + lower[:, column] * down
    right = upper[:, column + 1] * (1 - down) + lower[:, column + 1] * down
    at = left * (1 - along.T) + right * along.T
    marked = np.diff(np.diff(at, axis=0), axis=1)
    share = np.asarray(marked / (np.diff(rows)[:, None] * np.diff(columns)), np.float64)
    return np.where(share > TINY, share, 0)


def by_area(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask (h, w) at another size, (height, width): marked where at least half of a pixel's area is."""
    if mask.shape == tuple(size):
        return mask.copy()
    rows, columns = (edges_of(n, m) for n, m in zip(size, mask.shape, strict=True))
    found = np.empty(size, bool)
    step = max(1, _BLOCK // max(size[1], mask.shape[1]))
    for start in range(0, size[0], step):
        part = rows[start : start + step + 1]
        first, last = int(part[0]), min(mask.shape[0], int(np.ceil(part[-1])))
        share = shares(mask[first:last], part - first, columns)
        found[start : start + step] = share >= 0.5 - TINY
    return found


def _between(edges: Shares, length: int) -> tuple[NDArray[np.intp], Shares]:
    inside = np.clip(edges, 0, length)
    whole = np.minimum(inside.astype(np.intp), length - 1)
    return whole, (inside - whole)[:, None]


__all__ = ["TINY", "Shares", "by_area", "edges_of", "shares"]
