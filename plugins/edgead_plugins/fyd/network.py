"""FYD's network: a backbone whose image and stages are aligned, and the two losses that it learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edgead.errors import OptionError
from edgead.types import Backbone, Size
from edgead_plugins.fyd.options import ALIGNMENT
from edgead_plugins.fyd.transformer import (
    Bounds,
    Transformer,
    compose,
    exactly,
    grid,
    identity,
    inside,
    invert,
    sample,
)
from edgead_plugins.training.onnx_module import torch_backbone
from edgead_plugins.training.pytorch import functional, nn, torch


@dataclass(frozen=True)
class Pass:
    """What a pass yields: each stage's aligned map (N, C, h, w), and where that is no padding, (N, h, w).

    Attributes:
        image: the aligned image (N, 3, H, W) as the network sees it, and ``image_inside`` (N, H, W); None
            where images aren't aligned.
        transform: (N, 2, 3), from the image to the last stage.
    """

    maps: Mapping[str, torch.Tensor]
    inside: Mapping[str, torch.Tensor]
    image: torch.Tensor | None
    image_inside: torch.Tensor | None
    transform: torch.Tensor


class AlignedNetwork(nn.Module):  # type: ignore[misc]
    """``image`` (N, H, W, 3) uint8 BGR -> the stages' aligned maps and ``ALIGNMENT``.

    Args:
        backbone, stages, size: the network, its maps to align, the finest first, and the images' (H, W).
        image_bounds: of the image's transform, or None for textures.
        stage_bounds: of each stage's transform, or None.

    Raises:
        OptionError: the backbone can't be trained, or has no image that could be aligned.
    """

    def __init__(
        self,
        backbone: Backbone,
        stages: Sequence[str],
        size: Size,
        image_bounds: Bounds | None,
        stage_bounds: Bounds | None,
    ) -> None:
        super().__init__()
        self.stages, self.size = tuple(stages), size
        self.backbone = torch_backbone(backbone, stages, size)
        self.image_transformer = None
        if image_bounds is not None:
            if not self.backbone.first_convolution:
                raise OptionError(f"fyd: '{backbone.name}' has no convolution to align an image for: -o "
                                  "align_image=no")  # fmt: skip
            self.image_transformer = Transformer(3, size, image_bounds)
        self.transformers = nn.ModuleList()
        if stage_bounds is not None:
            shapes = self.shapes()
            for stage in self.stages:
                channels, h, w = shapes[stage]
                self.transformers.append(Transformer(channels, (h, w), stage_bounds))

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """(C, h, w) of each stage's map."""
        with torch.no_grad():
            found = self.backbone(torch.zeros(1, *self.size, 3, dtype=torch.uint8))
        return {name: tuple(value.shape[1:]) for name, value in found.items()}

    def prepare(self, images: torch.Tensor) -> None:
        """Set every transformer's gain from some images; they are at the identity, so the order is free."""
        seen: dict[str, torch.Tensor] = {}
        names = [*self.stages, self.backbone.first_convolution]

        def keep(name: str, value: torch.Tensor) -> torch.Tensor:
            seen[name] = value
            return value

        with torch.no_grad():
            self.backbone(images, {n: lambda value, n=n: keep(n, value) for n in names})
        if self.image_transformer is not None:
            self.image_transformer.prepare(seen[self.backbone.first_convolution])
        for stage, transformer in zip(self.stages, self.transformers, strict=False):
            transformer.prepare(seen[stage])

    def settle(self, images: Iterable[torch.Tensor]) -> None:
        """Make the mean of all good images' transforms the identity, one transformer after the other.

        Args:
            images: batches; gone through once a transformer, since each sees what the last one aligned.
        """
        batches = list(images)
        first = [] if self.image_transformer is None else [self.image_transformer]
        with torch.no_grad():
            for transformer in [*first, *self.transformers]:
                wishes: list[torch.Tensor] = []
                handle = transformer.register_forward_pre_hook(
                    lambda its, given, wishes=wishes: wishes.append(its.wish(given[0]))
                )
                for batch in batches:
                    self.run(batch)
                handle.remove()
                transformer.centre.copy_(torch.cat(wishes).mean(0))

    def run(self, images: torch.Tensor) -> Pass:
        """One pass with all that training needs."""
        maps: dict[str, torch.Tensor] = {}
        where: dict[str, torch.Tensor] = {}
        aligned: list[torch.Tensor] = []
        transform = identity(torch.zeros(len(images), device=images.device))

        def align_image(x: torch.Tensor) -> torch.Tensor:
            nonlocal transform
            assert self.image_transformer is not None
            with exactly(x):
                x = x.float() if x.dtype.itemsize < 4 else x
                transform = self.image_transformer(x)
                at = grid(transform, (x.shape[2], x.shape[3]))
                aligned.extend([sample(x, at), inside(at)])
            return aligned[0]

        def align_stage(number: int, x: torch.Tensor) -> torch.Tensor:
            nonlocal transform
            stage, h, w = self.stages[number], x.shape[2], x.shape[3]
            with exactly(x):
                if self.transformers:
                    x = x.float() if x.dtype.itemsize < 4 else x
                    own = self.transformers[number](x)
                    transform = compose(transform, own)
                    x = sample(x, grid(own, (h, w)))
                maps[stage] = x
                where[stage] = inside(grid(transform, (h, w)))
            return x

        after: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            stage: partial(align_stage, number) for number, stage in enumerate(self.stages)
        }
        if self.image_transformer is not None:
            after[self.backbone.first_convolution] = align_image
        self.backbone(images, after)
        image, image_inside = aligned or (None, None)
        return Pass(maps, where, image, image_inside, transform)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The maps by name, and ``ALIGNMENT`` where anything is aligned."""
        done = self.run(images)
        if self.image_transformer is None and not self.transformers:
            return dict(done.maps)
        return {**done.maps, ALIGNMENT: invert(done.transform).reshape(-1, 6, 1, 1)}


class Predictor(nn.Module):  # type: ignore[misc]
    """SimSiam's predictor for each position: a bottleneck beside the identity, which it starts as.

    A pretrained network is to stay what it is at first; a random predictor would pull it at random.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, channels // 4)
        self.change = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
        )
        nn.init.zeros_(self.change[-1].weight)
        nn.init.zeros_(self.change[-1].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> the same."""
        return x + self.change(x)


def similarity_loss(
    predicted: torch.Tensor, maps: torch.Tensor, inside: torch.Tensor, partner: torch.Tensor
) -> torch.Tensor:
    """Dense SimSiam: minus the mean cosine of each position's prediction and its partner's vector there.

    Symmetrised: with (i, j) the pair (j, i) is in it. The partner's vectors are not pulled (stop-gradient).

    Args:
        predicted, maps: (N, C, h, w).
        inside: (N, h, w); positions that are padding in either image don't count.
        partner: (N,), a permutation; who is compared with whom.
    """
    target = maps.detach()

    def one_way(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        weight = inside[a] * inside[b]
        cosine = functional.cosine_similarity(predicted[a], target[b], dim=1)
        return (cosine * weight).sum() / weight.sum().clamp_min(1)

    own = torch.arange(len(partner), device=partner.device)
    return -(one_way(own, partner) + one_way(partner, own)) / 2


def image_loss(image: torch.Tensor, inside: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of all pairs of aligned images of a batch, where neither is padding.

    Args:
        image: (N, 3, H, W); ``inside``: (N, H, W).
        gain: brings the pixels to a standard deviation of 1, so that a learning rate means the same for
            all images.
    """
    weight = inside.prod(0)
    pixels = image * gain
    variance = (pixels - pixels.mean(0, keepdim=True)).square().mean((0, 1))
    pairs = 2 * len(image) / max(len(image) - 1, 1)  # over i != j, the mean of |x_i - x_j|^2
    return pairs * (variance * weight).sum() / weight.sum().clamp_min(1)


__all__ = ["AlignedNetwork", "Pass", "Predictor", "image_loss", "similarity_loss"]
