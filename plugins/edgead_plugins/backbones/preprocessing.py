"""From a network on float tensors to a backbone graph: ``image`` in, named feature maps out.

Every backbone goes through here, so a frame is treated the same whatever network follows:

    image (1, H, W, 3) uint8 BGR ─ Cast ─ Sub mean ─ Transpose ─► network ─► maps (1, C, h, w) float32

Colour order and the division by std cost nothing: where the network starts with convolutions, they move
into their weights. The mean can't: a network pads its *normalised* input with zeros. The order is chosen
for the engines: Cast directly on the input (TensorRT takes uint8 only there), Transpose last, where the
quantiser has already made bytes of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError
from edgead.types import InputSpec, Size
from edgead_plugins.backbones.graphs import (
    fresh_name,
    infer_shapes,
    network_inputs,
    onnx,
    reads,
    rename_tensors,
)

IMAGE = "image"
"""Name of every backbone graph's one input."""
_SIDES = 16, 8192


# ---------------------------------------------------------------- what the caller asked for


def check_maps(backbone: str, feature_maps: Sequence[str], feature_info: Iterable[str]) -> tuple[str, ...]:
    """Return the asked feature maps, each once; ``OptionError`` with near matches for an unknown one."""
    known = list(feature_info)
    asked = tuple(dict.fromkeys(feature_maps))
    if not asked:
        raise OptionError(f"no feature map asked of backbone '{backbone}': choose from {', '.join(known)}")
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
            raise OptionError(f"backbone '{backbone}' has no feature map '{name}': {hint}")
    return asked


def check_size(backbone: str, size: Size, spec: InputSpec) -> None:
    """Raise ``OptionError`` where a backbone can't take images of this (height, width)."""
    height, width = size
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in size):
        raise OptionError(f"size {height}x{width} is out of range: each side from {_SIDES[0]} to {_SIDES[1]}")
    if spec.size is not None and tuple(size) != tuple(spec.size):
        fixed = f"{spec.size[0]}x{spec.size[1]}"
        raise OptionError(
            f"backbone '{backbone}' takes {fixed} only, not {height}x{width}: use --size {fixed}"
        )
    if height % spec.multiple or width % spec.multiple:
        fit = "x".join(str(max(1, round(side / spec.multiple)) * spec.multiple) for side in size)
        raise OptionError(
            f"backbone '{backbone}' takes sides that are multiples of {spec.multiple}, "
            f"not {height}x{width}: use --size {fit}"
        )


# ---------------------------------------------------------------- the graph


def prepend_preprocessing(network: onnx.ModelProto, size: Size, spec: InputSpec) -> onnx.ModelProto:
    """Put colour order and normalisation in front of a network.

    Args:
        network: opset 18, one float32 input (N, 3, H, W), weights as initialisers. It isn't changed.
        size: the (height, width) to fix; the batch is 1.
        spec: ``channel_order``, ``mean`` and ``std`` (0..255 units) that the network was trained with.

    Returns:
        A graph from ``image`` (1, H, W, 3) uint8 BGR to the network's outputs, whose shapes are inferred.

    Raises:
        ValueError: the network has more than one input, or none.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    graph = model.graph
    (tensor,) = [value.name for value in network_inputs(model)]

    if (aside := fresh_name(graph, IMAGE)) != IMAGE:  # the name is the frame's now
        rename_tensors(graph, {IMAGE: aside})
        tensor = aside if tensor == IMAGE else tensor

    mean, std = np.asarray(spec.mean, np.float64), np.asarray(spec.std, np.float64)
    turn = spec.channel_order == "rgb"
    folded = _fold_into_first_layer(graph, tensor, 1.0 / (std[::-1] if turn else std), turn)
    if turn:
        mean, std = mean[::-1], std[::-1]  # the image stays BGR as long as it can
    steps: list[tuple[str, NDArray[Any] | None, dict[str, Any]]] = [
        ("Cast", None, {"to": onnx.TensorProto.FLOAT}),
        ("Sub", mean.astype(np.float32), {}),
    ]
    if not folded:
        steps.append(("Mul", (1.0 / std).astype(np.float32), {}))
        steps += [("Gather", np.array([2, 1, 0]), {"axis": 3})] if turn else []
    steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))

    nodes, current = [], IMAGE
    for kind, constant, attributes in steps:
        name = f"preprocess.{kind.lower()}"
        inputs = [current]
        if constant is not None:
            inputs.append(fresh_name(graph, f"{name}.constant"))
            graph.initializer.append(onnx.numpy_helper.from_array(constant, inputs[1]))
        current = tensor if kind == "Transpose" else fresh_name(graph, f"{name}.out")
        nodes.append(onnx.helper.make_node(kind, inputs, [current], name=name, **attributes))

    ordered = [*nodes, *graph.node]
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.node.extend(ordered)
    graph.input.append(onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.UINT8, [1, *size, 3]))
    return infer_shapes(model)


def _fold_into_first_layer(
    graph: onnx.GraphProto, tensor: str, scale: NDArray[np.float64], turn: bool
) -> bool:
    """Make the convolutions on ``tensor`` take it BGR and unscaled.

    Args:
        scale: what each channel is multiplied by, in the image's order.
        turn: the network's channel order is the other one.

    Returns:
        False, with nothing changed, where something other than a plain convolution reads ``tensor``.
    """
    weights = {value.name: value for value in graph.initializer}
    readers = [node for node in graph.node if tensor in reads(node)]
    for node in readers:
        groups = {a.name: a.i for a in node.attribute}.get("group", 1)
        if node.op_type != "Conv" or groups != 1 or node.input[0] != tensor or node.input[1] not in weights:
            return False
    folded: dict[str, str] = {}  # a weight that other nodes share stays as it is
    for node in readers:
        old = node.input[1]
        if old not in folded:
            folded[old] = fresh_name(graph, f"{old}.folded")
            array = onnx.numpy_helper.to_array(weights[old]).astype(np.float64)
            array = (array[:, ::-1] if turn else array) * scale[:, None, None]
            graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), folded[old]))
        node.input[1] = folded[old]
    used = {name for node in graph.node for name in reads(node)}
    for old in folded.keys() - used:
        graph.initializer.remove(weights[old])
    return bool(readers)
