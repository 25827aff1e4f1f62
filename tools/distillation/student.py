"""The student: 3x3 convolutions, BatchNorm and ReLU; each stage ends in the teacher's number of channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of RGB in 0..255: what the student's input is normalised with."""


class Layer(NamedTuple):
    """A convolution: output channels (0: the teacher's), and whether its input is added to what it gives."""

    channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    shortcut: bool = False


Stages = Mapping[str, Sequence[Layer]]
STAGES = ("stage1", "stage2", "stage3")

NETWORKS: Mapping[str, Stages] = {
    "default": {
        "stage1": (Layer(32, 5, 2), Layer(48, stride=2), Layer(48, shortcut=True), Layer(0)),
        "stage2": (Layer(96, stride=2), Layer(96, shortcut=True), Layer(0)),
        "stage3": (Layer(192, stride=2), Layer(192, dilation=2, shortcut=True), Layer(0)),
    },
    "default-small": {
        "stage1": (Layer(16, 5, 2), Layer(32, stride=2), Layer(32, shortcut=True), Layer(0)),
        "stage2": (Layer(48, stride=2), Layer(48, shortcut=True), Layer(0)),
        "stage3": (Layer(96, stride=2), Layer(96, dilation=2, shortcut=True), Layer(0)),
    },
    "default-large": {
        "stage1": (Layer(32, 5, 2), Layer(64, stride=2), Layer(64, shortcut=True), Layer(0, shortcut=True)),
        "stage2": (Layer(128, stride=2), *2 * (Layer(128, shortcut=True),), Layer(0, shortcut=True)),
        "stage3": (
            Layer(256, stride=2),
            *3 * (Layer(256, dilation=2, shortcut=True),),
            Layer(0, shortcut=True),
        ),
    },
}
"""By the name of the backbone that each becomes. Channels are multiples of 16 for the INT8 kernels of CPUs
and GPUs. A dilation lets stage3 see further at no cost; a shortcut costs next to nothing."""


class Student(nn.Module):
    """(N, 3, H, W) to the three stages' maps, of ``channels`` channels each."""

    def __init__(self, channels: Sequence[int], layers_of: Stages) -> None:
        super().__init__()
        self.layers_of = layers_of
        entering = 3
        self.stages = nn.ModuleDict()
        for (name, layers), of_teacher in zip(layers_of.items(), channels, strict=True):
            blocks = nn.ModuleList()
            for layer in layers:
                out, border = layer.channels or of_teacher, layer.dilation * (layer.kernel // 2)
                conv = nn.Conv2d(
                    entering, out, layer.kernel, layer.stride, border, layer.dilation, bias=False
                )
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                blocks.append(nn.Sequential(conv, nn.BatchNorm2d(out)))
                entering = out
            self.stages[name] = blocks

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for blocks, layers in zip(self.stages.values(), self.layers_of.values(), strict=True):
            for block, layer in zip(blocks, layers, strict=True):
                x = F.relu(block(x) + x if layer.shortcut else block(x))
            maps.append(x)
        return maps

    def last_norms(self) -> Iterator[nn.BatchNorm2d]:
        """The BatchNorms that set the level and the spread of the maps."""
        return (blocks[-1][1] for blocks in self.stages.values())


@torch.no_grad()
def folded(block: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution that does its BatchNorm's work too."""
    conv, norm = block
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight, bias = conv.weight * gain.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * gain
    return np.ascontiguousarray(weight.cpu().numpy()), bias.cpu().numpy()


def to_onnx(student: Student, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The student as Conv, Add and Relu: BatchNorm folded, weights stored as FP16, cast by the graph."""
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []

    def add(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], f"{output}.{kind.lower()}", **attributes))
        return output

    def convolve(block: nn.Sequential, name: str, source: str) -> str:
        inputs = [source]
        for part, array in zip(("weight", "bias"), folded(block), strict=True):
            stored.append(numpy_helper.from_array(array.astype(np.float16), f"{name}.{part}.fp16"))
            inputs.append(add("Cast", [f"{name}.{part}.fp16"], f"{name}.{part}", to=TensorProto.FLOAT))
        conv = block[0]
        return add(
            "Conv",
            inputs,
            f"{name}.conv",
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            dilations=list(conv.dilation),
            pads=list(conv.padding) * 2,
        )

    current, outputs = "input", []
    for stage, layers in student.layers_of.items():
        blocks = student.stages[stage]
        for i, (block, layer) in enumerate(zip(blocks, layers, strict=True)):
            leaving = convolve(block, f"{stage}.{i}", current)
            if layer.shortcut:
                leaving = add("Add", [leaving, current], f"{stage}.{i}.sum")
            last = i == len(layers) - 1
            current = add("Relu", [leaving], stage if last else f"{stage}.{i}.relu")
        shape = ["n", blocks[-1][0].out_channels, None, None]
        outputs.append(helper.make_tensor_value_info(stage, TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "height", "width"])
    graph = helper.make_graph(nodes, "edgead-default", [image], outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model, full_check=True)
    return model
