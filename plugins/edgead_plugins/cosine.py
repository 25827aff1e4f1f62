"""Vectors of length 1, and the cosine distance without cancellation, as graph operators."""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

TINY = 1e-12
"""What a vector's squared length is at least when it's divided by."""


def unit(x: Var, axes: Var) -> Var:
    """``x`` scaled to length 1 over the axes (int64); what is 0 stays 0."""
    squared = op.max([op.reduce_sum_square(x, axes, keepdims=1), op.const(np.float32(TINY))])
    return op.div(x, op.sqrt(squared))


def cosine_distance(a: Var, b: Var, axes: Var) -> Var:
    """1 - cos(a, b) over the axes, which stay with length 1.

    Written |a/|a| - b/|b||^2 / 2, which is the same and doesn't subtract a number near 1 from 1.
    """
    apart = op.reduce_sum_square(op.sub(unit(a, axes), unit(b, axes)), axes, keepdims=1)
    return op.mul(apart, op.const(np.float32(0.5)))


__all__ = ["cosine_distance", "unit"]
