"""Nearest neighbours in the graph: exact search of a memory bank by one matrix product.

For a query q and bank rows b, argmin |q - b|^2 = argmax (q.b - |b|^2 / 2), so one product ranks all rows.
The bank's mean is taken from both first, which keeps the product small; the winner's distance is then
computed anew from the difference of the two vectors, so that nothing cancels. [methods of the expanded
norm: any text on k-NN; why it cancels: |q|^2 - 2 q.b + |b|^2 subtracts large, nearly equal numbers.]

INT8: bank and query share ONE step size, symmetric about the bank's mean (per tensor: with a step per
dimension the integer product would no longer rank by distance). The step is chosen so that the bank's
largest value is not clipped. The query is rounded once, and that rounded query is in the product and in
the distance; both are then exact for the rounded values: |sum| < 2^31, no two neighbouring products leave 16
bits, and a distance is a plain norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.types import BankPrecision
from edgead.workbench.graph import parameter, static_shape
from edgead.workbench.saturation import PAIR, neighbour_sums

CHUNK_ROWS = 1024
"""Bank rows per product for banks of more than four chunks: the partial result stays in cache."""
GROUP_ROWS, GROUPED_ROWS = 64, 16384
"""For several neighbours of such a bank: rows whose best is found first, and rows per product."""


@dataclass(frozen=True)
class Neighbours:
    """What a search yields.

    Attributes:
        distance: (queries, k) float32 Euclidean distances, ascending.
        index: (queries, k) int64 bank rows.
        query: (queries, dim) float32, mean removed and rounded as it was searched with.
    """

    distance: Var
    index: Var
    query: Var


@dataclass(frozen=True)
class Query:
    """Queries (queries, dim) as a bank's rows are: its mean removed, and rounded in INT8.

    Attributes:
        steps: uint8, in steps from -128 of them; float32 as they are where the bank isn't INT8.
        ranked: float32, for products with the bank: 128 steps too large in INT8, which half norms allow for.
        rounded: float32, what the rounded query means.
    """

    steps: Var
    ranked: Var
    rounded: Var


@dataclass(frozen=True)
class Bank:
    """A memory bank that lowers itself to ONNX.

    Attributes:
        rows: (n, dim) float32 patch embeddings.
        name: prefix of the initialisers.
    """

    rows: NDArray[np.float32]
    name: str = "memory_bank"

    @property
    def mean(self) -> NDArray[np.float32]:
        """(dim,) float32 mean of the rows."""
        mean: NDArray[np.float32] = self.rows.mean(0, dtype=np.float64).astype(np.float32)
        return mean

    @cached_property
    def step(self) -> np.float32:
        """The INT8 step size of bank and query: the largest centred value maps to 127, or to a little less.

        Less, where two neighbours would add up to more than a processor without VNNI can take; see
        ``edgead.workbench.saturation``.
        """
        largest = pairs = 0.0
        for start in range(0, len(self.rows), CHUNK_ROWS):
            rows = self.rows[start : start + CHUNK_ROWS] - self.mean
            largest = max(largest, float(np.abs(rows).max(initial=0.0)))
            pairs = max(pairs, float(neighbour_sums(rows).max(initial=0.0)))
        # Both of a pair may be rounded up: by half a step each.
        step = max(largest / 127, pairs / (PAIR - 1))
        return np.float32(step if step > 0 else 1.0)

    def quantised(self) -> NDArray[np.int8]:
        """(n, dim) int8 rows: (row - mean) / step, rounded half to even."""
        steps = np.rint((self.rows - self.mean) / self.step)
        quantised: NDArray[np.int8] = np.clip(steps, -127, 127).astype(np.int8)
        return quantised

    def lower(self, precision: BankPrecision) -> LoweredBank:
        """Place the bank in the graph being composed."""
        int8 = precision == "int8"
        rows = self.quantised() if int8 else (self.rows - self.mean)
        return LoweredBank(
            rows=parameter(self.name, rows),
            mean=parameter(f"{self.name}_mean", self.mean[None]),
            half_norms=_half_norms(rows, self.step if int8 else np.float32(1)),
            step=self.step if int8 else None,
            n=len(rows),
            name=self.name,
        )


@dataclass(frozen=True)
class LoweredBank:
    """The bank's part of a graph.

    Attributes:
        rows: (n, dim) float32 or int8, mean removed.
        mean: (1, dim) float32.
        half_norms: (n,) float32, |row|^2 / 2.
        step: INT8 step size, or None in float32.
        n: number of rows.
        name: prefix of the initialisers.
    """

    rows: Var
    mean: Var
    half_norms: NDArray[np.float32]
    step: np.float32 | None
    n: int
    name: str

    def search(self, query: Var, k: int = 1) -> Neighbours:
        """Find the k nearest rows of each query, exactly (for the rounded values in INT8).

        Args:
            query: (queries, dim) float32.
            k: at most n.
        """
        prepared = self.prepare(query)
        index = self._rank(prepared.ranked, k)
        return Neighbours(self.distances(prepared.rounded, index), index, prepared.rounded)

    def prepare(self, query: Var) -> Query:
        """Take the mean off (queries, dim) and round as the bank is."""
        query = op.sub(query, self.mean)
        if self.step is None:
            return Query(query, query, query)
        # Stored unsigned (zero point 128): what integer matrix units take without a detour. The offset
        # comes back out of the ranking as a constant per row, and out of the query by subtraction.
        offset = op.const(np.float32(128) * self.step)
        steps = op.quantize_linear(op.add(query, offset), op.const(self.step), op.const(np.uint8(0)))
        ranked = self.dequantised(steps)
        return Query(steps, ranked, op.sub(ranked, offset))

    def dequantised(self, steps: Var) -> Var:
        """What ``Query.steps``, or some of them, stand for in a product with the bank."""
        if self.step is None:
            return steps
        return op.dequantize_linear(steps, op.const(self.step), op.const(np.uint8(0)))

    def rank_groups(self, query: Var, groups: Var, size: int) -> Var:
        """Rank the rows of some groups alone; group g is rows g * size to (g + 1) * size.

        Args:
            query: (queries, dim), ``ranked`` of what ``prepare`` yields.
            groups: (k,) int64, chosen when the graph runs.
            size: rows of a group.

        Returns:
            (queries, k * size) float32, as ``rank`` yields.
        """
        _, dim = static_shape(self.mean)
        rows = op.reshape(self.rows, op.const([self.n // size, size, dim]))
        rows = op.reshape(op.gather(rows, groups, axis=0), op.const([-1, dim]))
        halves = op.const(self.half_norms.reshape(-1, size))
        halves = op.reshape(op.gather(halves, groups, axis=0), op.const([1, -1]))
        return op.sub(self.product(query, rows), halves)

    def distances(self, query: Var, index: Var) -> Var:
        """Euclidean distances (queries, k) of each query, mean removed, to its rows ``index``."""
        difference = op.sub(op.unsqueeze(query, op.const([1])), self.gather(index))
        return op.sqrt(op.reduce_sum_square(difference, op.const([2]), keepdims=0))

    def gather(self, index: Var) -> Var:
        """Rows (..., dim) float32, mean removed, for any int64 index."""
        rows = op.gather(self.rows, index, axis=0)
        return rows if self.step is None else op.mul(op.cast(rows, to=np.float32), op.const(self.step))

    def vectors(self, index: Var) -> Var:
        """Rows (..., dim) float32 as they were given, up to the rounding, for any int64 index."""
        return op.add(self.gather(index), self.mean)

    def _rank(self, query: Var, k: int) -> Var:
        whole, size = self.n, self.n
        if self.n > 4 * CHUNK_ROWS:
            whole, size = (self.n, CHUNK_ROWS) if k == 1 else (self.n - self.n % GROUP_ROWS, GROUPED_ROWS)
        pieces = [(start, min(start + size, whole)) for start in range(0, whole, size)]
        if whole < self.n:
            pieces.append((whole, self.n))
        best = [self._best(query, start, stop, k) for start, stop in pieces]
        values, index = best[0]
        if len(best) > 1:
            values = op.concat([v for v, _ in best], axis=1)
            index = op.concat([i for _, i in best], axis=1)
            _, winner = op.top_k(values, op.const([k]), axis=1)
            index = op.gather_elements(index, winner, axis=1)
        return index

    def _best(self, query: Var, start: int, stop: int, k: int) -> tuple[Var, Var]:
        """Ranks and indices (queries, k or all) of the best of the rows from start to stop."""
        count = stop - start
        rank = self.rank(query, start, stop)
        if k > 1 and self.n > 4 * CHUNK_ROWS and count % GROUP_ROWS == 0:
            values, index = _top_by_groups(rank, count, k)
        else:
            values, index = op.top_k(rank, op.const([min(k, count)]), axis=1)
        return values, index if start == 0 else op.add(index, op.const(np.int64(start)))

    def rank(self, query: Var, start: int, stop: int) -> Var:
        """(queries, stop - start) float32 for these rows: q.b - |b|^2 / 2, so |q - b|^2 = |q|^2 - 2 of it.

        Args:
            query: (queries, dim), ``ranked`` of what ``prepare`` yields.
        """
        rows = self.rows
        if stop - start < self.n:
            rows = op.slice(rows, op.const([start]), op.const([stop]), op.const([0]))
        return op.sub(self.product(query, rows), op.const(self.half_norms[None, start:stop]))

    def product(self, query: Var, rows: Var) -> Var:
        """Products (..., queries, rows) of queries, ``ranked`` of what ``prepare`` yields, with bank rows.

        Args:
            query: (..., queries, dim) float32.
            rows: (..., rows, dim), of ``rows`` as they are.
        """
        if self.step is not None:  # before the transposition: the order that both engines run in INT8
            rows = op.dequantize_linear(rows, op.const(self.step), op.const(np.int8(0)))
        axes = list(range(len(static_shape(rows))))
        return op.matmul(query, op.transpose(rows, perm=[*axes[:-2], axes[-1], axes[-2]]))


def _top_by_groups(rank: Var, count: int, k: int) -> tuple[Var, Var]:
    """The k largest of each row of (queries, count), count a multiple of ``GROUP_ROWS``.

    The k largest are in the k groups with the largest maxima, so only those are sorted: exact, and half the
    time of sorting all where there are many.
    """
    grouped = op.reshape(rank, op.const([0, count // GROUP_ROWS, GROUP_ROWS]))
    maxima = op.reduce_max(grouped, op.const([2]), keepdims=0)
    kept = min(k, count // GROUP_ROWS)
    _, groups = op.top_k(maxima, op.const([kept]), axis=1)
    candidates = op.gather_nd(grouped, op.unsqueeze(groups, op.const([2])), batch_dims=1)
    values, place = op.top_k(
        op.reshape(candidates, op.const([0, kept * GROUP_ROWS])), op.const([min(k, count)]), axis=1
    )
    size = op.const(np.int64(GROUP_ROWS))
    group = op.div(place, size)
    first = op.mul(op.gather_elements(groups, group, axis=1), size)
    return values, op.add(first, op.sub(place, op.mul(group, size)))


def _half_norms(rows: NDArray[np.float32] | NDArray[np.int8], step: np.float32) -> NDArray[np.float32]:
    """|row|^2 / 2, and for INT8 rows the sum that the query's unsigned offset adds to every product."""
    wide = rows.astype(np.float64)
    norms = (wide * wide).sum(1) / 2
    if rows.dtype == np.int8:
        norms = (norms + 128 * wide.sum(1)) * float(step) ** 2
    halves: NDArray[np.float32] = norms.astype(np.float32)
    return halves
