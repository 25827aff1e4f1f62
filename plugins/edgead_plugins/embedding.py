"""PatchCore's patch embedding as graph operators: neighbourhoods of several feature maps in one vector.

Two forms. *Concatenated*: each map is averaged over its patch_size x patch_size neighbourhood (zeros
outside counted), resized bilinearly to the finest map's grid, and the channels are concatenated. *Pooled*,
the paper's reference form (Roth et al. 2022): each neighbourhood, flattened as (channel, row, column), is
averaged into ``width`` adaptive bins; the maps are stacked and averaged into ``width`` bins once more.
Both steps are linear, so the first becomes a grouped convolution, whose weights hold the bins exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.workbench.graph import static_shape


def concatenated(maps: Sequence[Var], patch_size: int) -> Var:
    """(1, sum of channels, h, w) on the grid of the finest of ``maps``, each (1, C, h, w) float32."""
    averaged = [_average(m, patch_size) for m in maps]
    return op.concat(_on_finest_grid(averaged), axis=1)


def pooled(maps: Sequence[Var], patch_size: int, width: int) -> Var:
    """(1, width, h, w) on the grid of the finest of ``maps``, each (1, C, h, w) float32."""
    binned = [_pool_neighbourhood(m, patch_size, width) for m in maps]
    stacked = op.concat(_on_finest_grid(binned), axis=1)
    _, channels, h, w = static_shape(stacked)
    if channels % width == 0:  # bins of whole channels: a plain mean
        grouped = op.reshape(stacked, op.const([1, width, channels // width, h, w]))
        return op.reduce_mean(grouped, op.const([2]), keepdims=0)
    weights = adaptive_bins(channels, width).astype(np.float32)
    return op.conv(stacked, op.const(weights[:, :, None, None]))


def adaptive_bins(length: int, width: int) -> NDArray[np.float64]:
    """(width, length) matrix of adaptive average pooling: bin i is [floor(i L / W), ceil((i + 1) L / W))."""
    matrix = np.zeros((width, length))
    for i in range(width):
        start, stop = i * length // width, -(-(i + 1) * length // width)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def _average(x: Var, patch_size: int) -> Var:
    if patch_size == 1:
        return x
    before, after = (patch_size - 1) // 2, patch_size // 2
    return op.average_pool(
        x,
        kernel_shape=(patch_size, patch_size),
        pads=(before, before, after, after),
        strides=(1, 1),
        count_include_pad=1,
    )


def _pool_neighbourhood(x: Var, patch_size: int, width: int) -> Var:
    """Bins over (channel, row, column). They repeat every C / gcd(C, width) channels: that is a group."""
    channels = static_shape(x)[1]
    groups = math.gcd(channels, width)
    taps = channels // groups * patch_size**2
    bins = adaptive_bins(taps, width // groups).astype(np.float32)
    kernel = bins.reshape(width // groups, channels // groups, patch_size, patch_size)
    before, after = (patch_size - 1) // 2, patch_size // 2
    return op.conv(
        x, op.const(np.tile(kernel, (groups, 1, 1, 1))), group=groups, pads=(before, before, after, after)
    )


def _on_finest_grid(maps: Sequence[Var]) -> list[Var]:
    h, w = max((static_shape(m)[2], static_shape(m)[3]) for m in maps)
    return [m if static_shape(m)[2:] == (h, w) else _resize(m, h, w) for m in maps]


def _resize(x: Var, h: int, w: int) -> Var:
    sizes = op.const(np.array([1, static_shape(x)[1], h, w], np.int64))
    return op.resize(x, sizes=sizes, mode="linear", coordinate_transformation_mode="half_pixel")
