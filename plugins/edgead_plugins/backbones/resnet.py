"""ResNets straight from a .safetensors file, without torch.

BatchNorm is folded into the convolutions in float64, so the graph is nothing but Conv, Relu, Add and one
MaxPool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import NeedsFileError, OptionError
from edgead.files import sha256_of
from edgead.types import FeatureInfo, InputSpec, Size
from edgead_plugins.backbones.graphs import IR_VERSION, OPSET, onnx
from edgead_plugins.backbones.preprocessing import check_maps, check_size, prepend_preprocessing
from edgead_plugins.backbones.resnet_layers import (
    ARCHITECTURES,
    BATCH_NORM,
    Architecture,
    Conv,
    blocks_of,
    convolutions,
    expected_shapes,
    stem,
)
from edgead_plugins.backbones.weights import SafetensorsFile, Shape, check_file, looks_pickled

_EPSILON = 1e-5  # torch's default for BatchNorm, which every published ResNet keeps
_IGNORED = re.compile(r"^fc\.|\.num_batches_tracked$")
"""Keys that no feature map needs."""


_Weights = NDArray[np.float32]


@dataclass(frozen=True)
class _Match:
    """How a file's tensors fit an architecture."""

    layers: int
    expected: Mapping[str, Shape]
    missing: Sequence[str]
    wrong: Sequence[str]
    unknown: Sequence[str]

    def __bool__(self) -> bool:
        return not (self.missing or self.wrong or self.unknown)


def _match(arch: Architecture, held: Mapping[str, Shape]) -> _Match:
    numbers = range(1, len(arch.depths) + 1)
    layers = max((n for n in numbers if any(key.startswith(f"layer{n}.") for key in held)), default=1)
    expected = expected_shapes(convolutions(arch, layers))
    return _Match(
        layers,
        expected,
        missing=[key for key in expected if key not in held],
        wrong=[key for key, shape in expected.items() if held.get(key, shape) != shape],
        unknown=[key for key in held if key not in expected and not _IGNORED.search(key)],
    )


def _layers_held(name: str, arch: Architecture, path: Path, held: Mapping[str, Shape]) -> int:
    """Check the file's keys and shapes against the architecture and return how many layers it holds."""
    match = _match(arch, held)
    if match:
        return match.layers
    for other, its in ARCHITECTURES.items():
        if its != arch and _match(its, held):
            raise OptionError(f"'{path}' holds a {other}, not a {name}: use --backbone {other}")
    if match.missing:
        n, of, first = len(match.missing), len(match.expected), match.missing[0]
        problem = f"{n} of {of} tensors are missing, first '{first}'"
    elif match.wrong:
        key = match.wrong[0]
        problem = f"'{key}' is {_text(held[key])} where {_text(match.expected[key])} is needed"
    else:
        problem = f"it also holds {len(match.unknown)} other tensors, first '{match.unknown[0]}'"
    raise OptionError(f"'{path}' doesn't fit {name}: {problem}; give a file with torchvision's key names")


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _fold(conv: Conv, tensors: Mapping[str, NDArray[np.float64]]) -> tuple[_Weights, _Weights]:
    """Return weight and bias of a convolution that does its BatchNorm's work too."""
    gamma, beta, mean, variance = (tensors[f"{conv.norm}.{part}"] for part in BATCH_NORM)
    with np.errstate(all="ignore"):  # the caller looks at what comes out
        scale = gamma / np.sqrt(variance + _EPSILON)
        weight = tensors[f"{conv.key}.weight"] * scale[:, None, None, None]
        return weight.astype(np.float32), (beta - mean * scale).astype(np.float32)


# ---------------------------------------------------------------- the graph


def _network(
    arch: Architecture, folded: Mapping[str, tuple[_Weights, _Weights]], asked: Sequence[str]
) -> onnx.ModelProto:
    """Build the float network to the deepest asked map."""
    helper, float_type = onnx.helper, onnx.TensorProto.FLOAT
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolve(conv: Conv, tensor: str) -> str:
        names = [f"{conv.key}.weight", f"{conv.key}.bias"]
        for name, array in zip(names, folded[conv.key], strict=True):
            weights.append(onnx.numpy_helper.from_array(array, name))
        k, s = conv.shape[-1], conv.stride
        return add(
            "Conv",
            [tensor, *names],
            conv.key,
            kernel_shape=[k, k],
            strides=[s, s],
            pads=[k // 2] * 4,
        )

    x = add("Relu", [convolve(stem(arch), "normalised")], "relu")
    x = add("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for layer in range(1, max(int(name.removeprefix("layer")) for name in asked) + 1):
        blocks = list(blocks_of(arch, layer))
        for block in blocks:
            shortcut = convolve(block.downsample, x) if block.downsample else x
            for i, conv in enumerate(block.convs, 1):
                x = convolve(conv, x)
                if i < len(block.convs):
                    x = add("Relu", [x], f"{block.key}.relu{i}")
            total = add("Add", [x, shortcut], f"{block.key}.add")
            x = add("Relu", [total], f"layer{layer}" if block is blocks[-1] else block.key)

    graph = helper.make_graph(
        nodes,
        "resnet",
        [helper.make_tensor_value_info("normalised", float_type, [1, 3, None, None])],
        [helper.make_tensor_value_info(name, float_type, None) for name in asked],
        weights,
    )
    model: onnx.ModelProto = helper.make_model(
        graph,
        producer_name="edgead",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    return model


# ---------------------------------------------------------------- the backbone


def _feature_info(arch: Architecture, layers: int) -> dict[str, FeatureInfo]:
    """The maps of a network that ends with layer ``layers``."""
    return {f"layer{n}": FeatureInfo(arch.layer_channels(n), 2 ** (n + 1)) for n in range(1, layers + 1)}


def _multiple(layers: int) -> int:
    """What its height and width must be multiples of: the last layer's stride."""
    return int(2 ** (layers + 1))


class ResNet:
    """A ResNet with a user's weights; see ``edgead.types.Backbone``.

    Args:
        name: what the user typed.
        arch: which ResNet it is.
        path: the .safetensors file: conv1, bn1, layer1 and as many more layers as it holds.

    Raises:
        OptionError: the file can't be read, or doesn't hold this ResNet.
    """

    def __init__(self, name: str, arch: Architecture, path: Path) -> None:
        file = SafetensorsFile(path)
        layers = _layers_held(name, arch, path, file.shapes)
        convs = convolutions(arch, layers)
        self._arch = arch
        self._folded = {conv.key: _fold(conv, file.read(list(expected_shapes([conv])))) for conv in convs}
        for key, (weight, bias) in self._folded.items():
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise OptionError(f"'{path}': BatchNorm of '{key}' has a negative variance or overflows")
        self.name = name
        self.feature_info = _feature_info(arch, layers)
        self.input = InputSpec(multiple=_multiple(layers))
        self.provenance = {"weights_file": path.name, "weights_sha256": sha256_of(path)}

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return the graph from ``image`` to these maps; see ``edgead.types.Backbone.onnx``."""
        asked = check_maps(self.name, feature_maps, self.feature_info)
        check_size(self.name, size, self.input)
        return prepend_preprocessing(_network(self._arch, self._folded, asked), size, self.input)


def resnet_backbone(name: str, argument: str, weights: Path | None) -> ResNet:
    """Open the ResNet ``name`` with the user's weights; the factory of each of ``ARCHITECTURES``."""
    if argument:
        raise OptionError(f"backbone '{name}' takes no argument, got '{argument}': use --backbone {name}")
    if weights is None:
        arch = ARCHITECTURES[name]
        maps = _feature_info(arch, len(arch.depths))
        raise NeedsFileError(
            f"backbone '{name}' needs --weights FILE.safetensors with torchvision's key names, for instance "
            f"model.safetensors from https://huggingface.co/timm/{name}.tv_in1k",
            {layer: (info.channels, info.stride) for layer, info in maps.items()},
            _multiple(len(maps)),
        )
    check_file(weights)
    if weights.suffix != ".safetensors" and looks_pickled(weights):
        raise OptionError(
            f"'{weights}' isn't a .safetensors file: use --backbone timm:{name} (needs torch) with it, "
            "or save its tensors with safetensors.torch.save_file"
        )
    return ResNet(name, ARCHITECTURES[name], weights)


resnet18 = partial(resnet_backbone, "resnet18")
resnet34 = partial(resnet_backbone, "resnet34")
resnet50 = partial(resnet_backbone, "resnet50")
resnet101 = partial(resnet_backbone, "resnet101")
wide_resnet50_2 = partial(resnet_backbone, "wide_resnet50_2")
