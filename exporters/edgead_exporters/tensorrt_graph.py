"""A graph as TensorRT takes it: the same arithmetic, said in its words.

What TensorRT's parser doesn't take, and what becomes of it:

* *unsigned 8-bit values, and zero points other than 0.* Where the offset is known it moves: out of the pixels
  into the mean and the first convolution's bias (and its border into a Pad), out of a search's query into
  the ranking's constants. Both are exact. An activation after a ReLU is unsigned without an offset; it keeps
  its range with 127 steps for 255, TensorRT knows no other. That rounds more; the gates measure it.
* *8-bit integers that are moved or cast* (a bank's rows are gathered as int8, a ranked search's queries too).
  They're dequantised first.
* *TopK of one* (k = 1) becomes ReduceMax for the value and ArgMax for the index. In a search with 8-bit
  rows, whose product is exact, the maximum itself gives the distance, |q|^2 - 2 max(q.b - |b|^2 / 2), and no
  row is looked up but for the one position that asks which row it was. In FP32, where TensorRT's TF32 keeps
  10 bits of a factor, the distance stays that of the row found: nothing cancels.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from edgead_exporters.editing import Editor, attribute, set_attribute

MOVES = ("Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose",
         "Unsqueeze")  # fmt: skip
"""Operators that move values and leave them as they are; only those with one data input, first, are moved."""


def for_tensorrt(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in TensorRT's words; what can't be said in them is left, for the check to name."""
    editor = Editor(model)
    for node in _quantisers(editor):
        _dequantise_before_moves(editor, node)
    editor.prune()
    for node in _quantisers(editor):
        _ = _pixels(editor, node) or _query(editor, node) or _activation(editor, node)
    editor.prune()
    _dequantise_first(editor)
    editor.prune()
    for node in [node for node in editor.nodes if node.op_type == "TopK"]:
        if not _distance_by_maximum(editor, node):
            _one_winner(editor, node)
    return onnx.shape_inference.infer_shapes(editor.finish(), strict_mode=True, data_prop=True)


def _quantisers(editor: Editor) -> list[onnx.NodeProto]:
    return [
        node
        for node in editor.nodes
        if node.op_type == "QuantizeLinear"
        and (len(node.input) < 3 or editor.element_type(node.input[2]) == TensorProto.UINT8)
    ]


def _only_reader(editor: Editor, name: str, op_type: str) -> onnx.NodeProto | None:
    readers = editor.readers(name)
    return readers[0] if len(readers) == 1 and readers[0].op_type == op_type else None


def _signed(editor: Editor, nodes: list[onnx.NodeProto], scale: float) -> None:
    """Give quantisers and dequantisers this scale and an int8 zero."""
    names = [
        editor.constant(np.array(scale, np.float32), "step"),
        editor.constant(np.array(0, np.int8), "zero"),
    ]
    for node in nodes:
        kept = node.input[0]
        node.ClearField("input")
        node.input.extend([kept, *names])


def _pixels(editor: Editor, quantiser: onnx.NodeProto) -> bool:
    """The first quantiser, ``Sub level, Q, DQ, (Transpose), Conv`` with a zero point: exact in int8."""
    sub = editor.producer(quantiser.input[0])
    step, zero = editor.scalar(quantiser.input[1]), editor.zero_point(quantiser)
    dequantiser = _only_reader(editor, quantiser.output[0], "DequantizeLinear")
    if sub is None or sub.op_type != "Sub" or dequantiser is None or step is None or not zero:
        return False
    level = editor.value(sub.input[1])
    if level is None or _only_reader(editor, sub.output[0], "QuantizeLinear") is None:
        return False
    transpose = _only_reader(editor, dequantiser.output[0], "Transpose")
    if transpose is not None and list(attribute(transpose, "perm", [])) != [0, 3, 1, 2]:
        return False
    conv = _only_reader(editor, (transpose or dequantiser).output[0], "Conv")
    if conv is None or len(conv.input) != 3 or attribute(conv, "auto_pad", b"NOTSET") != b"NOTSET":
        return False
    weight, bias = editor.value(conv.input[1]), editor.value(conv.input[2])
    if weight is None or bias is None or weight.ndim != 4:
        return False
    shift = (128 - zero) * step
    sub.input[1] = editor.constant((level + np.float32(shift)).astype(np.float32), "level")
    top, left, bottom, right = attribute(conv, "pads", [0, 0, 0, 0])
    if any((top, left, bottom, right)):
        border = (
            [0, top, left, 0, 0, bottom, right, 0] if transpose else [0, 0, top, left, 0, 0, bottom, right]
        )
        inputs = [
            sub.output[0],
            editor.constant(np.array(border, np.int64), "border"),
            editor.constant(np.array(-shift, np.float32), "beyond"),
        ]
        quantiser.input[0] = editor.add("Pad", inputs, "padded", mode="constant")
        set_attribute(conv, "pads", [0, 0, 0, 0])
    moved = bias.astype(np.float64) + shift * weight.astype(np.float64).sum((1, 2, 3))
    conv.input[2] = editor.constant(moved.astype(np.float32), "bias")
    _signed(editor, [quantiser, dequantiser], step)
    return True


def _dequantise_before_moves(editor: Editor, quantiser: onnx.NodeProto) -> None:
    """What is moved after it was quantised (a ranked search's queries) is dequantised first, once."""
    readers = editor.readers(quantiser.output[0])
    floats = next((node.output[0] for node in readers if node.op_type == "DequantizeLinear"), None)
    for first in readers:
        moved = _moved(editor, first)
        last = None if moved is None else _only_reader(editor, moved, "DequantizeLinear")
        if moved is None or last is None or _arithmetic(editor, last) != _arithmetic(editor, quantiser):
            continue
        if floats is None:
            floats = editor.add("DequantizeLinear", [quantiser.output[0], *last.input[1:]], "floats")
        first.input[0] = floats
        editor.replace(last.output[0], moved)


def _arithmetic(editor: Editor, node: onnx.NodeProto) -> tuple[float | None, int | None]:
    return editor.scalar(node.input[1]), editor.zero_point(node)


def _moved(editor: Editor, first: onnx.NodeProto) -> str | None:
    """What comes of operators that only move values, one after the other, of which this is the first."""
    node: onnx.NodeProto | None = first
    moved = None
    while node is not None and node.op_type in MOVES:
        moved = node.output[0]
        readers = editor.readers(moved)
        node = readers[0] if len(readers) == 1 and readers[0].input[0] == moved else None
    return moved


def _query(editor: Editor, quantiser: onnx.NodeProto) -> bool:
    """``Add 128 steps, Q, DQ``, a query stored unsigned: rounded without the offset, which joins later."""
    add = editor.producer(quantiser.input[0])
    step = editor.scalar(quantiser.input[1])
    dequantiser = _only_reader(editor, quantiser.output[0], "DequantizeLinear")
    if add is None or add.op_type != "Add" or dequantiser is None or not step or editor.zero_point(quantiser):
        return False
    offset = editor.scalar(add.input[1])
    if offset is None or abs(offset - 128 * step) > 1e-3 * step:
        return False
    old = dequantiser.output[0]
    readers = editor.readers(old)
    quantiser.input[0] = add.input[0]
    _signed(editor, [quantiser, dequantiser], step)
    shifted = None
    for reader in readers:
        if reader.op_type == "Sub" and reader.input[0] == old and editor.scalar(reader.input[1]) == offset:
            editor.replace(reader.output[0], old)
        elif reader.op_type == "MatMul" and reader.input[0] == old and reader.input[1] != old:
            _add_product(editor, reader, offset)
        elif (product := _product_of_moved(editor, reader, old)) is not None:
            _add_product(editor, product, offset)
        else:
            shifted = shifted or editor.add("Add", [old, add.input[1]], "shifted")
            for index, name in enumerate(reader.input):
                if name == old:
                    reader.input[index] = shifted
    return True


def _product_of_moved(editor: Editor, first: onnx.NodeProto, name: str) -> onnx.NodeProto | None:
    """The one product of ``name`` after operators that only move it, the first of them ``first``."""
    moved = _moved(editor, first) if first.input[0] == name else None
    product = None if moved is None else _only_reader(editor, moved, "MatMul")
    return product if product is not None and product.input[0] == moved != product.input[1] else None


def _add_product(editor: Editor, product: onnx.NodeProto, offset: float) -> None:
    """Add to ``x @ B`` what ``offset @ B`` is, for an x that no longer holds the offset."""
    rows = editor.value(product.input[1])
    old = product.output[0]
    sub = _only_reader(editor, old, "Sub")
    if rows is not None:
        sums = offset * rows.astype(np.float64).sum(-2, keepdims=True)
        halves = editor.value(sub.input[1]) if sub is not None and sub.input[0] == old else None
        if sub is not None and halves is not None:
            sub.input[1] = editor.constant((halves - sums).astype(np.float32), "ranking")
            return
        added = editor.constant(sums.astype(np.float32), "offset_product")
    else:
        axes = editor.constant(np.array([-2], np.int64), "axes")
        total = editor.add("ReduceSum", [product.input[1], axes], "row_sums", keepdims=1)
        factor = editor.constant(np.array(offset, np.float32), "offset")
        added = editor.add("Mul", [total, factor], "offset_product")
    product.output[0] = f"{old}.without_offset"
    editor.replace(old, editor.add("Add", [product.output[0], added], "product"))


def _activation(editor: Editor, quantiser: onnx.NodeProto) -> bool:
    """Any other unsigned quantiser: the range stays, the steps become 127 on each side of 0."""
    step, zero = editor.scalar(quantiser.input[1]), editor.zero_point(quantiser)
    readers = editor.readers(quantiser.output[0])
    if step is None or zero is None or any(node.op_type != "DequantizeLinear" for node in readers):
        return False
    _signed(editor, [quantiser, *readers], step * max(zero, 255 - zero) / 127)
    return True


def _dequantise_first(editor: Editor) -> None:
    """Where int8 values are moved, or cast and multiplied, dequantise the constant that they come from."""
    made: dict[tuple[str, float], str] = {}

    def source_type(name: str) -> int:
        node = editor.producer(name)
        if node is None:
            return editor.element_type(name)
        return source_type(node.input[0]) if node.op_type in MOVES else 0

    def floats(name: str, scale: float) -> str:
        if (name, scale) not in made:
            node = editor.producer(name)
            if node is None:
                inputs = [
                    name,
                    editor.constant(np.array(scale, np.float32), "step"),
                    editor.constant(np.array(0, np.int8), "zero"),
                ]
                made[name, scale] = editor.add("DequantizeLinear", inputs, name)
            else:
                moved = onnx.NodeProto()
                moved.CopyFrom(node)
                moved.input[0] = floats(node.input[0], scale)
                moved.output[0] = moved.name = f"{name}.floats{len(made)}"
                editor.nodes.append(moved)
                made[name, scale] = moved.output[0]
        return made[name, scale]

    for node in list(editor.nodes):
        if node.op_type not in ("DequantizeLinear", "Cast") or source_type(node.input[0]) != TensorProto.INT8:
            continue
        if node.op_type == "DequantizeLinear":
            scale = editor.scalar(node.input[1])
            per_tensor = scale is not None and editor.value(node.input[1]).ndim == 0  # type: ignore[union-attr]
            if scale is not None and per_tensor and editor.zero_point(node) == 0:
                editor.replace(node.output[0], floats(node.input[0], scale))
            continue
        mul = _only_reader(editor, node.output[0], "Mul")
        scale = None if mul is None or mul.input[0] != node.output[0] else editor.scalar(mul.input[1])
        if mul is not None and scale is not None:
            editor.replace(mul.output[0], floats(node.input[0], scale))
        else:
            editor.replace(node.output[0], floats(node.input[0], 1.0))


def _distance_by_maximum(editor: Editor, top: onnx.NodeProto) -> bool:
    """``MatMul, Sub halves, TopK 1, Gather rows, Sub from the query, ReduceSumSquare``, with 8-bit rows."""
    rank, where = editor.producer(top.input[0]), top.output[1]
    product = None if rank is None or rank.op_type != "Sub" else editor.producer(rank.input[0])
    query = None if product is None or product.op_type != "MatMul" else editor.producer(product.input[0])
    if editor.scalar(top.input[1]) != 1 or query is None or query.op_type != "DequantizeLinear":
        return False
    if editor.readers(top.output[0]) or not attribute(top, "largest", 1):
        return False
    rows = [node for node in editor.readers(where) if node.input[1] == where and node.op_type == "Gather"]
    asked = [node for node in editor.readers(where) if node.input[0] == where and node.op_type == "Gather"]
    if len(rows) != 1 or len(rows) + len(asked) != len(editor.readers(where)):
        return False
    apart = _only_reader(editor, rows[0].output[0], "Sub")
    squared = None if apart is None else _only_reader(editor, apart.output[0], "ReduceSumSquare")
    wide = None if apart is None else editor.producer(apart.input[0])
    if apart is None or squared is None or wide is None or wide.op_type != "Unsqueeze":
        return False
    if wide.input[0] != query.output[0] or attribute(squared, "keepdims", 1):
        return False
    axes = editor.constant(np.array([1], np.int64), "axes")
    best = editor.add("ReduceMax", [top.input[0], axes], "best", keepdims=1)
    length = editor.add("ReduceSumSquare", [query.output[0], axes], "length", keepdims=1)
    twice = editor.add("Mul", [best, editor.constant(np.array(2, np.float32), "two")], "twice")
    difference = editor.add("Sub", [length, twice], "difference")
    zero = editor.constant(np.array(0, np.float32), "zero")
    editor.replace(squared.output[0], editor.add("Max", [difference, zero], "squared_distance"))
    for node in asked:  # which row it was: found anew for the positions asked about
        few = editor.add("Gather", [top.input[0], node.input[1]], "asked", axis=0)
        editor.replace(node.output[0], editor.add("ArgMax", [few], "where", axis=1, keepdims=1))
    return True


def _one_winner(editor: Editor, top: onnx.NodeProto) -> None:
    k = editor.scalar(top.input[1])
    if k != 1:
        set_attribute(top, "sorted", 1)  # TensorRT's always is
        return
    axis, largest = attribute(top, "axis", -1), attribute(top, "largest", 1)
    axes = editor.constant(np.array([axis], np.int64), "axes")
    reduce, find = ("ReduceMax", "ArgMax") if largest else ("ReduceMin", "ArgMin")
    best = editor.add(reduce, [top.input[0], axes], "best", keepdims=1)
    where = editor.add(find, [top.input[0]], "where", axis=axis, keepdims=1)
    editor.replace(top.output[0], best)
    editor.replace(top.output[1], where)
