"""Bilinear enlargement, and the post-processor for maps that need no smoothing."""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.image_score import PAPER, ImageScore
from edgead.types import Scores, Size
from edgead.workbench.graph import static_shape
from edgead_plugins.postprocessors import bilinear_matrix, score_of_image


def enlarged(x: Var, size: Size) -> Var:
    """(1, 1, h, w) -> (1, 1, H, W), bilinear with half-pixel centres: one matrix product for each axis."""
    shape = static_shape(x)[2:]
    if shape == tuple(size):
        return x
    vertical, horizontal = (
        bilinear_matrix(n, m).astype(np.float32) for n, m in zip(shape, size, strict=True)
    )
    plane = op.reshape(x, op.const(np.array(shape)))
    plane = op.matmul(op.matmul(op.const(vertical), plane), op.const(np.ascontiguousarray(horizontal.T)))
    return op.reshape(plane, op.const(np.array([1, 1, *size])))


class Bilinear:
    """Up-sampled patch scores, not smoothed.

    Args:
        image_score: which number the image score is.
    """

    def __init__(self, image_score: ImageScore = PAPER) -> None:
        self.image_score = image_score

    def with_image_score(self, image_score: ImageScore) -> Bilinear:
        """See ``edgead.types.ChoosesImageScore``."""
        return Bilinear(image_score)

    def graph(self, scores: Scores, shape: Size, size: Size) -> tuple[Var, Var]:
        """See ``edgead.types.PostProcessor``."""
        anomaly_map = enlarged(scores.patch, size)
        return anomaly_map, score_of_image(scores, anomaly_map, self.image_score)


__all__ = ["Bilinear", "enlarged"]
