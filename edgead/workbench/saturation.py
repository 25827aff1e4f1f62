"""Where INT8 sums leave 16 bits, and so which graphs give other numbers on processors without VNNI.

Without VNNI (AVX2, and the first AVX-512) engines multiply unsigned activations by signed weights with
``vpmaddubsw``, which adds two products in 16 bits and clips the sum: 2 x 255 x 127 doesn't fit, so the same
graph gives other numbers there, and a network of large weights other verdicts (measured: a score 20 % off).
Which two is fixed: neighbours in the order that a product sums over, input channels side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

PAIR = 128
"""What two neighbouring weights of one sign may add up to: 255 times it is a 16-bit number."""
PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators that multiply by weights, their second input."""


def summed_axis(node: onnx.NodeProto, ndim: int) -> int:
    """The axis of the weights of a product, of so many dimensions, that it sums over."""
    if node.op_type == "Conv":
        return 1
    turned = any(a.name == "transB" and a.i for a in node.attribute)
    return ndim - 1 if turned else 0 if node.op_type == "ConvTranspose" else ndim - 2


def worst_pair(rows: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the largest sum, without its sign, of two neighbours of one sign in (n, taps, length)."""
    if rows.shape[-1] % 2 == 0 or rows.shape[1] == 1:
        found: NDArray[np.float64] = neighbour_sums(rows).max(1)
        return found
    flat = rows.reshape(len(rows), -1)  # an odd row's last is the neighbour of another row's first
    two = -np.partition(-np.stack([flat, -flat]).clip(0), 1, axis=2)[..., :2]
    largest: NDArray[np.float64] = two.sum(2).max(0)
    return largest


def neighbour_sums(rows: NDArray[Any]) -> NDArray[np.float64]:
    """(...) the largest sum, unsigned, of two numbers of one sign at 2i and 2i + 1 of (..., length)."""
    if rows.shape[-1] % 2:
        rows = np.concatenate([rows, np.zeros_like(rows[..., :1])], axis=-1)
    one, other = rows[..., 0::2], rows[..., 1::2]
    sums = (np.abs(one.clip(0) + other.clip(0)), np.abs(one.clip(None, 0) + other.clip(None, 0)))
    found: NDArray[np.float64] = np.maximum(*sums).max(-1)
    return found


def unsafe_layers(model: onnx.ModelProto) -> dict[str, int]:
    """The layers of a graph that saturate without VNNI, with the largest sum of two neighbours.

    Looks at products with int8 initialisers, through DequantizeLinear, Transpose and Slice; what a graph
    calculates on its way to a product isn't seen.
    """
    arrays = {value.name: value for value in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        weights, axis = _integers(node, made_by, arrays)
        if weights is None:
            continue
        rows = np.moveaxis(weights, axis, -1)
        if node.op_type in ("MatMul", "Gemm"):
            worst = int(neighbour_sums(rows).max(initial=0))
        else:  # channels lie first now, whichever of the two it was
            worst = int(worst_pair(rows.reshape(len(rows), -1, rows.shape[-1])).max())
        if worst > PAIR:
            found[node.name or node.output[0]] = worst
    return found


def _integers(
    node: onnx.NodeProto, made_by: dict[str, onnx.NodeProto], arrays: dict[str, onnx.TensorProto]
) -> tuple[NDArray[np.int16] | None, int]:
    """A layer's int8 weights, wider, and the axis that is summed over; None where it has none."""
    name, turns, quantised = node.input[1], [], False
    while name not in arrays:
        source = made_by.get(name)
        if source is None or source.op_type not in ("DequantizeLinear", "Transpose", "Slice"):
            return None, 0
        quantised |= source.op_type == "DequantizeLinear"
        if source.op_type == "Transpose":
            turns.append(next(list(a.ints) for a in source.attribute if a.name == "perm"))
        name = source.input[0]
    if not quantised or arrays[name].data_type != onnx.TensorProto.INT8:
        return None, 0
    weights = numpy_helper.to_array(arrays[name]).astype(np.int16)
    axis = summed_axis(node, weights.ndim)
    for turn in turns:
        axis = turn[axis]
    return weights, axis


__all__ = ["PAIR", "PRODUCTS", "neighbour_sums", "summed_axis", "unsafe_layers", "worst_pair"]
