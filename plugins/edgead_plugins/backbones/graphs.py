"""Small, total edits of ONNX graphs that any backbone needs: cut, rename, infer shapes, read them off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgead.errors import MissingDependencyError
from edgead.extras import install

try:
    import onnx as onnx
    import onnx.inliner
except ImportError as error:
    raise MissingDependencyError(
        f"backbones are built with onnx, which isn't installed: {install('fit')}"
    ) from error

OPSET = 18
IR_VERSION = 8
"""The file format that came with opset 18: every engine that knows the opset reads it."""
LARGEST_GRAPH = 1_900_000_000
"""Bytes that a method may add to a backbone in one ONNX file; the format ends at 2 GiB."""


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


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Move the tensors of Constant nodes among the initialisers, where a quantiser looks for weights."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)
        if node.op_type == "Constant" and value is not None:
            value.name = node.output[0]
            graph.initializer.append(value)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Go through every tensor that a model holds: initialisers and attributes, in subgraphs and functions."""
    pending = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while pending or nodes:
        if pending:
            graph = pending.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
        else:
            for attribute in nodes.pop().attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                pending += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


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
