"""Which convolutions a ResNet has, by their key names in a file: torchvision's, which timm shares.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv 1512.03385; Zagoruyko, Komodakis:
Wide Residual Networks, arXiv 1605.07146. The stride of a bottleneck is in its 3 x 3, as torchvision has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgead_plugins.backbones.weights import Shape

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Architecture:
    """What tells one ResNet from another.

    Attributes:
        block: two 3 x 3 convolutions, or 1 x 1, 3 x 3, 1 x 1.
        depths: number of blocks of each layer.
        width: channels of the stem; layer i has ``width * 2**i``, four times that after a bottleneck.
        inner: a bottleneck's 3 x 3 has so many times the layer's channels (2 in the wide ones).
    """

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    width: int = 64
    inner: int = 1

    def layer_channels(self, layer: int) -> int:
        """Return the output channels of layer 1, 2, ..."""
        return self.plane(layer) * (4 if self.block == "bottleneck" else 1)

    def plane(self, layer: int) -> int:
        """Return what the layer's width is counted in: twice as much from layer to layer."""
        return self.width << (layer - 1)


ARCHITECTURES: Mapping[str, Architecture] = {
    "resnet18": Architecture("basic", (2, 2, 2, 2)),
    "resnet34": Architecture("basic", (3, 4, 6, 3)),
    "resnet50": Architecture("bottleneck", (3, 4, 6, 3)),
    "resnet101": Architecture("bottleneck", (3, 4, 23, 3)),
    "wide_resnet50_2": Architecture("bottleneck", (3, 4, 6, 3), inner=2),
}


@dataclass(frozen=True)
class Conv:
    """A convolution with its BatchNorm: where they are in the file, and what they compute."""

    key: str
    norm: str
    shape: Shape  # (out, in, k, k)
    stride: int = 1


@dataclass(frozen=True)
class Block:
    key: str
    convs: tuple[Conv, ...]
    downsample: Conv | None


def stem(arch: Architecture) -> Conv:
    """Describe the first convolution."""
    return Conv("conv1", "bn1", (arch.width, 3, 7, 7), stride=2)


def blocks_of(arch: Architecture, layer: int) -> Iterator[Block]:
    """Describe the blocks of layer 1, 2, ..."""
    out = arch.layer_channels(layer)
    entering = arch.layer_channels(layer - 1) if layer > 1 else arch.width
    plane = arch.plane(layer)
    for i in range(arch.depths[layer - 1]):
        key = f"layer{layer}.{i}"
        stride = 2 if i == 0 and layer > 1 else 1
        if arch.block == "basic":
            sizes = [(plane, entering, 3), (plane, plane, 3)]
            strides = [stride, 1]
        else:
            inner = plane * arch.inner
            sizes = [(inner, entering, 1), (inner, inner, 3), (out, inner, 1)]
            strides = [1, stride, 1]
        convs = tuple(
            Conv(f"{key}.conv{n}", f"{key}.bn{n}", (o, c, k, k), s)
            for n, ((o, c, k), s) in enumerate(zip(sizes, strides, strict=True), 1)
        )
        changes = stride != 1 or entering != out
        shortcut = Conv(f"{key}.downsample.0", f"{key}.downsample.1", (out, entering, 1, 1), stride)
        yield Block(key, convs, shortcut if changes else None)
        entering = out


def convolutions(arch: Architecture, layers: int) -> list[Conv]:
    """List every convolution from the stem to the end of layer ``layers``."""
    found = [stem(arch)]
    for layer in range(1, layers + 1):
        for block in blocks_of(arch, layer):
            found += [*block.convs, *([block.downsample] if block.downsample else [])]
    return found


def expected_shapes(convs: Sequence[Conv]) -> dict[str, Shape]:
    """Return the shape of every tensor that these convolutions and their BatchNorms need, by key."""
    shapes: dict[str, Shape] = {}
    for conv in convs:
        shapes[f"{conv.key}.weight"] = conv.shape
        shapes.update({f"{conv.norm}.{part}": conv.shape[:1] for part in BATCH_NORM})
    return shapes
