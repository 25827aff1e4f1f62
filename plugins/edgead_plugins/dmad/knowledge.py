"""DMAD's knowledge as graph operators: what the nearest rows of a bank say about a patch.

Distance knowledge is |q - m|, element by element, for the bank row m nearest to q. With attention, q reads
the distances to its nearest rows m_1 ... m_K by cross-attention, each row weighted by how much it is like q:
sum_i softmax_i(q . m_i / sqrt(C)) |q - m_i|. Both are vectors of the patch's own length C. ``network.py`` has
the same in torch, and the tests a third time in numpy.
"""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.workbench.graph import static_shape
from edgead_plugins.nearest import LoweredBank


def knowledge(bank: LoweredBank, query: Var, nearest: Var, attention: bool) -> Var:
    """What a bank says about patches: (queries, dim) float32, for a query of that shape.

    In INT8 the rows are found for the rounded patch, and are rounded; the patch that they're compared with is
    as it came.

    Args:
        nearest: (queries, count) int64, each patch's nearest rows, the nearest first.
        attention: whether all of them are attended to; without it the nearest row counts alone.
    """
    if not attention:
        nearest = op.slice(nearest, op.const([0]), op.const([1]), op.const([1]))
    rows = bank.vectors(nearest)  # (queries, count, dim)
    count = static_shape(rows)[1]
    lone = op.unsqueeze(query, op.const([1]))
    distance = op.abs(op.sub(lone, rows))
    if count == 1:  # all attention is on it
        return op.squeeze(distance, op.const([1]))
    dim = static_shape(rows)[2]
    alike = op.reduce_sum(op.mul(lone, rows), op.const([2]), keepdims=1)
    weights = op.softmax(op.mul(alike, op.const(np.float32(dim**-0.5))), axis=1)
    return op.reduce_sum(op.mul(weights, distance), op.const([1]), keepdims=0)


__all__ = ["knowledge"]
