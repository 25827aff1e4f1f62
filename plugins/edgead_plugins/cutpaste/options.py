"""CutPaste's vocabulary: its options, the trained network's maps, and where its patches lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgead.options import Range, check_options
from edgead.types import Size
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Momentum, Positive, WholeNumber

EMBEDDING, PATCHES = "embedding", "patches"
"""The trained network's maps: (1, d, 1, 1) of the whole image, (1, d, rows, columns) of its patches."""
PATCH = 64
"""Side of a patch in pixels; the paper's."""


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
    learning_rate: Positive = 0.03
    """SGD's learning rate at the start, from where it falls to 0 along a cosine; 0.03 in the paper."""
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
    patch_stride: Annotated[int, Range(1, PATCH)] = 4
    """Pixels between patches of 64 x 64; 4 in the paper, which makes 2,401 patches of an image of 256 x 256,
    each of which goes through the network. 16 makes 169."""
    normalise: bool = True
    """Scale embeddings to length 1 before the density, as public code does."""
    device: str = "auto"
    """Where to train: auto (a GPU where there is one), cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        check_options(self)


def patch_grid(size: Size, stride: int) -> Size:
    """How many patches there are, down and across."""
    return (size[0] - PATCH) // stride + 1, (size[1] - PATCH) // stride + 1


__all__ = ["EMBEDDING", "PATCH", "PATCHES", "CutPasteOptions", "patch_grid"]
