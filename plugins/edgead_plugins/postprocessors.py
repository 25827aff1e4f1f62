"""From patch scores to the anomaly map: bilinear up-sampling and a Gaussian, as two matrix products.

Both steps are separable and linear, so each axis has one matrix: the Gaussian (33 taps, sigma 4 at input
resolution, reflected borders) times bilinear interpolation (half-pixel centres). map = V . patch . H^T
equals up-sampling followed by two 1-D convolutions, in float64 precomputed, and costs next to nothing.

``edgead.image_score`` says which image scores there are.
"""

from __future__ import annotations

import math

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.image_score import PAPER, ImageScore, highest
from edgead.types import Scores, Size
from edgead.workbench.graph import static_shape

PIECE = 32
"""Pixels that are looked at as one before the highest are sought; see ``mean_of_highest``."""


class Gaussian:
    """Up-sampled, smoothed patch scores.

    Args:
        sigma: standard deviation in input pixels.
        taps: length of the kernel, odd.
        image_score: which number the image score is.
    """

    def __init__(self, sigma: float = 4.0, taps: int = 33, image_score: ImageScore = PAPER) -> None:
        self.sigma, self.taps, self.image_score = sigma, taps, image_score

    def with_image_score(self, image_score: ImageScore) -> Gaussian:
        """See ``edgead.types.ChoosesImageScore``."""
        return Gaussian(self.sigma, self.taps, image_score)

    def matrices(self, shape: Size, size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See ``edgead.types.LinearMap``."""
        vertical, horizontal = (
            (gaussian_matrix(n_out, self.sigma, self.taps) @ bilinear_matrix(n_in, n_out)).astype(np.float32)
            for n_in, n_out in zip(shape, size, strict=True)
        )
        return vertical, horizontal

    def graph(self, scores: Scores, shape: Size, size: Size) -> tuple[Var, Var]:
        """See ``edgead.types.PostProcessor``."""
        vertical, horizontal = self.matrices(shape, size)
        patch = op.reshape(scores.patch, op.const(np.array(shape)))
        finished = op.matmul(
            op.matmul(op.const(vertical), patch), op.const(np.ascontiguousarray(horizontal.T))
        )
        anomaly_map = op.reshape(finished, op.const(np.array([1, 1, *size])))
        return anomaly_map, score_of_image(scores, anomaly_map, self.image_score)


def score_of_image(scores: Scores, anomaly_map: Var, image_score: ImageScore) -> Var:
    """The image score (1,); ``edgead.image_score.score_of`` is the same in NumPy.

    Args:
        scores: the scorer's.
        anomaly_map: (1, 1, H, W), finished.
        image_score: which.
    """
    if image_score.rule == "paper" and scores.image is not None:
        return scores.image
    if image_score.rule == "top-share":
        count = highest(math.prod(static_shape(scores.patch)), image_score.share)
        return mean_of_highest(scores.patch, count)
    return mean_of_highest(anomaly_map, 1)


def mean_of_highest(x: Var, count: int) -> Var:
    """(1,): the mean of the ``count`` highest values of (1, 1, H, W), exactly.

    TopK over all pixels takes 0.2 to 10 ms in OpenVINO, the longest where values rise along the image. So the
    ``count`` rows of 32 pixels with the highest maxima are chosen first: each of the highest pixels is in
    one of them, or as high as another that is. That takes 0.2 ms whatever the image.
    """
    pixels = math.prod(static_shape(x))
    count, rows = min(count, pixels), pixels // PIECE
    if pixels % PIECE == 0 and rows > count:
        pieces = op.reshape(x, op.const([rows, PIECE]))
        maxima = op.reshape(op.reduce_max(pieces, op.const([1]), keepdims=0), op.const([1, rows]))
        _, chosen = op.top_k(maxima, op.const([count]), axis=1, sorted=0)
        x, pixels = op.gather(pieces, op.reshape(chosen, op.const([count])), axis=0), count * PIECE
    highest, _ = op.top_k(op.reshape(x, op.const([1, pixels])), op.const([count]), axis=1, sorted=0)
    return op.reduce_mean(highest, op.const([1]), keepdims=0)


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
