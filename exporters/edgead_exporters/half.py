"""Convolutions in FP16, said in the graph: an engine that may choose would take the distances down, too."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from edgead_exporters.editing import Editor

FOLLOWING = ("Add", "Clip", "LeakyRelu", "MaxPool", "Relu", "Sigmoid", "Mul")
"""Operators that stay in FP16 between convolutions, where everything that they read is in FP16."""


def convolutions_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with FP16 convolutions, and casts where FP32 begins and ends.

    Args:
        model: nodes in order, weights in FP32; a convolution with quantised weights stays as it is.
    """
    editor = Editor(model)
    halves: dict[str, str] = {}  # tensors by name, their FP16 forms
    made: set[str] = set()

    def half(name: str) -> str:
        if name not in halves:
            value = editor.value(name) if editor.is_constant(name) else None
            halves[name] = (
                editor.add("Cast", [name], name, to=TensorProto.FLOAT16)
                if value is None
                else editor.constant(value.astype(np.float16), name)
            )
        return halves[name]

    for node in list(editor.nodes):
        plain = [name for name in node.input if name and not editor.is_constant(name)]
        weights = [name for name in node.input if editor.is_constant(name)]
        floats = all(editor.element_type(name) == TensorProto.FLOAT for name in weights)
        starts = node.op_type == "Conv" and len(plain) == 1
        follows = node.op_type in FOLLOWING and bool(plain) and all(name in made for name in plain)
        if not floats or not (starts or follows):
            continue
        for index, name in enumerate(node.input):
            if name:
                node.input[index] = half(name)
        old = node.output[0]
        node.output[0] = halves[old] = f"{old}.half"
        made.add(old)
        editor.nodes.append(
            onnx.helper.make_node("Cast", [node.output[0]], [old], name=f"{old}.float", to=TensorProto.FLOAT)
        )
    return editor.finish()
