"""PaDiM's embedding: randomly chosen channels of several feature maps, concatenated on the finest grid.

Choosing channels before the maps are enlarged costs nothing and is the same as choosing after. Enlarging is
one matrix per axis, the same for fitting (numpy) and in the graph: with ``nearest`` of zeros and ones, so
that it copies exactly; with ``bilinear`` of half-pixel interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.types import Size
from edgead.workbench.graph import parameter
from edgead_plugins.postprocessors import bilinear_matrix

Floats = NDArray[np.float32]
Upsampling = Literal["nearest", "bilinear"]
Shapes = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True)
class ChannelSelection:
    """Which channels of which map, in the order in which they are concatenated.

    Attributes:
        indices: for each map that has any, its chosen channels, ascending.
        shapes: (channels, h, w) of every map.
        upsampling: how coarser maps reach the finest grid.
    """

    indices: Mapping[str, NDArray[np.int64]]
    shapes: Shapes
    upsampling: Upsampling = "nearest"

    @property
    def grid(self) -> Size:
        """(h, w) of the finest of all maps, chosen from or not."""
        return max((h, w) for _, h, w in self.shapes.values())

    @property
    def d(self) -> int:
        """Length of an embedding."""
        return sum(len(index) for index in self.indices.values())

    def chosen(self, maps: Mapping[str, Floats]) -> dict[str, Floats]:
        """The chosen channels of one image's maps (C, h, w), copied; of those maps again themselves."""
        return {
            name: maps[name] if len(maps[name]) == len(index) else maps[name][index]
            for name, index in self.indices.items()
        }

    def embed(self, maps: Mapping[str, Floats]) -> Floats:
        """(d, h * w) float32 of one image's maps (C, h, w), or of their ``chosen``."""
        parts = []
        for name, chosen in self.chosen(maps).items():
            if chosen.shape[1:] != self.grid:
                chosen = self._enlarged(name, chosen)
            parts.append(chosen.reshape(len(chosen), -1))
        return np.concatenate(parts)

    def _enlarged(self, name: str, chosen: Floats) -> Floats:
        vertical, horizontal = self._axes(name)
        if self.upsampling == "nearest":  # copied, as the matrices of zeros and ones do
            return chosen[:, vertical.argmax(1)[:, None], horizontal.argmax(1)]
        enlarged: Floats = np.matmul(np.matmul(vertical, chosen), horizontal.T)
        return enlarged

    def graph(self, maps: Mapping[str, Var], name: str) -> Var:
        """(1, d, h, w) of the maps (1, C, h, w) in the graph being composed."""
        parts = []
        for layer, index in self.indices.items():
            chosen = op.gather(maps[layer], parameter(f"{name}_{layer}", index), axis=1)
            if self.shapes[layer][1:] != self.grid:
                vertical, horizontal = self._axes(layer)
                chosen = op.matmul(op.matmul(op.const(vertical), chosen), op.const(horizontal.T.copy()))
            parts.append(chosen)
        return op.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _axes(self, name: str) -> tuple[Floats, Floats]:
        make = bilinear_matrix if self.upsampling == "bilinear" else nearest_matrix
        (h, w), (h_out, w_out) = self.shapes[name][1:], self.grid
        return make(h, h_out).astype(np.float32), make(w, w_out).astype(np.float32)


def select_channels(
    shapes: Shapes, d: int, seed: int | Sequence[int], upsampling: Upsampling
) -> ChannelSelection:
    """Choose d of all maps' channels at random, each as likely as another.

    Args:
        shapes: (channels, h, w) of each map, in the order of concatenation.
        d: 1 to the number of all channels.
    """
    counts = [channels for channels, _, _ in shapes.values()]
    chosen = np.sort(np.random.default_rng(seed).choice(sum(counts), d, replace=False))
    starts = np.cumsum([0, *counts])
    indices = {
        name: chosen[(chosen >= start) & (chosen < stop)] - start
        for name, start, stop in zip(shapes, starts, starts[1:], strict=False)
    }
    return ChannelSelection({n: i for n, i in indices.items() if len(i)}, dict(shapes), upsampling)


def nearest_matrix(n_in: int, n_out: int) -> NDArray[np.float64]:
    """(n_out, n_in) of zeros and ones: each of n_out cells takes the input cell that its centre lies in."""
    matrix = np.zeros((n_out, n_in))
    matrix[np.arange(n_out), (2 * np.arange(n_out) + 1) * n_in // (2 * n_out)] = 1
    return matrix
