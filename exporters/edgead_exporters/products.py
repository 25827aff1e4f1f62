"""Integer matrix products said as convolutions of 1 x 1, which OpenVINO runs by better kernels on AVX2.

A product of quantised rows with a quantised bank runs as ``jit_gemm_i8`` there, no faster than in FP32; the
same sum as a convolution has a kernel of its own and takes about half the time. With VNNI both take as long.
The sums are the same integers, so nothing else changes; docs/speed.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgead_exporters.editing import Editor, attribute


def as_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which each product of (queries, dim) with int8 constants (rows, dim) is a convolution.

    The constants are as the graph composes them: dequantised with one step, then transposed; perhaps a slice
    of a larger one. Products with anything else stay as they are, and so does one that the graph yields or
    that a branch's own graph may read. A graph without such a product is returned itself.
    """
    editor = Editor(model)
    found_rows = [(node, _rows(editor, node.input[1])) for node in editor.nodes if node.op_type == "MatMul"]
    if all(rows is None for _, rows in found_rows) or any(_has_graphs(node) for node in editor.nodes):
        return model
    shapes = _shapes(model)
    yielded = {value.name for value in model.graph.output}
    for node, rows in found_rows:
        shape = shapes.get(node.input[0], ())
        if rows is None or node.output[0] in yielded or len(shape) != 2 or not all(shape):
            continue
        queries, dim = shape
        height = next(h for h in range(int(queries**0.5), 0, -1) if queries % h == 0)
        image = editor.constant(np.array([1, height, queries // height, dim], np.int64), "as_image")
        flat = editor.constant(np.array([queries, -1], np.int64), "as_rows")
        last = editor.constant(np.array([2, 3], np.int64), "kernel")
        name = node.output[0]
        # Channels last on both sides, as the engine holds them: neither transposition moves anything.
        found = editor.add("Reshape", [node.input[0], image], name)
        found = editor.add("Transpose", [found], name, perm=[0, 3, 1, 2])
        kernel = editor.add("Unsqueeze", [rows.input[0], last], name)
        kernel = editor.add("DequantizeLinear", [kernel, *rows.input[1:]], name)
        found = editor.add("Conv", [found, kernel], name)
        found = editor.add("Transpose", [found], name, perm=[0, 2, 3, 1])
        editor.replace(name, editor.add("Reshape", [found, flat], name))
        editor.nodes.remove(node)
    return editor.finish()


def _has_graphs(node: onnx.NodeProto) -> bool:
    """Whether it's a branch or a loop: what its graphs read from outside isn't among its inputs."""
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(each.type in kinds for each in node.attribute)


def _rows(editor: Editor, name: str) -> onnx.NodeProto | None:
    """The node that dequantises a product's constant (rows, dim), or None where it's no such product."""
    turned = editor.producer(name)
    if turned is None or turned.op_type != "Transpose" or attribute(turned, "perm", [1, 0]) != [1, 0]:
        return None
    found = editor.producer(turned.input[0])
    if found is None or found.op_type != "DequantizeLinear" or editor.zero_point(found) != 0:
        return None
    integers = editor.value(found.input[0])
    step = editor.value(found.input[1])
    if integers is None or integers.dtype != np.int8 or integers.ndim != 2 or step is None or step.ndim:
        return None
    return found


def _shapes(model: onnx.ModelProto) -> Mapping[str, tuple[int, ...]]:
    """Of each tensor between nodes; 0 where a length isn't known."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    large = [value for value in graph.graph.initializer if len(value.raw_data) > 1 << 16]
    for value in large:  # its shape is all that inference needs, and it writes and reads the whole graph
        graph.graph.input.append(onnx.helper.make_tensor_value_info(value.name, value.data_type, value.dims))
        graph.graph.initializer.remove(value)
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.input)
    }


__all__ = ["as_convolutions"]
