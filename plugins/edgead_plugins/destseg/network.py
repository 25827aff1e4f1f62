"""DeSTSeg's three networks: the frozen teacher, the denoising student, and the segmentation network."""

from __future__ import annotations

from collections.abc import Sequence

from edgead.errors import OptionError
from edgead.types import Backbone, InputSpec, Size
from edgead_plugins.backbones.graphs import cut
from edgead_plugins.destseg.options import LOGITS, STUDENT, TEACHER
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import functional, nn, torch

STRIDES = (4, 8, 16)
RATES = (6, 12, 18)
"""Of the dilated convolutions of atrous spatial pyramid pooling; the paper's."""


class BasicBlock(nn.Module):  # type: ignore[misc]
    """ResNet's: two 3 x 3 convolutions with BatchNorm, around them a shortcut.

    Args:
        relu: end with ReLU; False where the result is to have values below 0.
        still: begin as the shortcut alone, the last BatchNorm's scale being 0 (Goyal et al. 2017).
    """

    def __init__(
        self, entering: int, leaving: int, stride: int = 1, relu: bool = True, still: bool = False
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(leaving)
        self.second = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(leaving)
        self.shortcut = nn.Sequential()
        if stride != 1 or entering != leaving:
            self.shortcut = nn.Sequential(
                nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving)
            )
        self.relu = relu
        if still:
            nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.first_norm(self.first(x)))
        total = self.second_norm(self.second(inner)) + self.shortcut(x)
        return functional.relu(total) if self.relu else total


def _stage(
    entering: int, leaving: int, stride: int = 1, relu: bool = True, still: bool = False
) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(entering, leaving, stride, still=still),
        BasicBlock(leaving, leaving, relu=relu, still=still),
    )


def _convolve(entering: int, leaving: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(entering, leaving, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU(),
    )


class Student(nn.Module):  # type: ignore[misc]
    """ResNet-18 as encoder, and the same in reverse as decoder, from scratch.

    The encoder's residual blocks begin as their shortcuts, as in the authors' code; the decoder's don't.
    Each of the decoder's stages but its first begins with bilinear enlargement to twice the size; the last
    three yield what the teacher's maps are compared with.

    Args:
        channels: of the teacher's maps at stride 4, 8 and 16.
        signed: whether each of them has values below 0; the stage then ends without ReLU.
        width: channels of the encoder's first stage; ResNet-18's is 64.
    """

    def __init__(self, channels: Sequence[int], signed: Sequence[bool], width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.encoder = nn.Sequential(
            _stage(width, width, still=True),
            *(_stage(width << i, width << (i + 1), 2, still=True) for i in range(3)),
        )
        deepest = width * 8
        wide = [deepest, *reversed(channels)]
        self.bottom = _stage(deepest, deepest)
        self.decoder = nn.ModuleList(
            _stage(entering, leaving, relu=not below)
            for entering, leaving, below in zip(wide[:-1], wide[1:], reversed(signed), strict=True)
        )
        _initialise(self)

    def forward(self, x: torch.Tensor, unit: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> maps of stride 4, 8 and 16; x times ``unit`` (3,) is the normalised image."""
        weight = self.stem.weight * unit[None, :, None, None]
        x = functional.relu(self.stem_norm(functional.conv2d(x, weight, None, 2, 3)))
        x = self.bottom(self.encoder(functional.max_pool2d(x, 3, 2, 1)))
        maps = []
        for stage in self.decoder:
            x = stage(functional.interpolate(x, scale_factor=2.0, mode="bilinear"))
            maps.append(x)
        return maps[::-1]


class Segmentation(nn.Module):  # type: ignore[misc]
    """Where teacher and student differ -> the logit of an anomaly, at stride 4.

    Two residual blocks, atrous spatial pyramid pooling (Chen et al., DeepLabv3, arXiv 1706.05587), one
    3 x 3 convolution and one of 1 x 1. The pyramid is that of the authors' code: dilated convolutions and a
    pooled branch, no 1 x 1 one, brought together by a 3 x 3 convolution.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.residual = _stage(channels, width)
        self.head = nn.ModuleDict(
            {
                **{f"dilated_{rate}": _convolve(width, width, 3, rate) for rate in RATES},
                "pooled": _convolve(width, width, 1),
                "project": _convolve((len(RATES) + 1) * width, width, 3),
                "smooth": _convolve(width, width, 3),
                "last": nn.Conv2d(width, 1, 1),
            }
        )
        _initialise(self.residual)  # the head keeps torch's own, as in the paper's code

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, 1, h, w)."""
        x = self.residual(x)
        head = self.head
        found = [head[f"dilated_{rate}"](x) for rate in RATES]
        found.append(head["pooled"](x.mean((2, 3), keepdim=True)).expand_as(x))
        return head["last"](head["smooth"](head["project"](torch.cat(found, 1))))


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class Networks(nn.Module):  # type: ignore[misc]
    """All three on one image.

    Args:
        backbone: the teacher; its weights stay what they are.
        layers: its maps of stride 4, 8 and 16.
        size: (H, W) of the images, multiples of 32.
        student_width, width: of student and segmentation network.
        probe: (n, H, W, 3) uint8, good images, to see where the teacher's values are below 0.
        segment: have ``forward`` yield the segmentation's logits, else the maps of teacher and student.

    Raises:
        OptionError: the backbone can't be run in torch, or a map isn't of the stride that it should be.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        size: Size,
        student_width: int,
        width: int,
        probe: torch.Tensor,
        segment: bool = True,
    ) -> None:
        super().__init__()
        self.layers, self.segment = tuple(layers), segment
        model = backbone.onnx(list(layers), size)
        self.teacher = OnnxModule(backbone.name, model)
        if not self.teacher.first_convolution:
            raise OptionError(
                f"destseg: '{backbone.name}' has no convolution that reads the image: use a CNN as teacher"
            )
        self.preprocessing = OnnxModule(backbone.name, cut(model, [self.teacher.first_convolution]))
        for value in self.teacher.parameters():
            value.requires_grad_(False)
        self.register_buffer("unit", self._unit(backbone.input, size))
        with torch.no_grad():
            maps, _ = self.look(probe)
        for layer, stride, found in zip(layers, STRIDES, maps, strict=True):
            if found.shape[2:] != (size[0] // stride, size[1] // stride):
                h, w = found.shape[2:]
                raise OptionError(
                    f"destseg: '{layer}' of '{backbone.name}' is {h} x {w}, not {size[0] // stride} x "
                    f"{size[1] // stride}: choose another with -o layers="
                )
        channels = [int(found.shape[1]) for found in maps]
        self.student = Student(channels, [float(found.min()) < 0 for found in maps], student_width)
        self.segmentation = Segmentation(sum(channels), width)

    def look(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The teacher's maps of (N, H, W, 3) uint8 BGR, and the image as its first convolution reads it."""
        shown: list[torch.Tensor] = []

        def show(x: torch.Tensor) -> torch.Tensor:
            shown.append(x)
            return x

        maps = self.teacher(images, {self.teacher.first_convolution: show})
        return [maps[name] for name in self.layers], shown[0]

    def show(self, images: torch.Tensor) -> torch.Tensor:
        """The image alone, as ``look`` shows it."""
        (shown,) = self.preprocessing(images).values()
        return shown

    def denoise(self, shown: torch.Tensor) -> list[torch.Tensor]:
        """The student's maps of what ``look`` or ``show`` has shown."""
        # The image comes with its channels last, a layout in which torch 2.15 crashes on two CPU threads: the
        # gradient of a 1 x 1 convolution of stride 2 with few channels is a segmentation fault in oneDNN.
        maps: list[torch.Tensor] = self.student(shown.contiguous(), self.unit)
        return maps

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See ``segment``."""
        teacher, shown = self.look(images)
        student = self.denoise(shown)
        if self.segment:
            return {LOGITS: self.segmentation(products(teacher, student))}
        pairs = enumerate(zip(teacher, student, strict=True), 1)
        return {
            f"{name}{n}": m for n, pair in pairs for name, m in zip((TEACHER, STUDENT), pair, strict=True)
        }

    def _unit(self, spec: InputSpec, size: Size) -> torch.Tensor:
        """(3,): what the image that the first convolution reads has to be multiplied by to be normalised.

        A backbone's graph may have the division by the deviation folded into that convolution, or not.
        """
        with torch.no_grad():
            black, white = (
                self.show(torch.full((1, *size, 3), level, dtype=torch.uint8)) for level in (0, 255)
            )
        if black.shape[1] != 3:
            raise OptionError(
                f"destseg: the first convolution of '{self.teacher.name}' doesn't read the image itself"
            )
        std = torch.tensor(spec.std)
        if spec.channel_order == "rgb":
            std = std.flip(0)  # the graph's image is BGR; where std is folded in, so is the channels' order
        folded = bool(torch.allclose(white - black, torch.full_like(white, 255.0)))
        return 1 / std if folded else torch.ones(3)


def products(teacher: Sequence[torch.Tensor], student: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, all channels, h, w) of the finest map: minus the product, channel by channel, of maps brought to
    length 1 over their channels. Their sum over a layer's channels is minus the cosine."""
    size = teacher[0].shape[2:]
    each = []
    for a, b in zip(teacher, student, strict=True):
        product = -functional.normalize(a.float(), dim=1) * functional.normalize(b.float(), dim=1)
        if product.shape[2:] != size:
            product = functional.interpolate(product, size=tuple(size), mode="bilinear")
        each.append(product)
    return torch.cat(each, 1)


__all__ = ["BasicBlock", "Networks", "Segmentation", "Student", "products"]
