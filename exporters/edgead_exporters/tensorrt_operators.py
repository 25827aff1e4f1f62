"""What TensorRT's ONNX parser takes, checked before a graph goes to a device where nobody looks.

The list is onnx-tensorrt's own, kept in ``tensorrt_operators.json`` with its version. Checked are operators,
types of the tensors, constant inputs where the list asks for them, zero points of 0, and static shapes.
Other restrictions of the list (modes of Resize, say) aren't: the parser on the device has the last word.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

import onnx
from onnx import TensorProto

from edgead.errors import CompileError
from edgead_exporters.editing import attribute

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}
_LARGEST_K = 3840


@functools.cache
def published() -> dict[str, Any]:
    """The list, with its ``source``, ``tensorrt`` and ``opset``."""
    text = files("edgead_exporters").joinpath("tensorrt_operators.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def check_for_tensorrt(model: onnx.ModelProto) -> None:
    """Check a graph whose shapes are inferred.

    Raises:
        CompileError: TensorRT can't take it; names the first node that it can't, and why.
    """
    listed = published()
    low, high = listed["opset"]
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if not low <= opset <= high:
        raise CompileError(f"TensorRT {listed['tensorrt']} takes opset {low} to {high}, not {opset}")
    graph = model.graph
    constants = {value.name: value for value in graph.initializer}
    tensors = {
        value.name: value.type.tensor_type for value in (*graph.value_info, *graph.input, *graph.output)
    }
    types = {name: tensor.elem_type for name, tensor in tensors.items()}
    types |= {name: value.data_type for name, value in constants.items()}
    for node in graph.node:
        fault = _fault(node, constants, types) or _shape_fault(node, tensors)
        if fault:
            raise CompileError(
                f"jetson: node '{node.name or node.output[0]}' ({node.op_type}): {fault}; TensorRT "
                f"{listed['tensorrt']} can't take it: use --target onnx, or fit another method or backbone"
            )


def _fault(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], types: dict[str, int]) -> str | None:
    listed = published()
    known = listed["operators"].get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if known is None:
        return "the operator isn't on its list"
    quantiser = node.op_type in ("QuantizeLinear", "DequantizeLinear")
    allowed = set(known.split()) | ({"INT64", "INT32"} if not quantiser else set())  # shapes and axes
    seen = [*node.input[:1], *node.output] if not quantiser else node.input[:1]
    for name in seen:
        if name and (kind := _TYPES.get(types.get(name, 0), "of another type")) not in allowed:
            return f"tensor '{name}' is {kind}"
    if quantiser:
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8 or onnx.numpy_helper.to_array(zero).any():
            return "its zero point isn't an int8 0"
    for index in listed["constant_inputs"].get(node.op_type, ()):
        if len(node.input) > index and node.input[index] and node.input[index] not in constants:
            return f"its input {index}, '{node.input[index]}', isn't constant"
    if node.op_type == "TopK":
        k = int(onnx.numpy_helper.to_array(constants[node.input[1]]).flat[0])
        if k == 1 or k >= _LARGEST_K or not attribute(node, "sorted", 1):
            return f"k = {k} with sorted = {attribute(node, 'sorted', 1)}"
    return None


def _shape_fault(node: onnx.NodeProto, tensors: dict[str, onnx.TypeProto.Tensor]) -> str | None:
    for name in filter(None, node.output):
        tensor = tensors.get(name)
        if tensor is None or not tensor.HasField("shape"):
            return f"the shape of '{name}' isn't known"
        if any(not d.HasField("dim_value") or d.dim_value < 1 for d in tensor.shape.dim):
            return f"the shape of '{name}' isn't static"
    return None
