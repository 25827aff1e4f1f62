"""A mask at another size, its thin and its small regions kept.

By area: a pixel of the new size is marked where at least half of what it shows is. That alone would lose what
is finer than a pixel, or break a line into dots. So within each region (8-connected), a pixel is also marked
where it's covered half as much as the most covered pixel next to it, and where the region still lies in
pieces, these are joined over the best covered pixels between them. A region that's thick everywhere comes out
as by area alone; every region keeps at least a pixel and stays one.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.coverage import TINY, Shares, edges_of, shares
from edgead.types import Size


@dataclass(frozen=True)
class Scaled:
    """A mask at another size.

    Attributes:
        marked: (H, W) bool.
        regions: how many there are at the mask's own size.
        fine: of these, how many would be lost or broken by area alone.
        joined: how many fewer there are at the new size, because neighbours ran together.
    """

    marked: NDArray[np.bool_]
    regions: int
    fine: int
    joined: int


def scale(mask: NDArray[np.bool_], size: Size) -> Scaled:
    """Bring a mask (h, w) bool to ``size``, (height, width)."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if mask.shape == tuple(size) or count == 1:
        marked = mask.copy() if mask.shape == tuple(size) else np.zeros(size, bool)
        return Scaled(marked, count - 1, 0, 0)
    rows, columns = (edges_of(n, m) for n, m in zip(size, mask.shape, strict=True))
    by_area = shares(mask, rows, columns) >= 0.5 - TINY
    marked, fine = by_area.copy(), 0
    for region, (x, y, w, h, _) in enumerate(boxes[1:].tolist(), 1):
        top, bottom = _touched(y, y + h, rows)
        left, right = _touched(x, x + w, columns)
        part = labels[y : y + h, x : x + w] == region
        share = shares(part, rows[top : bottom + 1] - y, columns[left : right + 1] - x)
        window = np.s_[top:bottom, left:right]
        kept = by_area[window] & (share > 0)
        fine += _pieces(kept)[0] != 1
        around = cv2.dilate(share, np.ones((3, 3), np.uint8))
        wanted = kept | ((share > 0) & (share >= np.minimum(0.5, around / 2) - TINY))
        marked[window] |= _join(wanted, share)
    return Scaled(marked, count - 1, fine, count - 1 - _pieces(marked)[0])


def _touched(start: int, stop: int, edges: Shares) -> tuple[int, int]:
    """The pixels of the new size, from and to, that show something of the old ones from start to stop."""
    first = int(np.searchsorted(edges, start + TINY, "right")) - 1
    return first, int(np.searchsorted(edges, stop - TINY, "left"))


def _pieces(marked: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32]]:
    count, labels = cv2.connectedComponents(marked.astype(np.uint8), connectivity=8)
    return count - 1, labels


def _join(marked: NDArray[np.bool_], share: Shares) -> NDArray[np.bool_]:
    """Join the pieces over the pixels that the region touches, the best covered first.

    The pixels that a connected region touches are connected, so there's always a way.
    """
    count, labels = _pieces(marked)
    while count > 1:
        marked = marked.copy()
        for place in _way(labels, share):
            marked[place] = True
        count, labels = _pieces(marked)
    return marked


def _way(labels: NDArray[np.int32], share: Shares) -> list[tuple[int, int]]:
    """The cheapest way from the first piece to another, by Dijkstra: short, over pixels that are covered."""
    height, width = share.shape
    starts = list(zip(*(axis.tolist() for axis in np.nonzero(labels == 1)), strict=True))
    reached: dict[tuple[int, int], float] = dict.fromkeys(starts, 0.0)
    before: dict[tuple[int, int], tuple[int, int]] = {}
    heap = [(0.0, place) for place in starts]
    while heap:
        cost, here = heapq.heappop(heap)
        if cost > reached[here]:
            continue
        if labels[here] > 1:
            way = [here]
            while way[-1] in before:
                way.append(before[way[-1]])
            return way
        for row in range(max(0, here[0] - 1), min(height, here[0] + 2)):
            for column in range(max(0, here[1] - 1), min(width, here[1] + 2)):
                there, further = (row, column), cost + 2 - share[row, column]
                if share[row, column] > 0 and further < reached.get(there, math.inf):
                    reached[there], before[there] = further, here
                    heapq.heappush(heap, (further, there))
    raise AssertionError("a region's pixels are connected")


__all__ = ["Scaled", "scale"]
