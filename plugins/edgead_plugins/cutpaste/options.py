"""CutPaste's vocabulary: its options, the trained network's maps, and where its patches lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgead.errors import OptionError
from edgead.options import Range, check_options
from edgead.types import Size
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Momentum, Positive, WholeNumber

EMBEDDING, PATCHES = "embedding", "patches"
"""The trained network's maps: (1, d, 1, 1) of the whole image, (1, d, rows, columns) of its patches."""
PATCH, PAPER_SIDE = 64, 256
"""Side of a patch, and of the image that it's of, in pixels; the paper's."""
LEAST_PATCH = 32
"""Side of the smallest patch: of less, a map of stride 16 has next to nothing to show."""

PAPER_RATE, PAPER_BATCH = 0.03, 32
"""SGD's learning rate, and the good images in a step that it's for; the paper's."""


@dataclass(frozen=True)
class CutPasteOptions:
    """CutPaste's options; ``-o name=value``. The paper's image is ``--size 256``, its network a ResNet-18."""

    level: Literal["both", "image", "patch"] = "both"
    """Which networks are trained. image: one for whole images, which gives the image score; patch: one for
    patches, which gives the map, and its maximum as image score; both: each for its own, as in the paper,
    which takes twice as long."""
    task: Literal["3-way", "cutpaste", "scar", "union"] = "3-way"
    """What the network learns to tell apart. 3-way: good, pasted patch, pasted scar (best in the paper);
    cutpaste: good and patch; scar: good and scar; union: good and either of the two."""
    layer: str = ""
    """Feature map whose mean is the embedding. Empty: the backbone's deepest, as in the paper."""
    steps: Count = 65536
    """Training steps of each network; 65536 in the paper (256 epochs of 256). A few hundred are enough for a
    first look."""
    batch_size: BatchSize = 32
    """Good images in a training step, each with its pasted copies; 32 in the paper, which makes 96 with
    task=3-way."""
    learning_rate: Positive | None = None
    """SGD's learning rate at the start, from where it falls to 0 along a cosine. none: the paper's 0.03 for
    its batch of 32, and of a smaller batch the same share of it (0.0075 with 8)."""
    momentum: Momentum = 0.9
    """SGD's momentum; 0.9 in the paper."""
    weight_decay: Factor = 3e-5
    """SGD's weight decay; 0.00003 in the paper."""
    frozen_steps: WholeNumber = 20
    """First training steps in which only the head learns; 20 in public code, for a pretrained network."""
    head_layers: WholeNumber = 2
    """Hidden layers of 512 in the classification head, before one of 128. The paper doesn't describe its
    head; 2 is what public code recommends."""
    jitter: Annotated[float, Range(0, 0.5)] = 0.1
    """Strength of the colour jitter of the image, and again of the pasted patch; 0.1 in the paper."""
    translation: Annotated[float, Range(0, 0.5)] = 0.05
    """Share of the side that a whole image is shifted by at most, either way, before anything is pasted; what
    it uncovers is mirrored. The paper shifts too, by how much isn't known; 0 doesn't."""
    keep_better: bool = True
    """Where training makes the network tell the gate's synthetic defects worse than the backbone did before,
    keep the backbone as it was. no: keep what was trained, as in the paper."""
    beside: bool = True
    """Have a whole image's embedding hold what the backbone saw before the training as well: mean and
    deviation of its map over the positions. Training on pasted pieces takes away what it doesn't need for
    them. no: the trained network's mean alone, as in the paper, which saves a pass of the backbone and its
    bytes."""
    patch_size: Annotated[int, Range(LEAST_PATCH, 512)] | None = None
    """Side of the patches in pixels. none: as large a part of the image as the paper's 64 of 256, a quarter
    of the shorter side (a multiple of 8), and no less than 32."""
    patch_stride: Annotated[int, Range(1, 512)] = 4
    """Pixels between patches; 4 in the paper, which makes 2,401 patches of an image of 256 x 256, each of
    which goes through the network. 16 makes 169."""
    normalise: bool = True
    """Scale embeddings to length 1 before the density, as public code does."""

    def __post_init__(self) -> None:
        check_options(self)

    def rate(self, batch: int) -> float:
        """The learning rate with so many good images in a step."""
        return PAPER_RATE * batch / PAPER_BATCH if self.learning_rate is None else self.learning_rate

    def patch(self, size: Size) -> int:
        """The patches' side in pixels, for images of a size (H, W).

        Raises:
            OptionError: they don't fit, or lie further apart than they are large.
        """
        share = min(size) * PATCH / PAPER_SIDE
        side = self.patch_size or max(LEAST_PATCH, 8 * round(share / 8))
        if side > min(size):
            raise OptionError(
                f"cutpaste: patches of {side} pixels don't fit into {size[0]} x {size[1]}: choose a larger "
                "--size or -o level=image"
            )
        if self.patch_stride > side:
            raise OptionError(
                f"cutpaste: patches of {side} pixels with {self.patch_stride} between them leave gaps; "
                f"choose -o patch_stride={side} or less"
            )
        return side


def patch_grid(size: Size, stride: int, patch: int) -> Size:
    """How many patches there are, down and across, of so many pixels a side."""
    return (size[0] - patch) // stride + 1, (size[1] - patch) // stride + 1


__all__ = ["EMBEDDING", "PAPER_SIDE", "PATCHES", "CutPasteOptions", "patch_grid"]
