"""SPADE's gallery: what is kept of each good image, and the search in the images chosen when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.types import BankPrecision, FittingData, Size
from edgead_plugins.channel_selection import nearest_matrix
from edgead_plugins.coreset import greedy_coreset, random_projection
from edgead_plugins.nearest import Bank
from edgead_plugins.postprocessors import bilinear_matrix
from edgead_plugins.pyramid import Pyramid, best_rank, images_at_once, summed_norms

Kind = Literal["coreset", "exact", "position"]
Correspondence = Literal["pyramid", "layers"]
Floats = NDArray[np.float32]
Index = NDArray[np.int64]
PROJECTION = 64
"""Dimensions that an image's coreset is selected in."""


@dataclass(frozen=True)
class Gallery:
    """What is kept of the good images.

    Attributes:
        kind: coreset and exact are searched whole, position at the same position only.
        rows: for each map, the finest first, (images, rows of one, C) float32.
        images: (images,) which of the training images they are, ascending.
        positions: (images, rows of one) the coreset's positions in the finest map; empty otherwise.
        shape: the maps' shapes.
    """

    kind: Kind
    rows: Mapping[str, Floats]
    images: Index
    positions: Index
    shape: Pyramid

    def graph(
        self,
        maps: Mapping[str, Var],
        nearest: Var,
        k: int,
        precision: BankPrecision,
        correspondence: Correspondence,
        squared: bool,
        size: Size,
    ) -> Var:
        """Distances to the nearest row of the k gallery images ``nearest`` (k,) int64.

        Returns:
            (1, 1, h, w) float32 on the finest grid; with ``layers`` at the image's ``size``.
        """
        banks = {
            name: Bank(rows.reshape(-1, rows.shape[2]), f"gallery_{name}").lower(precision)
            for name, rows in self.rows.items()
        }
        by_map = {}
        if self.kind == "position":
            for name, bank in banks.items():
                rounded = bank.prepare(self._queries(name, maps[name], None)).rounded
                count = self.rows[name].shape[1]
                starts = op.reshape(op.mul(nearest, op.const(np.int64(count))), op.const([k, 1]))
                index = op.add(starts, op.const(np.arange(count, dtype=np.int64)[None]))
                apart = op.sub(op.unsqueeze(rounded, op.const([0])), bank.gather(index))
                by_map[name] = op.reduce_sum_square(apart, op.const([2]), keepdims=0)  # (k, positions)
            if correspondence == "pyramid":
                grids = [self._enlarged(name, by_map[name], k, self.shape.grid, False) for name in banks]
                whole = op.reduce_min(_sum(grids), op.const([0]), keepdims=1)
                return _rooted(whole, squared)
            by_map = {n: op.reduce_min(d, op.const([0]), keepdims=1) for n, d in by_map.items()}
            return self._average(by_map, squared, size)
        orders = self.shape.query_order()
        names = self.shape.names
        prepared = [banks[name].prepare(self._queries(name, maps[name], orders[name])) for name in names]
        counts = [len(orders[name]) for name in names]
        rows = [self.rows[name].shape[1] for name in names]
        best: dict[str, Var] = {}
        step = images_at_once(counts[0] * rows[0], k)
        for start in range(0, k, step):
            some = min(step, k - start)
            groups = op.slice(nearest, op.const([start]), op.const([start + some]), op.const([0]))
            ranks = [
                banks[name].rank_groups(prepared[i].ranked, groups, rows[i]) for i, name in enumerate(names)
            ]
            if correspondence == "pyramid":
                found = {"": best_rank(ranks, counts, rows, some)}
            else:
                found = {
                    name: op.reduce_max(rank, op.const([1]), keepdims=0)
                    for name, rank in zip(names, ranks, strict=True)
                }
            best = {key: op.max([best[key], v]) if best else v for key, v in found.items()}
        if correspondence == "pyramid":
            norms = summed_norms([query.rounded for query in prepared], counts)
            distance = self._in_rows(_expanded(norms, best[""]), orders[names[0]])
            return _rooted(op.reshape(distance, op.const([1, 1, *self.shape.grid])), squared)
        for i, name in enumerate(names):
            norm = op.reduce_sum_square(prepared[i].rounded, op.const([1]), keepdims=0)
            distance = self._in_rows(_expanded(norm, best[name]), orders[name])
            by_map[name] = op.reshape(distance, op.const([1, -1]))
        return self._average(by_map, squared, size)

    def _queries(self, name: str, feature_map: Var, order: Index | None) -> Var:
        c, h, w = self.shape.shapes[name]
        rows = op.reshape(op.transpose(feature_map, perm=[0, 2, 3, 1]), op.const([h * w, c]))
        if order is None or (order == np.arange(h * w)).all():
            return rows
        return op.gather(rows, op.const(order), axis=0)

    def _in_rows(self, values: Var, order: Index) -> Var:
        return op.gather(values, op.const(np.argsort(order)), axis=0)

    def _enlarged(self, name: str, values: Var, k: int, size: Size, bilinear: bool) -> Var:
        """(k, positions) of a map to (k, 1, *size), by one matrix per axis."""
        _, h, w = self.shape.shapes[name]
        values = op.reshape(values, op.const([k, 1, h, w]))
        if (h, w) == size:
            return values
        make = bilinear_matrix if bilinear else nearest_matrix
        vertical, horizontal = make(h, size[0]).astype(np.float32), make(w, size[1]).astype(np.float32)
        return op.matmul(op.matmul(op.const(vertical), values), op.const(np.ascontiguousarray(horizontal.T)))

    def _average(self, by_map: Mapping[str, Var], squared: bool, size: Size) -> Var:
        """The mean over the maps, each enlarged to the image's size, as the popular code does it."""
        large = [self._enlarged(n, _rooted(d, squared), 1, size, True) for n, d in by_map.items()]
        return op.mul(_sum(large), op.const(np.float32(1 / len(large))))


def gallery_bytes(images: int, rows: Mapping[str, int], shape: Pyramid, precision: BankPrecision) -> int:
    """Features, a norm for each row, and each map's mean."""
    value = 1 if precision == "int8" else 4
    return sum(
        images * rows[name] * (value * channels + 4) + 4 * channels
        for name, (channels, _, _) in shape.shapes.items()
    )


def read_gallery(
    data: FittingData,
    shape: Pyramid,
    kind: Kind,
    images: Index,
    rows: Mapping[str, int],
    pooled_name: str,
    description: str,
    positions: Index | None = None,
) -> tuple[Floats, Gallery]:
    """All images' pooled features (n, C), and the gallery of ``images``, in one pass.

    Args:
        rows: rows of an image in each map; the coreset's are equal in all.
        positions: the coreset's, where they are chosen already.
    """
    kept = {n: np.empty((len(images), rows[n], c), np.float32) for n, (c, _, _) in shape.shapes.items()}
    pooled = np.empty((data.n_images, data.shapes[pooled_name][0]), np.float32)
    order = shape.gallery_order() if kind == "exact" else {}
    places = np.zeros((len(images), rows[shape.names[0]] if kind == "coreset" else 0), np.int64)
    if positions is not None:
        places = positions
    choose = kind == "coreset" and positions is None
    slots = {int(image): slot for slot, image in enumerate(images)}
    with data.progress(description, data.n_images) as advance:
        for number, maps in enumerate(data.features()):
            pooled[number] = maps[pooled_name].ravel()
            slot = slots.get(number)
            if slot is not None:
                flat = {name: maps[name].reshape(len(maps[name]), -1).T for name in shape.names}
                if choose:
                    places[slot] = _cover(flat, shape, places.shape[1], data.seed)
                for name, vectors in flat.items():
                    if kind == "coreset":
                        kept[name][slot] = vectors[shape.parents(name)[places[slot]]]
                    else:
                        kept[name][slot] = vectors[order[name]] if kind == "exact" else vectors
            advance(1)
    return pooled, Gallery(kind, kept, images, places, shape)


def _cover(flat: Mapping[str, Floats], shape: Pyramid, count: int, seed: int) -> Index:
    """Positions of one image that cover all of them best; repeated where fewer are all different."""
    whole = np.concatenate([vectors[shape.parents(name)] for name, vectors in flat.items()], axis=1)
    if whole.shape[1] > PROJECTION:
        whole = whole @ random_projection(whole.shape[1], PROJECTION, seed)
    start = int(np.random.default_rng(seed).integers(len(whole)))
    return np.resize(greedy_coreset(whole, count, start=start), count)


def _expanded(norms: Var, best: Var) -> Var:
    """|q - b|^2 from |q|^2 and the highest q.b - |b|^2 / 2; rounding may not take it below 0."""
    distance = op.sub(norms, op.mul(best, op.const(np.float32(2))))
    return op.max([distance, op.const(np.float32(0))])


def _rooted(squares: Var, squared: bool) -> Var:
    return squares if squared else op.sqrt(squares)


def _sum(parts: list[Var]) -> Var:
    return op.sum(parts) if len(parts) > 1 else parts[0]
