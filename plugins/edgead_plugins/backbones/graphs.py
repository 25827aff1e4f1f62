"""Small, total edits of ONNX graphs that any backbone needs: cut, rename, infer shapes, read them off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgead.errors import MissingDependencyError
from edgead.types import FeatureInfo, Size

try:
    import onnx as onnx
except ImportError as error:
    raise MissingDependencyError(
        'backbones are built with onnx, which isn\'t installed: pip install "edgead[fit]"'
    ) from error

OPSET = 18
IR_VERSION = 8
"""The file format that came with opset 18: every engine that knows the opset reads it."""


def cut(model: onnx.ModelProto, outputs: Mapping[str, str] | Sequence[str]) -> onnx.ModelProto:
    """Keep what a graph's named tensors need, and nothing else: no metadata, no notes of an exporter.

    Args:
        model: any graph. It isn't changed.
        outputs: tensors to become the graph's outputs, in this order; or {new name: tensor} to rename them.

    Raises:
        KeyError: a tensor that no node of the graph yields.
    """
    wanted = dict(outputs) if isinstance(outputs, Mapping) else {name: name for name in outputs}
    producer = {name: i for i, node in enumerate(model.graph.node) for name in node.output if name}
    missing = [tensor for tensor in wanted.values() if tensor not in producer]
    if missing:
        raise KeyError(missing[0])

    kept: set[int] = set()
    pending = [producer[tensor] for tensor in wanted.values()]
    while pending:
        i = pending.pop()
        if i not in kept:
            kept.add(i)
            pending.extend(producer[name] for name in reads(model.graph.node[i]) if name in producer)
    nodes = [node for i, node in enumerate(model.graph.node) if i in kept]
    used = {name for node in nodes for name in reads(node)}

    new = onnx.ModelProto()
    new.ir_version, new.producer_name = model.ir_version, "edgead"
    new.opset_import.extend(model.opset_import)
    new.graph.name = model.graph.name or "backbone"
    new.graph.node.extend(nodes)
    new.graph.initializer.extend(value for value in model.graph.initializer if value.name in used)
    new.graph.input.extend(value for value in model.graph.input if value.name in used)
    shapes = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
    for name, tensor in wanted.items():
        value = new.graph.output.add()
        if tensor in shapes:
            value.CopyFrom(shapes[tensor])
        else:
            value.CopyFrom(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
        value.name = name
    _rename(new.graph, wanted)
    for node in new.graph.node:  # exporters note their own stack traces here, with this machine's paths
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    return new


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with every output's shape inferred anew; the argument's own are dropped.

    Raises:
        onnx.shape_inference.InferenceError: the shapes don't fit together.
    """
    for value in model.graph.output:  # stale shapes would be merged with the inferred ones
        kind = value.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, None))
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return inferred


def output_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return each output's shape; a dimension that isn't known is 0."""
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.output
    }


def feature_info(model: onnx.ModelProto, size: Size) -> dict[str, FeatureInfo]:
    """Read channels and stride off a finished graph's outputs, the finest first.

    Raises:
        ValueError: an output isn't (1, C, h, w); the message is the output's name.
    """
    info = {}
    for name, shape in output_shapes(model).items():
        if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
            raise ValueError(name)
        info[name] = FeatureInfo(channels=shape[1], stride=max(1, round(size[0] / shape[2])))
    return dict(sorted(info.items(), key=lambda item: item[1].stride))


def network_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the graph's real inputs: old files list their initialisers among them."""
    weights = {value.name for value in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def fresh_name(graph: onnx.GraphProto, wish: str) -> str:
    """Return ``wish``, or a name near it that no tensor of the graph has."""
    taken = {value.name for value in [*graph.input, *graph.initializer]}
    taken.update(name for node in _all_nodes(graph) for name in [*node.input, *node.output])
    name, i = wish, 1
    while name in taken:
        name, i = f"{wish}.{i}", i + 1
    return name


def reads(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that a node reads, those that its subgraphs capture included."""
    inner = (name for subgraph in _subgraphs(node) for n in _all_nodes(subgraph) for name in n.input)
    return {name for name in [*node.input, *inner] if name}


def rename_tensors(graph: onnx.GraphProto, new_names: Mapping[str, str]) -> None:
    """Rename what nodes read and yield, and the weights; inputs and outputs of the graph keep their names."""
    for node in _all_nodes(graph):
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new_names.get(name, name)
    for value in graph.initializer:
        value.name = new_names.get(value.name, value.name)


# ---------------------------------------------------------------- inside


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for subgraph in _subgraphs(node):
            yield from _all_nodes(subgraph)


def _rename(graph: onnx.GraphProto, wanted: Mapping[str, str]) -> None:
    """Give tensors their new names, all at once; one that has such a name already steps aside."""
    new_names: dict[str, str] = {}
    for name, tensor in wanted.items():
        new_names.setdefault(tensor, name)
    for name in wanted:
        aside = fresh_name(graph, name)
        if aside != name and name not in new_names:
            new_names[name] = aside
    rename_tensors(graph, new_names)
    for name, tensor in wanted.items():
        if new_names[tensor] != name:  # one tensor under two names
            node = graph.node.add()
            node.op_type, node.name = "Identity", f"{name}.copy"
            node.input.append(new_names[tensor])
            node.output.append(name)
