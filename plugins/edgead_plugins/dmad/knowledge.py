"""DMAD's knowledge as graph operators: what the nearest rows of a bank say about a patch.

Of a row m it is |q - m|, element by element, or q - m: a vector of the patch's own length C. Of the nearest
rows m_1 ... m_K it's their weighted mean,

* nearest: K = 1;
* attention: with weights softmax_i(q . m_i / sqrt(C)), the paper's cross-attention;
* taper: with weights d_K - d_i, d_i being the distance to m_i. Where another row takes the place of the last
  one, both count nothing, so that the knowledge is continuous in q: a patch that INT8 moves a little moves
  its knowledge a little, and not to another row's.

``network.py`` has the same in torch, and the tests a third time in numpy.
"""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.workbench.graph import static_shape
from edgead_plugins.dmad.options import EVEN, Reading
from edgead_plugins.nearest import LoweredBank


def knowledge(bank: LoweredBank, query: Var, nearest: Var, reading: Reading, signed: bool = False) -> Var:
    """What a bank says about patches: (queries, dim) float32, for a query of that shape.

    In INT8 the rows are found for the rounded patch, and are rounded; the patch that they're compared with is
    as it came.

    Args:
        nearest: (queries, count) int64, each patch's nearest rows, the nearest first.
        reading: how they're weighted; see the module's text.
        signed: q - m in place of |q - m|.
    """
    if reading == "nearest":
        nearest = op.slice(nearest, op.const([0]), op.const([1]), op.const([1]))
    rows = bank.vectors(nearest)  # (queries, count, dim)
    _, count, dim = static_shape(rows)
    lone = op.unsqueeze(query, op.const([1]))
    apart = op.sub(lone, rows)
    said = apart if signed else op.abs(apart)
    if count == 1:  # all weight is on it
        return op.squeeze(said, op.const([1]))
    if reading == "attention":
        alike = op.reduce_sum(op.mul(lone, rows), op.const([2]), keepdims=1)
        weights = op.softmax(op.mul(alike, op.const(np.float32(dim**-0.5))), axis=1)
    else:
        far = op.sqrt(op.reduce_sum_square(apart, op.const([2]), keepdims=1))
        most = op.reduce_max(far, op.const([1]), keepdims=1)
        lead = op.sub(op.mul(op.add(most, op.const(np.float32(1e-9))), op.const(np.float32(1 + EVEN))), far)
        weights = op.div(lead, op.reduce_sum(lead, op.const([1]), keepdims=1))
    return op.reduce_sum(op.mul(weights, said), op.const([1]), keepdims=0)


__all__ = ["knowledge"]
