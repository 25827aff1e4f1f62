"""From patch scores to the anomaly map: bilinear up-sampling and a Gaussian, as two matrix products.

Both steps are separable and linear, so each axis has one matrix: the Gaussian (33 taps, sigma 4 at input
resolution, reflected borders) times bilinear interpolation (half-pixel centres). map = V . patch . H^T
equals up-sampling followed by two 1-D convolutions, in float64 precomputed, and costs next to nothing.
"""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.types import Scores, Size


class Gaussian:
    """Up-sampled, smoothed patch scores; the image score is the scorer's own or the map's maximum.

    Args:
        sigma: standard deviation in input pixels.
        taps: length of the kernel, odd.
    """

    def __init__(self, sigma: float = 4.0, taps: int = 33) -> None:
        self.sigma, self.taps = sigma, taps

    def graph(self, scores: Scores, shape: Size, size: Size) -> tuple[Var, Var]:
        """See ``edgead.types.PostProcessor``."""
        vertical, horizontal = (
            (gaussian_matrix(n_out, self.sigma, self.taps) @ bilinear_matrix(n_in, n_out)).astype(np.float32)
            for n_in, n_out in zip(shape, size, strict=True)
        )
        patch = op.reshape(scores.patch, op.const(np.array(shape)))
        finished = op.matmul(
            op.matmul(op.const(vertical), patch), op.const(np.ascontiguousarray(horizontal.T))
        )
        anomaly_map = op.reshape(finished, op.const(np.array([1, 1, *size])))
        image = scores.image
        if image is None:
            image = op.reduce_max(
                op.reshape(finished, op.const([1, size[0] * size[1]])), op.const([1]), keepdims=0
            )
        return anomaly_map, image


def bilinear_matrix(n_in: int, n_out: int) -> NDArray[np.float64]:
    """(n_out, n_in) bilinear interpolation with half-pixel centres, the border repeated."""
    position = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, n_in - 1)
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (np.arange(n_out), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(n_out), high), position - low)
    return matrix


def gaussian_matrix(n: int, sigma: float, taps: int) -> NDArray[np.float64]:
    """(n, n) convolution with a normalised Gaussian; borders reflect without repeating the edge pixel."""
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((n, n))
    for offset, weight in zip(offsets, kernel, strict=True):
        np.add.at(matrix, (np.arange(n), _reflect(np.arange(n) + offset, n)), weight)
    return matrix


def _reflect(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    if n == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * (n - 1))
    reflected: NDArray[np.int64] = np.minimum(folded, 2 * (n - 1) - folded)
    return reflected
