"""A lossless first quantiser: a camera's pixels are integers, so an INT8 graph can take them as they are.

A backbone starts with ``Cast, Sub mean, Transpose, Conv``. Left alone, a quantiser spreads its 256 steps over
the centred range (about -124 to 152), off the pixels' own grid, and that rounding is the largest single loss
of the whole INT8 backbone (docs/quantisation.md). Here the mean per channel becomes one whole level, the
rest of it moves into the convolution's bias, and the quantiser gets step 1 and that level as its zero point:
every pixel is a step. Inside the image the arithmetic is the same; at its border the convolution's zero
padding now stands for the level instead of the mean, up to 13 grey levels apart in one channel. The scorer is
fitted on this very graph, so that its bank knows no other border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

LEVEL = 116
"""Grey level that becomes zero: the middle of ImageNet's three channel means, rounded."""


@dataclass(frozen=True)
class Stem:
    """Where a backbone's first steps are.

    Attributes:
        mean: initialiser that is subtracted.
        centred: tensor that the subtraction yields.
        weight, bias: the first convolution's initialisers.
    """

    mean: str
    centred: str
    weight: str
    bias: str


def find_stem(model: onnx.ModelProto) -> Stem | None:
    """Find ``Cast, Sub, Transpose, Conv`` on the input, each with one reader; None where it isn't so."""
    graph = model.graph
    constants = {value.name for value in graph.initializer}
    current, names = graph.input[0].name, []
    for kind in ("Cast", "Sub", "Transpose", "Conv"):
        readers = [node for node in graph.node if current in node.input]
        if len(readers) != 1 or readers[0].op_type != kind or readers[0].input[0] != current:
            return None
        names.append(readers[0])
        current = readers[0].output[0]
    _, sub, _, conv = names
    if len(conv.input) != 3 or not {sub.input[1], *conv.input[1:]} <= constants:
        return None
    return Stem(sub.input[1], sub.output[0], conv.input[1], conv.input[2])


def centre_on_level(model: onnx.ModelProto, stem: Stem) -> onnx.ModelProto:
    """Return a copy that subtracts ``LEVEL`` from every channel; the bias takes up the rest of the mean."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    values = {value.name: value for value in copy.graph.initializer}
    mean = np.ravel(numpy_helper.to_array(values[stem.mean])).astype(np.float64)
    weight = numpy_helper.to_array(values[stem.weight]).astype(np.float64)
    bias = numpy_helper.to_array(values[stem.bias]).astype(np.float64)
    moved = bias + (weight.sum((2, 3)) * (LEVEL - mean)).sum(1)
    values[stem.bias].CopyFrom(numpy_helper.from_array(moved.astype(np.float32), stem.bias))
    level = np.full(numpy_helper.to_array(values[stem.mean]).shape, LEVEL, np.float32)
    values[stem.mean].CopyFrom(numpy_helper.from_array(level, stem.mean))
    return copy


def exact_input(quantised: onnx.ModelProto, stem: Stem) -> onnx.ModelProto:
    """Return a copy whose first quantiser maps each pixel to itself; unchanged where it isn't found."""
    copy = onnx.ModelProto()
    copy.CopyFrom(quantised)
    graph = copy.graph
    pairs = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == stem.centred]
    if len(pairs) != 1:
        return quantised
    pairs += [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] == pairs[0].output[0]]
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "pixel_step"))
    graph.initializer.append(numpy_helper.from_array(np.array(LEVEL, np.uint8), "pixel_zero"))
    for node in pairs:
        node.input[1], node.input[2] = "pixel_step", "pixel_zero"
    # An inferred type of the old quantiser (int8, say) would contradict the new zero point.
    kept = [value for value in graph.value_info if value.name != pairs[0].output[0]]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return copy
