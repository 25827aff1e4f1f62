"""CutPaste's networks: a trunk from any backbone, the head of the proxy task, and patches as tiles."""

from __future__ import annotations

from functools import partial

from edgead.errors import OptionError
from edgead.types import Backbone, Size
from edgead_plugins.cutpaste.options import EMBEDDING, PATCHES, patch_grid
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import nn, torch

TILES = 256
"""Patches that go through the network at once; more would need memory by the gigabyte."""
FLAT = 1e-12
"""Added to each variance, so that rounding leaves none below 0."""


class Trunk(nn.Module):  # type: ignore[misc]
    """(N, H, W, 3) uint8 BGR -> (N, d): a backbone's map, averaged over its positions.

    A backbone's graph usually has its BatchNorm folded into the convolutions. Without any, the paper's
    learning rate takes such a network to where it can't tell anything apart, so each convolution is given
    one again, set so that it changes nothing: its statistics and its scale are those of its own input.

    Args:
        backbone: where its graph still has BatchNorm, that keeps the statistics it came with.
        layer: the map.
        probe: (n, H, W, 3) uint8, good images, whose statistics are taken.

    Attributes:
        unit: grey levels in one unit of the normalised input where that normalisation is folded into the
            first convolution, else 1; see ``parameter_groups``.
    """

    def __init__(self, backbone: Backbone, layer: str, probe: torch.Tensor) -> None:
        super().__init__()
        self.layer = layer
        model = backbone.onnx([layer], (int(probe.shape[1]), int(probe.shape[2])))
        self.network = OnnxModule(backbone.name, model)
        first = self.network.first_convolution
        if not first:
            raise OptionError(f"cutpaste: '{backbone.name}' has no convolution to train: use a CNN")
        kinds = {node.op_type for node in model.graph.node}
        outputs = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
        self._convolutions = [] if "BatchNormalization" in kinds else outputs
        seen = self._look(probe, [first, *outputs])
        dark, light = (self._look(torch.full_like(probe[:1], v), [first])[first] for v in (0, 255))
        folded = float((light - dark).max()) > 100  # normalised, black and white are about 4.4 apart
        self.unit = sum(backbone.input.std) / 3 if folded else 1.0
        self.norms = nn.ModuleList(_unchanging(seen[name]) for name in self._convolutions)
        with torch.no_grad():
            self.width = int(self.network(probe[:1])[layer].shape[1])

    def _look(self, images: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}

        def keep(name: str, x: torch.Tensor) -> torch.Tensor:
            seen[name] = x
            return x

        with torch.no_grad():
            self.network(images, {name: partial(keep, name) for name in names})
        return seen

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        norms = dict(zip(self._convolutions, self.norms, strict=True))
        return self.network(images, norms)[self.layer].mean((2, 3))

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
        """Parameters for SGD, as if the first convolution read normalised images.

        Where it reads grey levels, its weights are ``unit`` times smaller and their gradients as much larger.
        A step of SGD on the larger weights is one on these with the learning rate over unit squared.
        """
        first = [p for p in self.network.parameters() if p.dim() == 4 and p.shape[1] == 3]
        others = [p for p in self.parameters() if all(p is not q for q in first)]
        square = self.unit**2
        return [
            {"params": first, "lr": learning_rate / square, "weight_decay": weight_decay * square},
            {"params": others},
        ]


def _unchanging(x: torch.Tensor) -> nn.BatchNorm2d:
    """A BatchNorm that leaves (N, C, h, w) values as they are, for now."""
    norm = nn.BatchNorm2d(x.shape[1])
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    with torch.no_grad():
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)
    return norm


def make_head(width: int, layers: int, classes: int) -> nn.Module:
    """(N, width) -> (N, classes): ``layers`` of 512 and one of 128 with BatchNorm and ReLU, and a linear."""
    parts: list[nn.Module] = []
    for out in [512] * layers + [128]:
        parts += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
        width = out
    return nn.Sequential(*parts, nn.Linear(width, classes))


class Untrained(nn.Module):  # type: ignore[misc]
    """(N, H, W, 3) uint8 BGR -> (N, 2 d): mean and deviation over the positions of a backbone's own map.

    A defect of a few positions moves their deviation more than their mean.
    """

    def __init__(self, backbone: Backbone, layer: str, size: Size) -> None:
        super().__init__()
        self.layer = layer
        self.network = OnnxModule(backbone.name, backbone.onnx([layer], size))
        for value in self.network.parameters():
            value.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        found = self.network(images)[self.layer]
        mean = found.mean((2, 3), keepdim=True)
        deviation = ((found - mean).square().mean((2, 3)) + FLAT).sqrt()
        return torch.cat([mean.flatten(1), deviation], 1)


class Embeddings(nn.Module):  # type: ignore[misc]
    """``image`` (1, H, W, 3) uint8 BGR -> ``PATCHES`` (1, d, rows, columns) and ``EMBEDDING`` (1, d, 1, 1).

    A patch is a tile, cut out before the network: a fully convolutional pass would see its
    neighbours where the patch network saw zero padding, and give other embeddings.

    Args:
        image, patch: the trained trunks, or None for those that aren't wanted.
        size: (H, W).
        stride, side: of the patches, in pixels.
        beside: what stands beside ``image``'s embedding, or in its place.
    """

    def __init__(
        self,
        image: Trunk | None,
        patch: Trunk | None,
        size: Size,
        stride: int,
        side: int,
        beside: Untrained | None = None,
    ) -> None:
        super().__init__()
        self.image, self.patch, self.side, self.beside = image, patch, side, beside
        self.grid = (0, 0) if patch is None else patch_grid(size, stride, side)
        for axis, count in zip(("rows", "columns"), self.grid, strict=True):
            index = (torch.arange(count)[:, None] * stride + torch.arange(side)).flatten()
            self.register_buffer(axis, index)

    def tiles(self, image: torch.Tensor) -> torch.Tensor:
        """(rows * columns, side, side, 3) float32, row by row; cast first: TensorRT moves no bytes."""
        down, across = self.grid
        repeated = image.float()[0].index_select(0, self.rows).index_select(1, self.columns)
        apart = repeated.reshape(down, self.side, across, self.side, 3)
        return apart.permute(0, 2, 1, 3, 4).reshape(down * across, self.side, self.side, 3)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        maps = {}
        if self.patch is not None:
            tiles = self.tiles(image)
            found = [self.patch(tiles[i : i + TILES]) for i in range(0, len(tiles), TILES)]
            rows = found[0] if len(found) == 1 else torch.cat(found)
            maps[PATCHES] = rows.reshape(1, *self.grid, -1).permute(0, 3, 1, 2)
        whole = [network(image) for network in (self.image, self.beside) if network is not None]
        if whole:
            maps[EMBEDDING] = torch.cat(whole, 1)[:, :, None, None]
        return maps


__all__ = ["Embeddings", "Trunk", "Untrained", "make_head"]
