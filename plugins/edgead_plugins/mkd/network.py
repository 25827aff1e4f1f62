"""MKD's two networks side by side, and the loss that the cloner learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edgead.errors import OptionError
from edgead.types import Backbone, InputSpec, Size
from edgead_plugins.mkd.options import CLONER, SOURCE
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import functional, nn, torch

PAPER_DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions in each of VGG-16's blocks, and so in the cloner's; further blocks have three."""


class Cloner(nn.Module):  # type: ignore[misc]
    """A narrow VGG: blocks of 3 x 3 convolutions, each with a 2 x 2 max-pool at its end.

    BatchNorm and ReLU follow each convolution but a block's last, which has ReLU only. With the critical
    layers of VGG-16 this is the paper's smaller cloner: 16,16 | 16,128 | 16,16,256 | 16,16,512 | 16,16,512.

    Args:
        channels: stride, a power of 2, to the channels that a critical layer has there.
        signed: strides whose critical layer has values below 0; the block's last ReLU is left out there.
        width: channels of all other convolutions.
    """

    def __init__(self, channels: Mapping[int, int], signed: frozenset[int], width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.strides = sorted(channels)
        entering = 3
        for number in range(int(math.log2(self.strides[-1]))):
            stride = 2 << number
            depth = PAPER_DEPTHS[min(number, len(PAPER_DEPTHS) - 1)]
            widths = [width] * (depth - 1) + [channels.get(stride, width)]
            layers: list[nn.Module] = []
            for i, out in enumerate(widths):
                conv = nn.Conv2d(entering, out, 3, padding=1, bias=False)
                nn.init.xavier_uniform_(conv.weight)
                last = i == depth - 1
                layers += [conv, *([] if last else [nn.BatchNorm2d(out)])]
                layers += [] if last and stride in signed else [nn.ReLU()]
                entering = out
            self.blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2)))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> the critical layers' maps, the finest first."""
        maps = []
        for number, block in enumerate(self.blocks):
            image = block(image)
            if 2 << number in self.strides:
                maps.append(image)
        return maps


class Distillation(nn.Module):  # type: ignore[misc]
    """``image`` (N, H, W, 3) uint8 BGR -> ``source_1``, ``cloner_1``, ... (N, C, h, w), the finest first.

    Args:
        source: the backbone; its weights stay what they are.
        layers: its maps to copy, the finest first, and whether each is max-pooled first.
        size: (H, W) of the images.
        normalise: see ``MKDOptions``.
        width: of the cloner.
        probe: (n, H, W, 3) uint8, good images, to see where the source's values are below 0.

    Raises:
        OptionError: the backbone can't be run in torch, has no convolution that reads the image, or a map of
            another shape than a cloner's.
    """

    def __init__(
        self,
        source: Backbone,
        layers: Mapping[str, bool],
        size: Size,
        normalise: bool,
        width: int,
        probe: torch.Tensor,
    ) -> None:
        super().__init__()
        self.layers, self.size = dict(layers), size
        self.source = OnnxModule(source.name, source.onnx(list(layers), size))
        for value in self.source.parameters():
            value.requires_grad_(False)
        first = self.source.first_convolution
        if not first:
            raise OptionError(f"mkd: '{source.name}' has no convolution that reads the image: use a CNN")
        self.first, self.normalise = first, normalise
        for name, value in _pixel_range(self.source, first, source.input, size).items():
            self.register_buffer(name, value)
        seen, _ = self.teach(probe)
        strides = [_stride(source.name, name, size, found) for name, found in zip(layers, seen, strict=True)]
        signed = frozenset(s for s, found in zip(strides, seen, strict=True) if float(found.min()) < 0)
        self.cloner = Cloner(
            {s: found.shape[1] for s, found in zip(strides, seen, strict=True)}, signed, width
        )

    def teach(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The source's critical maps, and the image (N, 3, H, W) as the cloner is to see it."""
        shown: list[torch.Tensor] = []

        def show(x: torch.Tensor) -> torch.Tensor:
            pixels = (x - self.black) * self.per_level  # 0 to 1
            shown.append(x * self.to_normal if self.normalise else pixels)
            return x if self.normalise else pixels * self.from_unit

        maps = self.source(images, {self.first: show})
        pooled = [functional.max_pool2d(maps[n], 2) if p else maps[n] for n, p in self.layers.items()]
        return pooled, shown[0]

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Both networks' maps by name."""
        taught, shown = self.teach(images)
        named = {}
        for number, (a, b) in enumerate(zip(taught, self.cloner(shown), strict=True), 1):
            named[f"{SOURCE}{number}"], named[f"{CLONER}{number}"] = a, b
        return named


def _pixel_range(source: nn.Module, first: str, spec: InputSpec, size: Size) -> dict[str, torch.Tensor]:
    """What the tensor that the first convolution reads is of black and white, measured.

    A backbone's graph may have colour order and deviation folded into that convolution, or not. Returns, for
    x that tensor and each of its channels: ``black`` and ``per_level`` (pixels 0..1 are (x - black) *
    per_level), ``to_normal`` (x * to_normal is normalised), and ``from_unit`` (a value that the network
    itself is to see, times this, is what stands for it in x).
    """
    seen: list[torch.Tensor] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    with torch.no_grad():
        for level in (0, 255):
            source(torch.full((1, *size, 3), level, dtype=torch.uint8), {first: keep})
    black, white = (x[:, :, :1, :1].clone() for x in seen)
    std = torch.tensor(spec.std)[None, :, None, None]
    if spec.channel_order == "rgb":
        std = std.flip(1)
    if black.shape[1] != 3 or not bool((white > black).all()):
        raise OptionError("mkd: the source's first convolution doesn't read the image itself: use a CNN")
    folded = bool(torch.allclose(white - black, torch.full_like(white, 255.0)))
    ones = torch.ones_like(std)
    return {
        "black": black,
        "per_level": 1 / (white - black),
        "to_normal": 1 / std if folded else ones,
        "from_unit": std if folded else ones,
    }


def _stride(source: str, layer: str, size: Size, found: torch.Tensor) -> int:
    """A map's stride, a power of 2 that its shape bears out."""
    h, w = found.shape[2:]
    stride = 2 ** max(1, round(math.log2(size[0] / h)))
    if (size[0] // stride, size[1] // stride) != (h, w):
        raise OptionError(
            f"mkd: '{layer}' of '{source}' is {h} x {w}, which no halving of {size[0]} x {size[1]} gives; "
            "choose a --size with sides that are multiples of 32"
        )
    return int(stride)


def disagreement(source: torch.Tensor, cloner: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """(N,): direction and value term of (N, C, h, w) maps, weighted; the maps flattened as a whole."""
    a, b = source.flatten(1), cloner.flatten(1)
    direction = 1 - functional.cosine_similarity(a, b, dim=1)
    return weights[0] * direction + weights[1] * (a - b).square().mean(1)


def loss(
    source: Sequence[torch.Tensor], cloner: Sequence[torch.Tensor], weights: tuple[float, float]
) -> torch.Tensor:
    """The sum over the layers of the batch's mean disagreement."""
    each = [disagreement(a, b, weights).mean() for a, b in zip(source, cloner, strict=True)]
    return torch.stack(each).sum()


__all__ = ["Cloner", "Distillation", "disagreement", "loss"]
