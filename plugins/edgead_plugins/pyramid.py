"""SPADE's pyramid: feature maps of several strides, of which a position has the vectors of all.

A position of the finest map has, of each coarser map, the vector of the cell that it lies in (its parent).
So the squared distance of two positions is a sum over the maps, and positions that share a parent share its
term. That makes the search exact at a fraction of the products: each map's vectors are multiplied once, and
the ranks are added up from the coarsest map to the finest.

For that, positions are ordered by kinship. Queries: a parent's children stand together, in each map. Gallery
rows of an image: all first children in their parents' order, then all second ones and so on; adding the
parents' ranks is then an addition to whole runs of memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import OptionError
from edgead.types import Size

Index = NDArray[np.int64]
Floats = NDArray[np.float32]

LARGEST_PRODUCT = 1 << 25
"""Float32 values that one matrix product may yield: 128 MiB."""
IN_CACHE = 1 << 19
"""And those that stay in cache until they are added up: products of more take twice as long (measured)."""
MOST_PARTS = 64
"""Into how many products a search is divided for that, at most: a graph of more takes long to compile."""


@dataclass(frozen=True)
class Pyramid:
    """The maps' shapes, (channels, h, w) by name, the finest first; built by ``pyramid``."""

    shapes: Mapping[str, tuple[int, int, int]]

    @property
    def names(self) -> list[str]:
        """The maps' names, the finest first."""
        return list(self.shapes)

    @property
    def grid(self) -> Size:
        """(h, w) of the finest map."""
        _, h, w = self.shapes[self.names[0]]
        return h, w

    @property
    def positions(self) -> int:
        """Number of positions of the finest map."""
        return self.grid[0] * self.grid[1]

    @property
    def channels(self) -> int:
        """Length of a position's vector, all maps together."""
        return sum(c for c, _, _ in self.shapes.values())

    def parents(self, name: str) -> Index:
        """(positions,) for each position of the finest map, row by row, its cell in the map ``name``."""
        _, h, w = self.shapes[name]
        y, x = np.divmod(np.arange(self.positions), self.grid[1])
        cells: Index = (y * h // self.grid[0]) * w + x * w // self.grid[1]
        return cells

    def query_order(self) -> dict[str, Index]:
        """Each map's positions, a parent's children together."""
        return self._order(lambda children: children)

    def gallery_order(self) -> dict[str, Index]:
        """Each map's positions, all first children first, in their parents' order."""
        return self._order(lambda children: children.T)

    def _order(self, arrange: Callable[[Index], Index]) -> dict[str, Index]:
        orders: dict[str, Index] = {}
        above: tuple[int, int] | None = None
        order = np.arange(0)
        for name in reversed(self.names):
            _, h, w = self.shapes[name]
            if above is None:
                order = np.arange(h * w)
            else:
                fy, fx = h // above[0], w // above[1]
                y, x = np.divmod(order, above[1])
                down, right = np.divmod(np.arange(fy * fx), fx)
                children = (y[:, None] * fy + down) * w + x[:, None] * fx + right  # (parents, children each)
                order = arrange(children).ravel()
            orders[name], above = order, (h, w)
        return orders


def pyramid(shapes: Mapping[str, tuple[int, int, int]], method: str) -> Pyramid:
    """Order maps from fine to coarse.

    Raises:
        OptionError: a map's sides aren't whole multiples of the next coarser one's.
    """
    ordered = dict(sorted(shapes.items(), key=lambda item: -item[1][1] * item[1][2]))
    sizes = [(h, w) for _, h, w in ordered.values()]
    for (h, w), (coarse_h, coarse_w) in itertools.pairwise(sizes):
        if h % coarse_h or w % coarse_w:
            raise OptionError(
                f"{method}: a map of {h} x {w} positions doesn't divide into one of {coarse_h} x {coarse_w}: "
                "choose a --size whose sides are multiples of 16 or 32"
            )
    return Pyramid(ordered)


def images_at_once(values: int, k: int) -> int:
    """How many of k images a product takes, of which one takes so many values: what stays in cache."""
    step = max(IN_CACHE // values, -(-k // MOST_PARTS))
    return max(1, min(step, LARGEST_PRODUCT // values))


def best_rank(ranks: Sequence[Var], queries: Sequence[int], rows: Sequence[int], images: int) -> Var:
    """The highest sum of ranks of each position over all rows of all images.

    Args:
        ranks: for each map, the finest first, (queries, images * rows) float32, ordered as ``Pyramid`` says.
        queries: number of positions of each map.
        rows: gallery rows of an image in each map; equal, or the finer map's are the coarser's children.
        images: number of gallery images.

    Returns:
        (queries of the finest map,) float32.
    """
    total: Var | None = None
    for level in reversed(range(len(ranks))):
        here, n, m = ranks[level], queries[level], rows[level]
        if total is None:
            total = here
            continue
        above_n, above_m = queries[level + 1], rows[level + 1]
        siblings = m // above_m
        if level == 0 and siblings > 1:  # the parents' term is the same for all siblings: the best one counts
            here = op.reduce_max(
                op.reshape(here, op.const([n, images, siblings, above_m])), op.const([2]), keepdims=0
            )
            siblings = 1
        here = op.reshape(here, op.const([above_n, n // above_n, images, siblings, above_m]))
        total = op.add(here, op.reshape(total, op.const([above_n, 1, images, 1, above_m])))
        total = op.reshape(total, op.const([n, images * siblings * above_m]))
    assert total is not None
    return op.reduce_max(total, op.const([1]), keepdims=0)


def summed_norms(rows: Sequence[Var], queries: Sequence[int]) -> Var:
    """|q|^2 of each position of the finest map, from each map's rows (queries, C) in query order."""
    total: Var | None = None
    for level in reversed(range(len(rows))):
        norm = op.reduce_sum_square(rows[level], op.const([1]), keepdims=1)
        if total is not None:
            each = queries[level] // queries[level + 1]
            norm = op.add(op.reshape(norm, op.const([queries[level + 1], each])), total)
        total = op.reshape(norm, op.const([queries[level], 1]))
    assert total is not None
    return op.reshape(total, op.const([queries[0]]))
