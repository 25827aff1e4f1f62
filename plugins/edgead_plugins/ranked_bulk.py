"""The ranked search of many images' patches in NumPy: what ``RankedBank`` finds, but for rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.types import Size
from edgead_plugins.principal import Floats, principal_axes, turned
from edgead_plugins.ranked import Index, Ranking, places_in, squares_of
from edgead_plugins.threads import threads

BLOCK = 1 << 21
"""Ranks that one thread holds at once."""


class RankedRows:
    """A bank, its mean removed, and its rows in fewer dimensions.

    Args:
        bank: (rows, dim) float32, mean removed.
        projection: (dim, ranking.dimensions) float32.
        ranking: how candidates are found.
    """

    def __init__(self, bank: Floats, projection: Floats, ranking: Ranking) -> None:
        self._bank, self._projection, self._ranking = bank, projection, ranking
        self._short: Floats = bank @ projection
        self._halves, self._short_halves = _half_norms(bank), _half_norms(self._short)

    def nearest(self, patches: Floats, k: int) -> tuple[Floats, Index]:
        """The k nearest candidates of patches (squares, each, dim), mean removed.

        Returns:
            Distances (squares, each, k) float32, ascending, and rows of that shape.
        """
        distance = np.empty((*patches.shape[:2], k), np.float32)
        index = np.empty(distance.shape, np.int64)
        means = patches.mean(1) @ self._projection

        def find(_: int, part: slice) -> None:
            rank = means[part] @ self._short.T
            rank -= self._short_halves
            rows = _candidates(rank, self._ranking)  # (squares, candidates)
            some = patches[part]
            rank = some @ self._bank[rows].transpose(0, 2, 1)
            rank -= self._halves[rows][:, None]
            for number, ranks in enumerate(rank):
                found = rows[number][_largest(ranks, k)]  # (each, k)
                apart = some[number][:, None] - self._bank[found]
                lengths = np.sqrt(np.einsum("ekd,ekd->ek", apart, apart))
                order = np.argsort(lengths, axis=1, kind="stable")
                distance[part][number] = np.take_along_axis(lengths, order, 1)
                index[part][number] = np.take_along_axis(found, order, 1)

        step = max(1, BLOCK // len(self._bank))
        with threads() as share:
            share(find, (slice(start, start + step) for start in range(0, len(patches), step)))
        return distance, index


def ranked_rows(
    images: Floats, bank: Floats, grid: Size, ranking: Ranking, k: int = 1
) -> tuple[Floats, Index]:
    """The k nearest candidates of each patch.

    Args:
        images: (n, h * w, dim) float32.
        bank: (rows, dim) float32.
        grid: (h, w).

    Returns:
        Distances (n, h * w, k) float32, ascending, and rows of that shape.
    """
    mean = bank.mean(0, dtype=np.float64).astype(np.float32)
    projection = turned(principal_axes(bank)[:, : ranking.dimensions])
    squares = squares_of(grid, ranking.side)
    patches = (images - mean)[:, squares].reshape(-1, squares.shape[1], bank.shape[1])
    distance, index = RankedRows(bank - mean, projection, ranking).nearest(patches, k)
    places, shape = places_in(squares), (len(images), squares.size, k)
    return distance.reshape(shape)[:, places], index.reshape(shape)[:, places]


def _candidates(rank: Floats, ranking: Ranking) -> Index:
    """(queries, candidates) rows, of ranks (queries, rows): of each group the best, of those the best."""
    group = ranking.group
    whole = rank.shape[1] // group * group
    rows = rank[:, :whole].reshape(len(rank), -1, group).argmax(2) + np.arange(0, whole, group)
    if whole < rank.shape[1]:
        rows = np.concatenate([rows, rank[:, whole:].argmax(1)[:, None] + whole], axis=1)
    best = _largest(np.take_along_axis(rank, rows, 1), ranking.candidates)
    found: Index = np.take_along_axis(rows, best, 1)
    return found


def _half_norms(rows: Floats) -> Floats:
    """|row|^2 / 2 of rows (..., dim)."""
    halves: Floats = np.einsum("...d,...d->...", rows, rows) / 2
    return halves


def _largest(values: Floats, k: int) -> NDArray[np.int64]:
    """(n, k) columns of each row's largest values, in no order."""
    largest: Index = np.argpartition(values, -k, axis=1)[:, -k:] if k > 1 else values.argmax(1)[:, None]
    return largest


__all__ = ["RankedRows", "ranked_rows"]
