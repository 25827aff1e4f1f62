"""Integer weights that every x86 processor multiplies exactly, and biases that take up their rounding.

*Saturation.* Processors without VNNI add two products in 16 bits; ``edgead.workbench.saturation`` says which.
Weights are rounded such that no two of them add up to too much. Halving every weight's range does it too and
costs a bit of every layer; most channels have few such pairs and lose a fraction of one.

*Bias.* Rounded weights and clipped activations shift a layer's mean output. Layer by layer, with those before
it corrected already, the shift is measured on real images and taken out of the bias (Nagel et al., "Data-Free
Quantization through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, in its empirical form).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgead.runtime.exact import ExactSession
from edgead.sampling import spread
from edgead.types import Image
from edgead.workbench.saturation import PAIR, PRODUCTS, summed_axis, worst_pair

IMAGES = 8
"""Images that a layer's mean output is read off; it's over all positions, so a few are enough."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A layer with quantised weights.

    Attributes:
        node: its operator.
        plain: its FP32 weights.
        dequantise: the node that makes FP32 of the integers: its inputs are integers, steps and zero point.
        axis: of the weights, summed over.
        channels: of the weights, the one that each step belongs to; None where there's one step for all.
    """

    node: onnx.NodeProto
    plain: Floats
    dequantise: onnx.NodeProto
    axis: int
    channels: int | None


def requantise(
    plain: onnx.ModelProto, quantised: onnx.ModelProto, images: Sequence[Image]
) -> onnx.ModelProto:
    """Round the weights anew, from FP32, and correct the biases; returns a copy.

    Args:
        plain: the FP32 graph that was quantised; nodes and weights have the same names in both.
        quantised: the same as QuantizeLinear/DequantizeLinear; int8 weights with zero point 0.
        images: good images, (H, W, 3) uint8, of the graph's size.
    """
    model = onnx.ModelProto()
    model.CopyFrom(quantised)
    arrays = {value.name: value for value in model.graph.initializer}
    layers = list(_layers(plain, model))
    for number, layer in enumerate(layers):
        integers, steps = round_pairs(layer.plain, layer.axis, layer.channels)
        # Names of their own: two layers may share a step, and engines fold equal initialisers anyway.
        for place, value in ((0, integers), (1, steps)):
            name = f"{layer.dequantise.input[place]}_{number}"
            layer.dequantise.input[place] = name
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    biased = [layer.node for layer in layers if _has_bias(layer.node, arrays)]
    for number, node in enumerate(biased):  # two layers may share a bias, but not its correction
        value = numpy_helper.to_array(arrays[node.input[2]])
        node.input[2] = f"{node.input[2]}_{number}"
        model.graph.initializer.append(numpy_helper.from_array(value, node.input[2]))
    used = {name for node in model.graph.node for name in node.input}
    kept = [value for value in model.graph.initializer if value.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    chosen = [images[i][None] for i in spread(len(images), IMAGES)]
    _correct_biases(plain, model, biased, chosen)
    return model


def round_pairs(weights: Floats, axis: int, channels: int | None) -> tuple[NDArray[np.int8], Floats]:
    """Round weights to int8 so that no two neighbours of one sign add up to more than ``PAIR``.

    Neighbours lie at 2i and 2i + 1 of ``axis``; where its length is odd, any two of a channel's weights may
    meet. A channel's step is the smallest that keeps this and clips nothing.

    Args:
        weights: any shape.
        axis: the weights' axis that a product sums over.
        channels: the axis that has a step each; None for one step.

    Returns:
        int8 weights of the same shape, and float32 steps, (length of ``channels``,) or () for one.
    """
    moved = weights[None] if channels is None else np.moveaxis(weights, channels, 0)
    summed = axis + 1 if channels is None else (axis + 1 if axis < channels else axis)
    rows = np.moveaxis(moved, summed, -1).reshape(len(moved), -1, weights.shape[axis]).astype(np.float64)
    steps = (np.abs(rows).max((1, 2)) / 127).astype(np.float32)
    steps[steps == 0] = 1
    while (over := worst_pair(np.rint(rows / steps[:, None, None])) > PAIR).any():
        found = worst_pair(rows[over] / steps[over, None, None])
        steps[over] *= np.maximum(found / PAIR, 1 + 1e-3).astype(np.float32)
    shape = [1] * weights.ndim
    if channels is not None:
        shape[channels] = -1
    whole = np.rint(weights.astype(np.float64) / steps.reshape(shape))
    return np.clip(whole, -127, 127).astype(np.int8), steps if channels is not None else steps.reshape(())


def _layers(plain: onnx.ModelProto, quantised: onnx.ModelProto) -> Iterator[Layer]:
    """The layers whose weights were quantised, in the graph's order."""
    floats = {value.name: value for value in plain.graph.initializer}
    weights_of = {
        node.name: numpy_helper.to_array(floats[node.input[1]])
        for node in plain.graph.node
        if node.op_type in PRODUCTS and node.input[1] in floats
    }
    made_by = {name: node for node in quantised.graph.node for name in node.output}
    arrays = {value.name: value for value in quantised.graph.initializer}
    for node in quantised.graph.node:
        dequantise = made_by.get(node.input[1]) if node.name in weights_of else None
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        integers, steps = (arrays.get(name) for name in dequantise.input[:2])
        if integers is None or steps is None or integers.data_type != onnx.TensorProto.INT8:
            continue
        one_step = int(np.prod(steps.dims)) == 1 and not steps.dims
        axis = next((a.i for a in dequantise.attribute if a.name == "axis"), 1)
        plain_weights = weights_of[node.name]
        axis %= plain_weights.ndim
        summed = summed_axis(node, plain_weights.ndim)
        yield Layer(node, plain_weights, dequantise, summed, None if one_step else axis)


def _has_bias(node: onnx.NodeProto, arrays: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a layer adds an initialiser, as it is, to each channel."""
    if len(node.input) < 3 or node.input[2] not in arrays or len(arrays[node.input[2]].dims) != 1:
        return False
    return all(a.f == 1 for a in node.attribute if a.name == "beta")


def _correct_biases(
    plain: onnx.ModelProto, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], images: Sequence[Image]
) -> None:
    """Take each layer's mean shift against FP32 out of its bias, in the graph's order, in place."""
    if not nodes or not images:
        return
    by_name = {node.name: node.output[0] for node in plain.graph.node}
    wanted = _means(plain, [by_name[node.name] for node in nodes], images)
    arrays = {value.name: value for value in model.graph.initializer}
    steps = _Stepwise(model, [node.output[0] for node in nodes], images)
    for node, mean in zip(nodes, wanted, strict=True):
        shift = mean - steps.mean(node.output[0])
        if not np.isfinite(shift).all():
            shift = np.zeros_like(shift)
        steps.correct(node.output[0], shift)
        bias = numpy_helper.to_array(arrays[node.input[2]])
        arrays[node.input[2]].CopyFrom(
            numpy_helper.from_array((bias + shift).astype(np.float32), node.input[2])
        )


def _means(
    model: onnx.ModelProto, outputs: Sequence[str], images: Sequence[Image]
) -> list[NDArray[np.float64]]:
    """The mean of each of these tensors for each channel, their axis 1, over images and positions."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _set_outputs(copy, outputs)
    session = ExactSession(copy.SerializeToString())
    total = [np.zeros(1)] * len(outputs)
    for image in images:
        found = session(image)
        total = [t + _per_channel(found[name]) for t, name in zip(total, outputs, strict=True)]
    return [np.asarray(each) / len(images) for each in total]


class _Stepwise:
    """Runs a graph layer by layer, each layer once, on the corrected outputs of those before it.

    Args:
        outputs: of the layers, in the graph's order.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str], images: Sequence[Image]) -> None:
        self._pieces = {name: _piece(model, name, outputs) for name in outputs}
        self._image = model.graph.input[0].name
        self._known: list[dict[str, Floats]] = [{self._image: image} for image in images]  # type: ignore[dict-item]

    def mean(self, output: str) -> NDArray[np.float64]:
        """The layer's mean output for each channel, over images and positions."""
        piece = self._pieces.pop(output)
        session, total = ExactSession(piece.SerializeToString()), np.zeros(1)
        for known in self._known:
            inputs = {value.name: known[value.name] for value in piece.graph.input}
            known[output] = session.run(inputs)[output]
            total = total + _per_channel(known[output])
        return np.asarray(total) / len(self._known)

    def correct(self, output: str, shift: NDArray[np.float64]) -> None:
        """Add the shift, (channels,), to the layer's output, and forget what no later layer reads."""
        needed = {value.name for piece in self._pieces.values() for value in piece.graph.input}
        for known in self._known:
            ones = [1] * (known[output].ndim - 2)
            known[output] = known[output] + shift.astype(np.float32).reshape(-1, *ones)
            for name in known.keys() - needed - {self._image}:
                del known[name]


def _piece(model: onnx.ModelProto, output: str, layers: Sequence[str]) -> onnx.ModelProto:
    """The part of a graph that makes one layer's output of the image and of other layers' outputs."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    nodes, given, waiting = {id(made_by[output])}, [], list(made_by[output].input)
    while waiting:
        name = waiting.pop()
        if name in layers:
            given.append(name)
        elif name in made_by and id(made_by[name]) not in nodes:
            nodes.add(id(made_by[name]))
            waiting += made_by[name].input
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = [a for a, b in zip(graph.node, model.graph.node, strict=True) if id(b) in nodes]
    read = {name for node in kept for name in node.input}
    weights = [value for value in graph.initializer if value.name in read]
    inputs = [value for value in graph.input if value.name in read]
    inputs += [_float(name) for name in dict.fromkeys(given)]
    for field, values in ((graph.node, kept), (graph.initializer, weights), (graph.input, inputs)):
        del field[:]
        field.extend(values)
    _set_outputs(copy, [output])
    return copy


def _per_channel(value: NDArray[Any]) -> NDArray[np.float64]:
    """(C,) means of (1, C, ...)."""
    means: NDArray[np.float64] = value.mean((0, *range(2, value.ndim)), dtype=float)
    return means


def _set_outputs(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(_float(name) for name in outputs)


def _float(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


__all__ = ["requantise", "round_pairs"]
