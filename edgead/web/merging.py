"""Connected areas of a map that never ends, by rows as they come: exactly those of one labelling of it all.

Each block of rows is labelled by itself. Of the rows before, only the last one's areas can go on: they are
joined with the block's by union-find, through the pixels of that row and the block's first, corners included.
What doesn't reach a block's last row can't grow any more. So nothing is kept but that row and its areas.
[Rosenfeld and Pfaltz, Sequential Operations in Digital Picture Processing, 1966; He et al., The
connected-component labeling problem, 2017]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.areas import CONNECTIVITY
from edgead.web.judge import Limits

Mark = Callable[[int], int | None]
"""What is to be remembered of the line where an area starts."""


@dataclass(frozen=True)
class Blob:
    """An area, or as much of it as was seen.

    Attributes:
        start, end, left, right: lines and columns, the second of each not in it any more.
        area: pixels.
        peak: the highest value.
        is_cut: touches what wasn't inspected.
        mark: of its first line.
        id, told: number, and end at that time, where it was reported already.
        joined: numbers of others that were, and are parts of it, until that's reported.
    """

    start: int
    end: int
    left: int
    right: int
    area: int
    peak: float
    is_cut: bool
    mark: int | None
    id: int | None = None
    told: int | None = None
    joined: tuple[int, ...] = ()

    def counts(self, limits: Limits) -> bool:
        """Whether it's a defect."""
        return self.peak > limits.score and self.area >= limits.smallest_area


class Merger:
    """The areas of a map over the pixel threshold, block by block.

    Args:
        width: columns of the map.
        limits: the thresholds.
        mark: is asked of the line where an area starts, when it's first seen.

    Attributes:
        live: the areas that reach the last row so far; who reports one of them puts it back with its number.
    """

    def __init__(self, width: int, limits: Limits, mark: Mark) -> None:
        self._limits, self._mark = limits, mark
        self._over = under(limits.pixel)
        self._row = np.zeros(width, np.int64)  # of the last row: which of ``live``, from 1; 0 for none
        self._near = np.zeros(width, bool)  # columns of the next row that touch what wasn't inspected
        self.live: list[Blob] = []

    def add(self, line: int, rows: NDArray[np.float32], missing: NDArray[np.bool_]) -> list[Blob]:
        """Take the next rows; returns those of the areas that end before the last of them.

        Areas within the block that are no defects aren't returned.

        Args:
            line: the first row's number.
            rows: (h, width) float32, -inf where nothing was inspected.
            missing: (width,) bool, where that is.
        """
        near = _beside(missing)
        known = self.live
        for place in np.unique(self._row[near]):
            if place:
                known[place - 1] = replace(known[place - 1], is_cut=True)
        mask = rows > self._over
        above, self._near = self._near, near
        if not mask.any():
            self.live, self._row[:] = [], 0
            return known
        block = _Block(line, rows, mask, near, above)
        edge = block.on_edge()
        closed = [block.blob(label, self._mark) for label in block.inside(edge, self._limits)]
        nodes = known + [block.blob(label, self._mark) for label in edge]
        node_of = np.zeros(block.count, np.int64)  # from 1; 0 for none, here and below
        node_of[edge] = 1 + len(known) + np.arange(len(edge))
        roots = united(len(nodes), _touching(self._row, node_of[block.labels[0]]))
        members: dict[int, list[Blob]] = {}
        for node, root in zip(nodes, roots, strict=True):
            members.setdefault(root, []).append(node)
        last = node_of[block.labels[-1]]
        going_on = dict.fromkeys(roots[node - 1] for node in np.unique(last) if node)
        place = {root: 1 + index for index, root in enumerate(going_on)}
        closed += [joined(each) for root, each in members.items() if root not in place]
        self.live = [joined(members[root]) for root in place]
        self._row = np.array([0, *(place.get(root, 0) for root in roots)])[last]
        return closed

    def end(self, is_gap: bool) -> list[Blob]:
        """Nothing follows on what was added so far; returns the areas on its last row.

        Args:
            is_gap: because what follows wasn't inspected, so that they are cut, and what starts behind it.
        """
        closed = [replace(blob, is_cut=True) for blob in self.live] if is_gap else self.live
        self.live, self._row[:] = [], 0
        self._near = np.full(len(self._row), is_gap)
        return closed


class _Block:
    """The areas of a few rows by themselves."""

    def __init__(
        self,
        line: int,
        rows: NDArray[np.float32],
        mask: NDArray[np.bool_],
        near: NDArray[np.bool_],
        above: NDArray[np.bool_],
    ) -> None:
        self.count, self.labels, self._stats, _ = cv2.connectedComponentsWithStats(
            mask.astype(np.uint8), connectivity=CONNECTIVITY
        )
        self._line = line
        self._peaks = np.full(self.count, -np.inf, np.float32)
        np.maximum.at(self._peaks, self.labels[mask], rows[mask])
        self._cut = np.zeros(self.count, bool)
        self._cut[self.labels[:, near]] = True
        self._cut[self.labels[0, above]] = True

    def on_edge(self) -> NDArray[np.int64]:
        """Labels of the areas on the first or the last row."""
        found = np.unique(self.labels[[0, -1]])
        return found[found > 0].astype(np.int64)

    def inside(self, edge: NDArray[np.int64], limits: Limits) -> NDArray[np.int64]:
        """Labels of the others, those that are defects."""
        counts = self._peaks > under(limits.score)
        counts &= self._stats[:, cv2.CC_STAT_AREA] >= limits.smallest_area
        counts[0] = False
        counts[edge] = False
        return np.flatnonzero(counts)

    def blob(self, label: int, mark: Mark) -> Blob:
        """One area."""
        left, top, width, height, area = (int(each) for each in self._stats[label])
        start = self._line + top
        peak, is_cut = float(self._peaks[label]), bool(self._cut[label])
        return Blob(start, start + height, left, left + width, area, peak, is_cut, mark(start))


def joined(blobs: Sequence[Blob]) -> Blob:
    """Several areas as the one that they are; it keeps the lowest of their numbers."""
    if len(blobs) == 1:
        return blobs[0]
    first = min(blobs, key=lambda blob: blob.start)
    known = [blob for blob in blobs if blob.id is not None]
    ids = sorted(blob.id for blob in known if blob.id is not None)
    told = [number for blob in blobs for number in blob.joined]
    return Blob(
        first.start,
        max(blob.end for blob in blobs),
        min(blob.left for blob in blobs),
        max(blob.right for blob in blobs),
        sum(blob.area for blob in blobs),
        max(blob.peak for blob in blobs),
        any(blob.is_cut for blob in blobs),
        first.mark,
        ids[0] if ids else None,
        max((blob.told for blob in known if blob.told is not None), default=None),
        tuple(sorted([*told, *ids[1:]])),
    )


def united(count: int, pairs: NDArray[np.int64]) -> list[int]:
    """For each of ``count`` nodes the lowest it's connected with; ``pairs`` (n, 2) are counted from 1."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in pairs.tolist():
        low, high = sorted((root(one - 1), root(other - 1)))
        parent[high] = low
    return [root(node) for node in range(count)]


def under(limit: float) -> np.float32:
    """The largest float32 that isn't over a limit: what is over the one is over the other."""
    rounded = np.float32(limit)
    return rounded if float(rounded) <= limit else np.nextafter(rounded, np.float32(-np.inf))


def _touching(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2) pairs of numbers over 0 of two rows that touch each other, corners included, each once."""
    width = len(above)
    pairs = []
    for shift in (-1, 0, 1):
        one = above[max(0, -shift) : width - max(0, shift)]
        other = below[max(0, shift) : width - max(0, -shift)]
        both = (one > 0) & (other > 0)
        pairs.append(np.stack([one[both], other[both]], 1))
    found: NDArray[np.int64] = np.unique(np.concatenate(pairs), axis=0)
    return found


def _beside(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """These columns, and their neighbours."""
    near = missing.copy()
    near[1:] |= missing[:-1]
    near[:-1] |= missing[1:]
    return near


__all__ = ["Blob", "Mark", "Merger", "joined", "under", "united"]
