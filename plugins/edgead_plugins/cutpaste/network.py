"""CutPaste's networks: a trunk from any backbone, the head of the proxy task, and patches as tiles."""

from __future__ import annotations

from edgead.errors import OptionError
from edgead.types import Backbone, Size
from edgead_plugins.cutpaste.scorer import EMBEDDING, PATCH, PATCHES, patch_grid
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import nn, torch

TILES = 256
"""Patches that go through the network at once; more would need memory by the gigabyte."""


class Trunk(nn.Module):  # type: ignore[misc]
    """(N, H, W, 3) uint8 BGR -> (N, d): a backbone's map, averaged over its positions.

    Args:
        backbone: its BatchNorm, where it has any, keeps the statistics it came with.
        layer: the map.
        size: (H, W).

    Attributes:
        unit: grey levels in one unit of the normalised input where that normalisation is folded into the
            first convolution, else 1; see ``parameter_groups``.
    """

    def __init__(self, backbone: Backbone, layer: str, size: Size) -> None:
        super().__init__()
        self.layer = layer
        self.network = OnnxModule(backbone.name, backbone.onnx([layer], size))
        if not self.network.first_convolution:
            raise OptionError(f"cutpaste: '{backbone.name}' has no convolution to train: use a CNN")
        seen: list[torch.Tensor] = []

        def look(x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

        with torch.no_grad():
            for level in (0, 255):
                grey = torch.full((1, *size, 3), level, dtype=torch.uint8)
                found = self.network(grey, {self.network.first_convolution: look})[layer]
        self.width = int(found.shape[1])
        folded = float((seen[1] - seen[0]).max()) > 100  # normalised, black and white are about 4.4 apart
        self.unit = sum(backbone.input.std) / 3 if folded else 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.network(images)[self.layer].mean((2, 3))

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
        """Parameters for SGD, as if the first convolution read normalised images.

        Where it reads grey levels, its weights are ``unit`` times smaller and their gradients as much larger.
        A step of SGD on the larger weights is one on these with the learning rate over unit squared.
        """
        first = [p for p in self.network.parameters() if p.dim() == 4 and p.shape[1] == 3]
        others = [p for p in self.network.parameters() if all(p is not q for q in first)]
        square = self.unit**2
        return [
            {"params": first, "lr": learning_rate / square, "weight_decay": weight_decay * square},
            {"params": others},
        ]


def make_head(width: int, layers: int, classes: int) -> nn.Module:
    """(N, width) -> (N, classes): ``layers`` of 512 and one of 128 with BatchNorm and ReLU, and a linear."""
    parts: list[nn.Module] = []
    for out in [512] * layers + [128]:
        parts += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
        width = out
    return nn.Sequential(*parts, nn.Linear(width, classes))


class Embeddings(nn.Module):  # type: ignore[misc]
    """``image`` (1, H, W, 3) uint8 BGR -> ``PATCHES`` (1, d, rows, columns) and ``EMBEDDING`` (1, d, 1, 1).

    A patch is a tile of 64 x 64, cut out before the network: a fully convolutional pass would see its
    neighbours where the patch network saw zero padding, and give other embeddings.

    Args:
        image, patch: the trained trunks, or None for those that aren't wanted.
        size: (H, W).
        stride: of the patches.
    """

    def __init__(self, image: Trunk | None, patch: Trunk | None, size: Size, stride: int) -> None:
        super().__init__()
        self.image, self.patch, self.grid = image, patch, patch_grid(size, stride)
        for axis, count in zip(("rows", "columns"), self.grid, strict=True):
            index = (torch.arange(count)[:, None] * stride + torch.arange(PATCH)).flatten()
            self.register_buffer(axis, index)

    def tiles(self, image: torch.Tensor) -> torch.Tensor:
        """(rows * columns, 64, 64, 3), row by row."""
        down, across = self.grid
        repeated = image[0].index_select(0, self.rows).index_select(1, self.columns)
        apart = repeated.reshape(down, PATCH, across, PATCH, 3)
        return apart.permute(0, 2, 1, 3, 4).reshape(down * across, PATCH, PATCH, 3)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        maps = {}
        if self.patch is not None:
            tiles = self.tiles(image)
            found = [self.patch(tiles[i : i + TILES]) for i in range(0, len(tiles), TILES)]
            rows = found[0] if len(found) == 1 else torch.cat(found)
            maps[PATCHES] = rows.reshape(1, *self.grid, -1).permute(0, 3, 1, 2)
        if self.image is not None:
            maps[EMBEDDING] = self.image(image)[:, :, None, None]
        return maps


__all__ = ["Embeddings", "Trunk", "make_head"]
