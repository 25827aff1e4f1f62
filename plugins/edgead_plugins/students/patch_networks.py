"""The patch networks: descriptors of small patches, and the same of every patch of an image at once.

Five or four convolutions that take a patch to one descriptor. On a whole image, the same weights give the
descriptor of each patch without cutting it out: up to the output's stride, pools halve as they do on a
patch; from there on they keep every position, and what follows is dilated (*a trous*: Giusti et al., ICIP
2013; Bailer et al., BMVC 2017 get the same by shifting). Nothing is padded inside, so that a position's
descriptor is its own patch's, bit for bit but for the order of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgead.errors import OptionError
from edgead.types import Size
from edgead_plugins.students.options import DESCRIPTOR
from edgead_plugins.training.pytorch import functional, nn, torch

SLOPE = 5e-3
"""Of the leaky ReLUs below 0; the paper's."""


@dataclass(frozen=True)
class Layer:
    """A convolution without padding, a leaky ReLU unless it's the last, and a 2 x 2 max-pool where asked."""

    kernel: int
    channels: int
    pool: bool = False


LAYERS = {
    17: (Layer(6, 128), Layer(5, 256), Layer(5, 256), Layer(4, DESCRIPTOR)),
    33: (Layer(5, 128, True), Layer(5, 256, True), Layer(2, 256), Layer(4, DESCRIPTOR)),
    65: (Layer(5, 128, True), Layer(5, 128, True), Layer(5, 128, True), Layer(4, 256), Layer(1, DESCRIPTOR)),
}
"""By the side of the patch. Pools drop an odd row, so that 32 and 60 pixels of 33 and 65 are looked at."""


def receptive_field(scale: int) -> int:
    """The side of what a descriptor depends on: 17, 32 or 60 pixels."""
    side = 1
    for layer in reversed(LAYERS[scale]):
        side = (side * 2 if layer.pool else side) + layer.kernel - 1
    return side


class PatchNetworks(nn.Module):  # type: ignore[misc]
    """``count`` networks of one scale, side by side: (N, 3, H, W) -> (N, count * 128, h, w).

    They share nothing but the image: after the first convolution, each has a group of its own. One grouped
    convolution does for all what ``count`` would do one after another.

    Args:
        scale: side of the patch: 17, 33 or 65.
        count: how many; a descriptor is 128 long, and network i's are channels 128 i to 128 (i + 1).
        width: factor on the channels inside; 1 in the paper.
    """

    def __init__(self, scale: int, count: int = 1, width: float = 1.0) -> None:
        super().__init__()
        self.scale, self.count = scale, count
        self.layers = LAYERS[scale]
        inside, groups, convolutions = 3, 1, []
        for layer in self.layers:
            last = layer is self.layers[-1]
            out = count * (layer.channels if last else max(8, round(layer.channels * width)))
            convolutions.append(nn.Conv2d(inside, out, layer.kernel, groups=groups))
            inside, groups = out, count
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: torch.Tensor, stride: int = 8) -> torch.Tensor:
        """Descriptors of the patches whose corners are ``stride`` apart: 1, 2, 4 or 8 pixels.

        The first is the patch at the top left, and the last the last that fits. A single patch is an image
        with one: (N, 3, scale, scale) -> (N, count * 128, 1, 1).
        """
        left, apart = stride, 1  # the stride that's still to be taken; the distance of neighbours in x
        for layer, convolution in zip(self.layers, self.convolutions, strict=True):
            last = layer is self.layers[-1]
            x = functional.conv2d(
                x,
                convolution.weight,
                convolution.bias,
                stride=left if last else 1,
                dilation=apart,
                groups=convolution.groups,
            )
            if not last:
                x = functional.leaky_relu(x, SLOPE)
            if layer.pool and left > 1:
                x, left = functional.max_pool2d(x, 2), left // 2
            elif layer.pool:
                x, apart = functional.max_pool2d(x, 2, stride=1, dilation=apart), apart * 2
        return x


def margins(scale: int, size: Size, stride: int) -> tuple[int, int, int, int]:
    """Pixels to add left, right, top and bottom, so that each cell of ``stride`` pixels has its own patch.

    A patch's middle is its cell's middle, or half a pixel before it where that can't be.

    Raises:
        OptionError: the sides aren't multiples of the stride, or too small to be mirrored.
    """
    field = receptive_field(scale)
    before = (field - stride + 1) // 2
    found = []
    for side in reversed(size):
        if side % stride:
            raise OptionError(
                f"uninformed-students: {size[0]} x {size[1]} is no multiple of -o stride={stride}: choose "
                "another --size"
            )
        after = field - stride - before
        if max(before, after) >= side:
            raise OptionError(
                f"uninformed-students: patches of {scale} don't fit into {size[0]} x {size[1]}: choose a "
                f"larger --size or smaller -o scales"
            )
        found += [before, max(after, 0)]
    return found[0], found[1], found[2], found[3]


def mirrored(x: torch.Tensor, scale: int, stride: int) -> torch.Tensor:
    """(N, 3, H, W) with mirrored margins, as ``margins`` has them."""
    size = (int(x.shape[2]), int(x.shape[3]))
    return functional.pad(x, margins(scale, size, stride), mode="reflect")


def window(
    lengths: Size, scale: int, stride: int, crop: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """What a step learns from, of a padded image: the pixels that ``crop`` x ``crop`` depend on.

    Where it begins is any pixel, and not only a multiple of the stride, so that over time every position is
    learnt. It's drawn from half a crop beyond either border and brought back: what lies at the border, often
    something of its own, would else be learnt from least. With 0 it's the whole image, moved by less than the
    stride.

    Args:
        lengths: (H, W) of the padded image.

    Returns:
        First and last row, first and last column, the last ones exclusive.
    """
    ends = []
    for length in lengths:
        wanted = crop + receptive_field(scale) - stride
        if crop:
            drawn = int(rng.integers(-(crop // 2), max(length - wanted, 0) + crop // 2 + 1))
            start = min(max(drawn, 0), max(length - wanted, 0))
        else:
            start = int(rng.integers(stride))
        ends += [start, min(start + wanted, length) if crop else length]
    return ends[0], ends[1], ends[2], ends[3]


__all__ = ["LAYERS", "Layer", "PatchNetworks", "margins", "mirrored", "receptive_field", "window"]
