"""Exact farthest-point search: the naive greedy loop's picks, in its order, without most of its work.

One definition decides: the squared distance of x and c is ``((x - c) ** 2).sum()`` in float64, the next pick
is the ``argmax`` of the distances to the nearest pick, and the lowest index wins a tie. Why what's left out
can't matter, and how fast it is: docs/coreset.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgead.errors import InputError
from edgead_plugins.threads import MOST, Share, inline, threads

_ROWS, _COLUMNS = 2048, 512  # one block of the matrix product: 4 MiB, small enough to stay in the cache
_BLOCK = 1 << 21  # values of other working blocks
_CANDIDATES = 2048  # at most so many points compete in a round; their mutual distances take 16 MiB
_CHUNKS = 31  # two neighbouring chunks hold over 1/31 of all picks, so there are at most 63: a bit each
_DEEPEST = 0.9  # candidates reach down to a tenth of the largest squared distance, at most

Points = NDArray[np.float32]


def search_bytes(points: int, picks: int, dim: int) -> int:
    """Return the bytes that a search allocates at most, besides the points."""
    return 64 * points + 4 * (dim + 6) * picks + (MOST * 20 << 10) * dim + (MOST * 16 << 20)


class FarthestPointSearch:
    """The state of one search.

    Args:
        points: (N, D) float32, C-contiguous; never copied, may be a memory map.
        picks: how many to select, 1 to N.
        start: index of the first pick.

    Attributes:
        picks: indices in the order of selection; the first ``count`` are filled.
        radii: squared distance of each pick to the picks before it; infinity for the first.

    Raises:
        edgead.errors.InputError: points that aren't finite, or beyond 1e18.
    """

    def __init__(self, points: Points, picks: int, start: int) -> None:
        n, dim = points.shape
        self.points, self.total, self.count = points, picks, 0
        self.picks = np.empty(picks, np.int64)
        self.radii = np.empty(picks)
        self.centres = np.empty((picks, dim + 1), np.float32)  # rows (-2 c, |c|²), for a product with (x, 1)
        self.chunks: list[tuple[int, int]] = []  # (first, end) into picks
        self.distance = np.empty(n)
        self.norm = np.empty(n)  # squared norm of the centred point: centring keeps the rounding errors small
        self.seen = np.zeros(n, np.uint64)
        self.batch = min(512, max(32, picks // 48))  # picks that a round aims at
        self.depth = 0.2  # how far below the largest distance, relatively, it looks for candidates
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
            for rows in _blocks(0, n, max(1, _BLOCK // 8 // dim)):
                x = self._centred(points[rows]).astype(np.float64)
                np.einsum("ij,ij->i", x, x, out=self.norm[rows])
                self.distance[rows] = _squared_distance(points[rows], points[start])
        if not self.norm.max() < 1e36:  # NaN isn't, either
            raise InputError("points hold NaN, infinity or values beyond 1e18: check images and backbone")
        # A float32 product is off by at most slack * (|x| + |c|)²: D + 1 roundings of the sum, in any order,
        # the others for centring, norms and thresholds. `tiny` covers what a processor flushes to zero.
        self.slack = 1.01 * (dim + 16) * 2.0**-24
        self.tiny = dim * 2.0**-120
        self._block = min(_ROWS, max(64, _BLOCK // dim))
        self._buffers: dict[int, tuple[Points, Points]] = {}
        self._share: Share = inline
        self._append([start], [np.inf], np.arange(n))

    def run(self, advance: Callable[[int], None]) -> None:
        """Select them all; ``advance`` is told how many more there are."""
        advance(1)  # the start
        with threads() as self._share:
            while self.count < self.total and (new := self.round()):
                advance(new)
        self._share = inline

    def round(self) -> int:
        """Select the next few picks; 0 when all that's left are duplicates."""
        while True:
            top = float(self.distance.max())
            if top <= 0:
                return 0
            level = top * (1 - self.depth)
            self._refresh(level)
            candidates = np.flatnonzero(self.distance >= level)
            if len(candidates) >= self.batch or (len(candidates) and self.depth == _DEEPEST):
                break
            if len(candidates):
                self.depth = min(_DEEPEST, 1.5 * self.depth)
        # Everyone else is below the limit, in the order (distance, then lowest index).
        limit, limit_index = level, len(self.points)
        crowded = len(candidates) > _CANDIDATES
        if crowded:
            order = np.lexsort((candidates, -self.distance[candidates]))
            limit_index = int(candidates[order[_CANDIDATES]])
            limit = float(self.distance[limit_index])
            candidates = np.sort(candidates[order[:_CANDIDATES]])
        new = self._select(candidates, limit, limit_index)
        self.depth = min(_DEEPEST, self.depth * (0.5 if crowded else np.clip(self.batch / new, 0.5, 1.5)))
        return new

    def _select(self, candidates: NDArray[np.int64], limit: float, limit_index: int) -> int:
        """The plain greedy loop, inside the candidates, while the best of them is the best of all."""
        distance = self.distance[candidates]
        norm = self.norm[candidates]
        x = self._centred(self.points[candidates])
        below = np.empty((len(x), len(x)), np.float32)  # becomes a lower bound of their mutual distances

        def multiply(_: int, part: slice) -> None:
            np.matmul(x[part], x.T, out=below[part])

        self._share(multiply, _blocks(0, len(x), _COLUMNS))
        below *= -2
        below += norm.astype(np.float32)[:, None]
        below += (norm - self._error(norm, norm.max())).astype(np.float32)
        new: list[int] = []
        radii: list[float] = []
        while self.count + len(new) < self.total:
            best = int(distance.argmax())
            value, index = float(distance[best]), int(candidates[best])
            if value < limit or (value == limit and index > limit_index):
                break
            near = np.flatnonzero(below[best] <= distance)
            exact = _squared_distance(self.points[candidates[near]], self.points[index])
            distance[near] = np.minimum(distance[near], exact)
            distance[best] = -1
            new.append(index)
            radii.append(value)
        self.distance[candidates] = distance
        self._append(new, radii, candidates)
        return len(new)

    def _append(self, new: list[int], radii: list[float], seen_by: NDArray[np.int64]) -> None:
        """Add picks as a chunk that ``seen_by`` has seen, and merge small chunks."""
        first, end = self.count, self.count + len(new)
        self.picks[first:end], self.radii[first:end] = new, radii
        self.centres[first:end, :-1] = -2 * self._centred(self.points[new])
        self.centres[first:end, -1] = self.norm[new]
        self.distance[new] = -1
        self.count = end
        self.chunks.append((first, end))
        self.seen[seen_by] |= _bit(len(self.chunks) - 1)
        while len(self.chunks) > 1 and (end - self.chunks[-2][0]) * _CHUNKS <= self.total:
            last = len(self.chunks) - 1
            both = self.seen >> np.uint64(1)  # a point has seen the merged chunk if it has seen both
            self.seen &= both | ~_bit(last - 1)
            self.seen &= ~_bit(last)
            self.chunks[-2:] = [(self.chunks[-2][0], end)]

    def _refresh(self, level: float) -> None:
        """Show points the picks they lack, until they have seen all or are known to be below ``level``."""
        everything = _bit(len(self.chunks)) - np.uint64(1)
        rows = np.flatnonzero((self.distance >= level) & (self.seen != everything))
        rows = rows[np.argsort(self.seen[rows], kind="stable")]  # who lacks the same chunks, side by side
        self._share(
            lambda thread, part: self._refresh_rows(thread, rows[part], level),
            _blocks(0, len(rows), self._block),
        )

    def _refresh_rows(self, thread: int, rows: NDArray[np.int64], level: float) -> None:
        if thread not in self._buffers:
            width = self.centres.shape[1]
            self._buffers[thread] = (
                np.ones((self._block, width), np.float32),
                np.empty(self._block * _COLUMNS, np.float32),
            )
        x, product = self._buffers[thread]
        x = x[: len(rows)]
        x[:, :-1] = self._centred(self.points[rows])
        distance, seen = self.distance[rows], self.seen[rows]
        # The latest picks first: they fill the gaps that the earlier ones left, so one of them is likelier
        # to be near.
        for chunk, (first, end) in reversed(list(enumerate(self.chunks))):
            lacking = np.flatnonzero((distance >= level) & (seen & _bit(chunk) == 0))
            if not len(lacking):
                continue
            # Where most lack it, showing it to all costs less than copying those out.
            chosen = lacking if len(lacking) < 0.75 * len(rows) else slice(None)
            part = distance[chosen]
            for picks in _blocks(first, end, _COLUMNS):
                self._measure(rows[chosen], x[chosen], part, picks, product)
            distance[chosen] = part
            seen[chosen] |= _bit(chunk)
        self.distance[rows], self.seen[rows] = distance, seen

    def _measure(
        self,
        rows: NDArray[np.int64],
        x: Points,
        distance: NDArray[np.float64],
        picks: slice,
        buffer: Points,
    ) -> None:
        """Lower ``distance`` of the rows to that of the nearest of these picks, in place.

        The float32 product only says which pairs can matter; those are measured in float64.
        """
        centres = self.centres[picks]
        product = buffer[: len(rows) * len(centres)].reshape(len(rows), len(centres))
        np.matmul(x, centres.T, out=product)  # squared distances, less the row's norm
        norm = self.norm[rows]
        error = self._error(norm, self.norm[self.picks[picks]].max())
        nearest = product.min(axis=1) + norm
        touched = np.flatnonzero(nearest - error <= distance)
        if not len(touched):
            return
        bound = (np.minimum(distance, nearest + error) + error - norm).astype(np.float32)
        for some in _blocks(0, len(touched), max(1, _BLOCK // 4 // len(centres))):
            close = np.flatnonzero(product[touched[some]] <= bound[touched[some], None])
            row, column = np.divmod(close, len(centres))
            row = touched[some][row]
            for pairs in _blocks(0, len(row), max(1, _BLOCK // 16 // self.points.shape[1])):
                one, other = rows[row[pairs]], self.picks[picks][column[pairs]]
                np.minimum.at(distance, row[pairs], _squared_distance(self.points[one], self.points[other]))

    def _centred(self, points: Points) -> Points:
        centred: Points = points - self.mean
        return centred

    def _error(self, norm: NDArray[np.float64], other: float) -> NDArray[np.float64]:
        """Bound of a float32 squared distance's error, from the two squared norms."""
        error: NDArray[np.float64] = self.slack * (np.sqrt(norm) + np.sqrt(other)) ** 2 + self.tiny
        return error


def _squared_distance(a: Points, b: Points) -> NDArray[np.float64]:
    """The definition, row by row; the same bits whichever rows are measured together."""
    difference = np.subtract(a, b, dtype=np.float64)
    total: NDArray[np.float64] = np.square(difference, out=difference).sum(axis=1)
    return total


def _blocks(first: int, end: int, size: int) -> Iterator[slice]:
    for i in range(first, end, size):
        yield slice(i, min(i + size, end))


def _bit(index: int) -> np.uint64:
    return np.uint64(1 << index)
