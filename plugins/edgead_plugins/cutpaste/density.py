"""One Gaussian for all embeddings, its covariance shrunk so that a few images do.

Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal of
Multivariate Analysis 88, 2004: between the sample covariance and a multiple of the identity, at the mixture
that's expected to be nearest to the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import TrainingError
from edgead.workbench.graph import parameter, static_shape

Floats = NDArray[np.float32]
FLAT = 1e-9
"""Summed variance of embeddings of length 1 below which they're all one."""


@dataclass(frozen=True)
class EmbeddingDensity:
    """Mean (d,) and whitening factor (d, d) float32, W^T W the inverse covariance; the same everywhere.

    Attributes:
        shrinkage: share of the identity in the covariance, 0 to 1.
        n: how many embeddings it's from.
    """

    mean: Floats
    factor: Floats
    shrinkage: float
    n: int

    def graph(self, features: Var, name: str) -> Var:
        """Mahalanobis distances (1, 1, h, w) of (1, d, h, w); too small to be worth quantising."""
        _, d, h, w = static_shape(features)
        rows = op.reshape(op.transpose(features, perm=[0, 2, 3, 1]), op.const([h * w, d]))
        deviation = op.sub(rows, parameter(f"{name}_mean", self.mean[None]))
        whitened = op.matmul(deviation, parameter(f"{name}_factor", self.factor.T))
        squares = op.reduce_sum_square(whitened, op.const([1]), keepdims=0)
        return op.reshape(op.sqrt(squares), op.const([1, 1, h, w]))


def ledoit_wolf(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Covariance (d, d) of centred ``points`` (n, d), and the share of the identity in it."""
    n, d = points.shape
    sample = points.T @ points / n
    mean_variance = np.trace(sample) / d
    distance = (sample**2).sum() - d * mean_variance**2
    error = ((points**2).sum(1) ** 2).sum() / n**2 - (sample**2).sum() / n
    share = float(np.clip(error / distance, 0, 1)) if distance > 0 else 1.0
    return (1 - share) * sample + share * mean_variance * np.eye(d), share


def embedding_density(points: Floats) -> EmbeddingDensity:
    """Fit on embeddings (n, d) of length 1.

    Raises:
        TrainingError: they are all the same.
    """
    mean = points.mean(0, dtype=np.float64)
    centred = points - mean
    if not float((centred**2).sum()) / len(points) > FLAT:
        raise TrainingError(
            "cutpaste: the embeddings collapsed, all good images look the same to the network: lower "
            "-o learning_rate or take fewer -o steps"
        )
    covariance, share = ledoit_wolf(centred)
    factor = np.linalg.inv(np.linalg.cholesky(covariance))
    return EmbeddingDensity(mean.astype(np.float32), factor.astype(np.float32), share, len(points))


__all__ = ["EmbeddingDensity", "embedding_density", "ledoit_wolf"]
