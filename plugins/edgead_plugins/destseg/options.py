"""DeSTSeg's vocabulary: its options, and what the trained networks' outputs are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgead.errors import OptionError
from edgead.options import Range, check_options
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Momentum, Positive
from edgead_plugins.synthesis.textures import Rotation

LOGITS, TEACHER, STUDENT = "logits", "teacher_", "student_"
"""What the trained networks' outputs are named; teacher's and student's with a number, the finest 1."""
FOUND = "synthetic_pixel_auroc"
"""Among the facts: how well the networks find fresh synthetic defects, 0.5 being chance."""


@dataclass(frozen=True)
class DeSTSegOptions:
    """DeSTSeg's options; ``-o name=value``. The paper's image is ``--size 256``, its teacher a ResNet-18."""

    map: Literal["seg", "dest"] = "seg"
    """Anomaly map. seg: the segmentation network's; dest: the paper's baseline without it, the product over
    the layers of 1 - cos, which saves the second phase of the training."""
    textures: str = ""
    """Folder of images of any kind that synthetic defects are filled with. The paper has the Describable
    Textures Dataset, whose licence is for research. Empty: pictures that edgead generates."""
    rotation: Rotation = "none"
    """How good images are turned in training. none: not at all; small: by up to 5 degrees; any: by multiples
    of 90 degrees (of 180 where the image isn't square), then by up to 5. The paper's code chooses by
    class."""
    cracks: Annotated[float, Range(0, 1)] = 0.0
    """Share of synthetic defects that are thin winding lines, 1 to 4 pixels of 256 wide, in place of the
    paper's blobs. With any, what the segmentation is to find includes each position that a defect touches,
    and not only those that it covers by half."""
    layers: tuple[str, ...] = ()
    """The teacher's three feature maps, of stride 4, 8 and 16. Empty: its last of each."""
    top: Count = 100
    """The image score is the mean of so many highest pixels of a map of 256 x 256, and of the same share of
    other sizes; 100 in the paper's code."""
    student_steps: Count = 1000
    """Training steps of the student, the first phase; 1000 in the paper."""
    steps: Count = 4000
    """Training steps of the segmentation network, the second phase, with map=seg only; 4000 in the paper."""
    batch_size: BatchSize = 32
    """Good images in a training step; 32 in the paper. With fewer images than that, all of them."""
    student_rate: Positive = 0.4
    """SGD's learning rate for the student, constant; 0.4 in the paper. The loss is a sum over the batch, so a
    smaller batch takes smaller steps at the same rate."""
    residual_rate: Positive = 0.1
    """SGD's learning rate for the segmentation network's residual blocks; 0.1 in the paper."""
    head_rate: Positive = 0.01
    """SGD's learning rate for the rest of the segmentation network; 0.01 in the paper."""
    student_width: Count = 64
    """Channels of the student's first stage; 64 in the paper, which makes it a ResNet-18."""
    width: Count = 256
    """Channels of the segmentation network; 256 in the paper."""
    momentum: Momentum = 0.9
    """SGD's momentum; 0.9 in the paper."""
    weight_decay: Factor = 1e-4
    """SGD's weight decay; 0.0001 in the paper."""
    gamma: Factor = 4.0
    """The focal loss's gamma: the larger, the less count pixels that are already right; 4 in the paper."""

    def __post_init__(self) -> None:
        check_options(self)
        if len(self.layers) not in (0, 3):
            raise OptionError(f"destseg: layers={','.join(self.layers)} must name three maps, finest first")


__all__ = ["FOUND", "LOGITS", "STUDENT", "TEACHER", "DeSTSegOptions"]
