"""DeSTSeg's options. The preset ``quick`` is the method's; see ``edgead_plugins.methods``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgead.errors import OptionError
from edgead_plugins.synthesis.textures import Rotation


@dataclass(frozen=True)
class DeSTSegOptions:
    """DeSTSeg's options; ``-o name=value``. The paper's image is ``--size 256``, its teacher a ResNet-18."""

    map: Literal["seg", "dest"] = "seg"
    """seg: the segmentation network's map; dest: the paper's baseline without it, the product over the layers
    of 1 - cos, which saves the second phase of the training."""
    textures: str = ""
    """Folder of images, any, that anomalies are filled with; the paper's is the Describable Textures Dataset.
    Empty: pictures that the project generates."""
    rotation: Rotation = "none"
    """How good images are turned in training. none: parts lie the same; small: by up to 5 degrees; any: by
    multiples of 90 and then up to 5. The paper's code chooses by class."""
    layers: tuple[str, ...] = ()
    """The teacher's three maps, of stride 4, 8 and 16; empty: its last of each."""
    top: int = 100
    """The image score is the mean of so many highest pixels of a map of 256 x 256, and of as large a share of
    others; the paper's code's."""
    student_steps: int = 1000
    """Updates of the student, the first phase; the paper's."""
    steps: int = 4000
    """Updates of the segmentation network, the second phase; the paper's."""
    batch_size: int = 32
    """Good images a step; the paper's. With fewer images than that, all."""
    student_rate: float = 0.4
    """Learning rate of the student; the paper's. Its loss is a sum over the batch: a smaller batch takes
    smaller steps at the same rate."""
    residual_rate: float = 0.1
    """Learning rate of the segmentation network's residual blocks; the paper's."""
    head_rate: float = 0.01
    """Learning rate of its head; the paper's."""
    student_width: int = 64
    """Channels of the student's first stage; the paper's 64 make it a ResNet-18."""
    width: int = 256
    """Channels of the segmentation network; the paper's."""
    momentum: float = 0.9
    """Of SGD; the paper's."""
    weight_decay: float = 1e-4
    """Of SGD; the paper's."""
    gamma: float = 4.0
    """Of the focal loss: how little pixels count that are right already; the paper's is 4."""
    bfloat16: bool = False
    """Train in BF16 where that's enough: about twice as fast on processors and accelerators that have it."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "top": self.top >= 1,
            "student_steps": self.student_steps >= 1,
            "steps": self.steps >= 1,
            "batch_size": self.batch_size >= 2,
            "student_rate": self.student_rate > 0,
            "residual_rate": self.residual_rate > 0,
            "head_rate": self.head_rate > 0,
            "student_width": self.student_width >= 1,
            "width": self.width >= 1,
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": self.weight_decay >= 0,
            "gamma": self.gamma >= 0,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"destseg: {name}={getattr(self, name)} is out of range; see `edgead methods destseg`"
                )
        if len(self.layers) not in (0, 3):
            raise OptionError(f"destseg: layers={','.join(self.layers)} must name three maps, finest first")


__all__ = ["DeSTSegOptions"]
