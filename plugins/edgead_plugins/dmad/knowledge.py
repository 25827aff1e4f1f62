"""DMAD's knowledge as graph operators: what the nearest rows of a bank say about a patch.

Distance knowledge is |q - m|, element by element, for the bank row m nearest to q. Attention knowledge is
what cross-attention reads with q from its nearest rows m_1 ... m_K: sum_i softmax_i(q . m_i / sqrt(C)) m_i.
Both are vectors of the patch's own length C; where both are asked for, they are added. ``network.py`` has the
same in torch, and the tests a third time in numpy.
"""

from __future__ import annotations

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead_plugins.nearest import LoweredBank


def knowledge(bank: LoweredBank, query: Var, neighbours: int, attention: bool) -> Var:
    """What a bank says about patches: (queries, dim) float32, for a query of that shape.

    In INT8 the rows are found for the rounded patch, and are rounded; the patch that they're compared with is
    as it came.

    Args:
        neighbours: how many rows are attended to; at most the bank's.
        attention: whether to add the attention.
    """
    count = neighbours if attention else 1
    rows = bank.vectors(bank.search(query, count).index)  # (queries, count, dim)
    lone = op.unsqueeze(query, op.const([1]))
    nearest = rows if count == 1 else op.gather(rows, op.const([0]), axis=1)
    found = op.abs(op.sub(lone, nearest))
    if attention:
        found = op.add(found, _attended(lone, rows) if count > 1 else rows)
    return op.squeeze(found, op.const([1]))


def _attended(query: Var, rows: Var) -> Var:
    """(queries, 1, dim) of a query (queries, 1, dim) and its rows (queries, k, dim)."""
    dim = int(rows.unwrap_tensor().shape[2])  # type: ignore[index,arg-type]
    scores = op.reduce_sum(op.mul(query, rows), op.const([2]), keepdims=1)
    weights = op.softmax(op.mul(scores, op.const(np.float32(dim**-0.5))), axis=1)
    return op.reduce_sum(op.mul(weights, rows), op.const([1]), keepdims=1)


__all__ = ["knowledge"]
