"""Spatial transformers with bounded similarity transforms: Jaderberg et al., Spatial Transformer Networks,
NeurIPS 2015, arXiv 1506.02025.

A small network looks at an image or a feature map and says how to turn, enlarge and shift it; sampling at
the transformed grid does so. Transforms act on coordinates from -1 to 1 over the map, whatever its size, and
tell for each place of the aligned map where its value comes from.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from edgead.types import Size
from edgead_plugins.training.pytorch import functional, nn, torch


@dataclass(frozen=True)
class Bounds:
    """How far a transform may go from the identity, either way.

    Attributes:
        rotation: degrees.
        scale: share of the size; 0.1 is 91 to 110 %.
        shift: share of the side.
    """

    rotation: float
    scale: float
    shift: float


class Transformer(nn.Module):  # type: ignore[misc]
    """Aligns (N, C, h, w) maps. It starts at the identity, since its last layer starts at 0.

    Args:
        channels, size: of the maps.
        bounds: reached only in the limit, through tanh, so that there is always a gradient.

    The mean image's transform is the identity by construction: what all images ask for alike, enlarging a
    plain corner say, which is how the losses would rather be lowered, is taken off. In training that is the
    batch's mean, afterwards ``centre``, the mean wish of all good images.
    """

    def __init__(self, channels: int, size: Size, bounds: Bounds) -> None:
        super().__init__()
        self.size, self.bounds = size, bounds
        shrink = max(1, math.ceil(max(size) / 64))  # a transform needs no finer look
        self.localise = nn.Sequential(
            nn.AvgPool2d(shrink) if shrink > 1 else nn.Identity(),
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
        )
        with torch.no_grad():
            features = self.localise(torch.zeros(1, channels, *size)).shape[1]
        self.last = nn.Linear(features, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("centre", torch.zeros(4))
        self.root = math.sqrt(features) / 10  # so that a learning rate means the same for any size

    def prepare(self, maps: torch.Tensor) -> None:
        """Bring maps of any range to a standard deviation of 1 before they are looked at; call it once."""
        self.gain.copy_(1 / maps.std().clamp_min(1e-6))

    def wish(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, 4): rotation, scale and shift that the network asks for, before mean and bounds."""
        found: torch.Tensor = self.last(self.localise(maps * self.gain) / self.root)
        return found

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The transform of each map, (N, 2, 3)."""
        wish = self.wish(maps)
        raw = torch.tanh(wish - (wish.mean(0, keepdim=True) if self.training else self.centre))
        angle = raw[:, 0] * math.radians(self.bounds.rotation)
        scale = torch.exp(raw[:, 1] * math.log1p(self.bounds.scale))
        shift = raw[:, 2:] * (2 * self.bounds.shift)
        cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
        tall = self.size[0] / self.size[1]  # a rotation of pixels is none of coordinates from -1 to 1
        rows = [cosine, -sine * tall, shift[:, 0], sine / tall, cosine, shift[:, 1]]
        return torch.stack(rows, 1).reshape(-1, 2, 3)


def exactly(like: torch.Tensor) -> AbstractContextManager[Any]:
    """Within it, transforms are calculated in FP32, whatever the network is: BF16 moves by whole pixels."""
    kind = like.device.type
    if not torch.is_autocast_enabled(kind):
        return nullcontext()
    found: AbstractContextManager[Any] = torch.autocast(kind, enabled=False)
    return found


def identity(like: torch.Tensor) -> torch.Tensor:
    """The transform (N, 2, 3) that changes nothing, for as many maps as ``like`` has."""
    return torch.eye(2, 3, device=like.device).expand(len(like), 2, 3)


def compose(first: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
    """The one transform (N, 2, 3) of aligning by ``first``, and what comes of it by ``then``."""
    turned = (first[:, :, :2, None] * then[:, None]).sum(2)
    return turned + functional.pad(first[:, :, 2:], (2, 0))


def invert(transform: torch.Tensor) -> torch.Tensor:
    """The transform (N, 2, 3) that takes an aligned map back."""
    a, b, x, c, d, y = transform.flatten(1).unbind(1)
    scale = 1 / (a * d - b * c)
    e, f, g, h = d * scale, -b * scale, -c * scale, a * scale
    return torch.stack([e, f, -(e * x + f * y), g, h, -(g * x + h * y)], 1).reshape(-1, 2, 3)


def grid(transform: torch.Tensor, size: Size) -> torch.Tensor:
    """(N, h, w, 2) x, y coordinates at which to sample, pixel centres, -1 and 1 at the outer edges.

    Products and sums only: a matrix product might be calculated in BF16.
    """
    height, width = size
    x = ((torch.arange(width, device=transform.device) * 2 + 1) / width - 1).reshape(1, 1, width, 1)
    y = ((torch.arange(height, device=transform.device) * 2 + 1) / height - 1).reshape(1, height, 1, 1)
    to_x, to_y, shift = transform[:, None, None].unbind(4)
    return to_x * x + to_y * y + shift


def sample(maps: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Bilinear samples of (N, C, h, w) at (N, h', w', 2); outside, the border goes on."""
    return functional.grid_sample(maps, where, mode="bilinear", padding_mode="border", align_corners=False)


def inside(where: torch.Tensor) -> torch.Tensor:
    """(N, h, w) float32: 1 where a sample is of the map, 0 where it is of its padding. No gradient."""
    return (where.detach().abs() <= 1).all(3).to(where.dtype)


__all__ = ["Bounds", "Transformer", "compose", "exactly", "grid", "identity", "inside", "invert", "sample"]
