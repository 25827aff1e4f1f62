"""An ONNX graph that can be rewritten: who makes and who reads a tensor, and new nodes in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Editor:
    """Works on a copy of a model; nodes are added at will, and ``prune`` and ``finish`` put them in order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self.nodes: list[onnx.NodeProto] = list(self._model.graph.node)
        self._constants = {value.name: value for value in self._model.graph.initializer}
        self._count = 0
        self._taken = {value.name for value in (*self._model.graph.input, *self._model.graph.initializer)}
        self._taken.update(name for node in self.nodes for name in (node.name, *node.output))

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that makes a tensor, or None for an input or a constant."""
        return next((node for node in self.nodes if name in node.output), None)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initialiser."""
        return name in self._constants

    def value(self, name: str) -> NDArray[Any] | None:
        """A constant's value; a dequantised or transposed constant's, too; else None."""
        if name in self._constants:
            found: NDArray[Any] = numpy_helper.to_array(self._constants[name])
            return found
        node = self.producer(name)
        source = None if node is None or node.op_type not in _FOLDED else self.value(node.input[0])
        if node is None or source is None:
            return None
        if node.op_type == "Transpose":
            return np.transpose(source, attribute(node, "perm", list(range(source.ndim))[::-1]))
        if node.op_type == "Slice":
            return self._sliced(source, node)
        scale = self.value(node.input[1])
        if scale is None or self.zero_point(node) != 0:
            return None
        shape = [1] * source.ndim
        if scale.ndim:
            shape[attribute(node, "axis", 1)] = -1
        floats: NDArray[Any] = source.astype(np.float32) * scale.reshape(shape if scale.ndim else ())
        return floats

    def scalar(self, name: str) -> float | None:
        """The one value of a constant, where all of its elements are equal; else None."""
        value = self.value(name) if name in self._constants else None
        if value is None or value.size == 0 or (value != value.flat[0]).any():
            return None
        return float(value.flat[0])

    def zero_point(self, node: onnx.NodeProto) -> int | None:
        """The zero point of a Quantize- or DequantizeLinear; None where it isn't one constant."""
        if len(node.input) < 3 or not node.input[2]:
            return 0
        value = self.scalar(node.input[2])
        return None if value is None else int(value)

    def element_type(self, name: str) -> int:
        """The ONNX type of a constant, 0 where it isn't one."""
        return self._constants[name].data_type if name in self._constants else 0

    def constant(self, value: NDArray[Any], hint: str) -> str:
        """Add a constant; returns its name."""
        name = self._fresh(hint)
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        if np.ndim(value) == 0:  # ascontiguousarray makes one dimension of none
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def add(self, op_type: str, inputs: list[str], hint: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        name = self._fresh(hint)
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def replace(self, old: str, new: str) -> None:
        """Let everybody who reads ``old`` read ``new``."""
        for node in self.nodes:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def prune(self) -> None:
        """Put the nodes in order and drop those that nobody reads."""
        makers = {name: node for node in self.nodes for name in node.output}
        ordered: list[onnx.NodeProto] = []
        done: set[int] = set()
        pending = [(makers[value.name], False) for value in reversed(self._model.graph.output)]
        while pending:
            node, ready = pending.pop()
            if id(node) in done:
                continue
            if ready:
                done.add(id(node))
                ordered.append(node)
                continue
            pending.append((node, True))
            pending += [(makers[n], False) for n in node.input if n in makers and id(makers[n]) not in done]
        self.nodes = ordered

    def finish(self) -> onnx.ModelProto:
        """Return the model: nodes in order, every node named, nothing that nobody reads."""
        self.prune()
        ordered = self.nodes
        for node in ordered:
            node.name = node.name or node.output[0]
        used = {name for node in ordered for name in node.input}
        constants = [value for name, value in self._constants.items() if name in used]
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        for field in ("node", "initializer", "value_info"):
            result.graph.ClearField(field)
        result.graph.node.extend(ordered)
        result.graph.initializer.extend(constants)
        return result

    def _fresh(self, hint: str) -> str:
        while True:  # who trained the network may have counted in the same way
            self._count += 1
            if (name := f"{hint}.{self._count}") not in self._taken:
                return name

    def _sliced(self, source: NDArray[Any], node: onnx.NodeProto) -> NDArray[Any] | None:
        bounds = [self.value(name) for name in node.input[1:4]]
        if len(bounds) != 3 or any(bound is None for bound in bounds):
            return None
        cut = [slice(None)] * source.ndim
        for start, stop, axis in zip(*bounds, strict=True):
            cut[int(axis)] = slice(int(start), int(stop))
        return source[tuple(cut)]


_FOLDED = ("Transpose", "Slice", "DequantizeLinear")


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or the default."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Set an attribute, whether or not it's there."""
    kept = [a for a in node.attribute if a.name != name]
    node.ClearField("attribute")
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
