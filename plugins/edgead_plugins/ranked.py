"""The ranked search in the graph: a few candidates by a short product, and exact distances to those alone.

The exact search of a memory bank is one product with all of it. Here the rows are first *ranked* in fewer
dimensions, the bank's principal components, and for a square of neighbouring patches at once: what lies side
by side in an image looks alike, so its patches share candidates. The best row of each group of rows can be
one. In all dimensions each patch is then compared with its candidates, and its distance to the winner is
that of the exact search. So a distance is never too small; how often it is too large, and by how much, is
measured when the ``Ranking`` is chosen (``edgead_plugins.ranking``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.types import BankPrecision, Size
from edgead.workbench.graph import parameter, static_shape
from edgead_plugins.nearest import CHUNK_ROWS, Bank, LoweredBank, Neighbours
from edgead_plugins.principal import Floats, principal_axes, turned

Index = NDArray[np.int64]
NEVER = np.float32(1e30)
"""Half norm of a row that only fills its group up: it's ranked last."""


@dataclass(frozen=True)
class Ranking:
    """How candidates are found.

    Attributes:
        side: patches of a square of side x side share their candidates; 1: each has its own.
        dimensions: principal components that rows are ranked by.
        candidates: rows that a patch is then compared with in all dimensions.
        group: of so many rows, one after another in the bank, the best ranked can be a candidate; a divisor
            of ``CHUNK_ROWS``.
    """

    side: int
    dimensions: int
    candidates: int
    group: int


@dataclass(frozen=True)
class RankedBank:
    """A memory bank in the graph, and the same rows in fewer dimensions.

    Attributes:
        bank: in all dimensions.
        short: (rows, ranking.dimensions), filled up to whole groups.
        projection: (dim, ranking.dimensions) float32.
        ranking: how candidates are found.
    """

    bank: LoweredBank
    short: LoweredBank
    projection: Var
    ranking: Ranking

    def search(self, query: Var, grid: Size, k: int = 1) -> Neighbours:
        """Find the k nearest of each query's candidates.

        Args:
            query: (h * w, dim) float32, the patches of a grid, row by row.
            grid: (h, w).
            k: at most ``ranking.candidates``.
        """
        prepared = self.bank.prepare(query)
        _, dim = static_shape(query)
        squares = squares_of(grid, self.ranking.side)
        count, each = squares.shape
        inside = op.const(squares.reshape(-1))
        shape = op.const([count, each, dim])
        means = op.reduce_mean(
            op.reshape(op.gather(prepared.rounded, inside, axis=0), shape), op.const([1]), keepdims=0
        )
        short = self.short.prepare(op.matmul(means, self.projection))
        candidates = self._candidates(short.ranked)  # (count, candidates)
        # In all dimensions: which of its candidates is nearest to each patch.
        patches = self.bank.dequantised(op.reshape(op.gather(prepared.steps, inside, axis=0), shape))
        halves = op.unsqueeze(op.gather(op.const(self.bank.half_norms), candidates, axis=0), op.const([1]))
        rank = op.sub(self.bank.product(patches, op.gather(self.bank.rows, candidates, axis=0)), halves)
        _, place = op.top_k(rank, op.const([k]), axis=2)
        index = op.gather_elements(candidates, op.reshape(place, op.const([count, each * k])), axis=1)
        index = op.gather(
            op.reshape(index, op.const([count * each, k])), op.const(places_in(squares)), axis=0
        )
        return Neighbours(self.bank.distances(prepared.rounded, index), index, prepared.rounded)

    def _candidates(self, query: Var) -> Var:
        """(queries, candidates) int64 rows, of which no two are of one group."""
        group, queries = self.ranking.group, static_shape(query)[0]
        values, places = [], []
        for start in range(0, self.short.n, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, self.short.n)
            rank = op.reshape(self.short.rank(query, start, stop), op.const([-1, group]))
            value, place = op.top_k(rank, op.const([1]), axis=1)
            shape = op.const([queries, (stop - start) // group])
            values.append(op.reshape(value, shape))
            places.append(op.reshape(place, shape))
        firsts = op.const(np.arange(0, self.short.n, group, dtype=np.int64)[None])
        rows = op.add(_joined(places), firsts)
        _, best = op.top_k(_joined(values), op.const([self.ranking.candidates]), axis=1)
        return op.gather_elements(rows, best, axis=1)


def lower_ranked(bank: Bank, ranking: Ranking, precision: BankPrecision) -> RankedBank:
    """Place a bank in the graph being composed, to be searched by ranking."""
    projection = turned(principal_axes(bank.rows)[:, : ranking.dimensions])
    rows: Floats = np.matmul(bank.rows - bank.mean, projection)
    filled = rows[np.arange(-(-len(rows) // ranking.group) * ranking.group) % len(rows)]
    short = Bank(filled, f"{bank.name}_short").lower(precision)
    halves = short.half_norms.copy()
    halves[len(rows) :] = NEVER
    return RankedBank(
        bank=bank.lower(precision),
        short=replace(short, half_norms=halves),
        projection=parameter(f"{bank.name}_projection", projection),
        ranking=ranking,
    )


def squares_of(grid: Size, side: int) -> Index:
    """(squares, side * side) patches, by their place in the grid row by row; at its edges some twice."""
    h, w = grid
    y, x = (np.minimum(np.arange(-(-n // side) * side), n - 1).reshape(-1, side) for n in (h, w))
    squares: Index = (y[:, None, :, None] * w + x[None, :, None, :]).reshape(-1, side * side)
    return squares


def places_in(squares: Index) -> Index:
    """(patches,) where each patch stands first in the squares, flattened."""
    _, first = np.unique(squares.reshape(-1), return_index=True)
    return first.astype(np.int64)


def _joined(parts: list[Var]) -> Var:
    return op.concat(parts, axis=1) if len(parts) > 1 else parts[0]


__all__ = ["RankedBank", "Ranking", "lower_ranked", "places_in", "squares_of"]
