"""Uninformed Students' options, the paper's by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgead.errors import OptionError

DESCRIPTOR = 128
"""Length of a descriptor; the paper's."""
SCALES = (17, 33, 65)
"""Sides of the patches; the paper's."""
EPOCHS = 100
"""Passes of the students over the images; the paper's."""


@dataclass(frozen=True)
class StudentsOptions:
    """Uninformed Students' options; ``-o name=value``. The paper's image is ``--size 256``."""

    scales: tuple[int, ...] = (33,)
    """Sides of the patches, of 17, 33 and 65: one scale, or the paper's ensemble of all three."""
    students: int = 3
    """How many students a scale has; the paper's is 3. With 1 there is no variance."""
    stride: Literal[1, 2, 4, 8] = 1
    """Pixels between the patches that are scored; the paper's is 1. 4 takes a sixth of the time."""
    width: float = 1.0
    """Factor on the channels inside the patch networks; the paper's is 1. 0.5 takes a third of the time."""
    steps: int | None = None
    """Updates of the students; unset: the paper's 100 passes over the images."""
    batch_size: int = 1
    """Images a step, over 1 with crop only; the paper's is 1. Parts of several images teach more than a
    larger part of one."""
    crop: int = 0
    """Side in pixels of the random part of an image that a step learns from; 0: the image, the paper's."""
    learning_rate: float = 1e-4
    """Of the students' Adam; the paper's is 0.0001."""
    decay: bool = False
    """Bring the students' learning rate to 0 along a cosine, ours, for short trainings; the paper's is
    constant."""
    weight_decay: float = 1e-5
    """Of the students' and the teacher's Adam; the paper's is 0.00001."""
    image_score: Literal["max", "mean"] = "max"
    """max: the highest value of the map, the paper's; mean: its mean, ours, which students that have learnt
    for minutes only don't spoil with the few positions where they are still wrong on good parts."""
    heldout: float = 0.2
    """Share of the training images kept from the students, for the mean and spread of their errors."""
    teacher: str = ""
    """A .safetensors file with the teacher: read where it exists, else trained and written there. Empty:
    kept in the user's cache, so that the next product doesn't train it again."""
    teacher_images: str = ""
    """Folder of pictures to train the teacher on, with its subfolders; the paper's is ImageNet. Empty:
    pictures that edgead makes."""
    teacher_steps: int = 50_000
    """Updates of the teacher; the paper's is 50000."""
    teacher_batch: int = 64
    """Patches a step; the paper's is 64."""
    teacher_learning_rate: float = 2e-4
    """Of the teacher's Adam; the paper's is 0.0002."""
    layer: str = ""
    """Feature map of the backbone, averaged over its positions, that the teacher learns to give; empty: the
    deepest."""
    zoom: int = 224
    """Side that a patch is enlarged to before the backbone sees it."""
    distillation: float = 1.0
    """Weight of the distance from the backbone's features."""
    metric: float = 1.0
    """Weight of the triplet loss, which takes three patches instead of one; 0 leaves it out."""
    compactness: float = 1.0
    """Weight of the correlations between a descriptor's dimensions."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "scales": bool(self.scales) and set(self.scales) <= set(SCALES),
            "students": self.students >= 1,
            "width": 0 < self.width <= 4,
            "steps": self.steps is None or self.steps >= 1,
            "crop": self.crop >= 0,
            "batch_size": self.batch_size == 1 or (self.batch_size > 1 and self.crop > 0),
            "learning_rate": self.learning_rate > 0,
            "weight_decay": self.weight_decay >= 0,
            "heldout": 0 < self.heldout < 1,
            "teacher_steps": self.teacher_steps >= 1,
            "teacher_batch": self.teacher_batch >= 2,
            "teacher_learning_rate": self.teacher_learning_rate > 0,
            "zoom": self.zoom >= 16,
            "distillation": self.distillation >= 0,
            "metric": self.metric >= 0,
            "compactness": self.compactness >= 0,
        }
        for name, good in checks.items():
            if not good:
                value = getattr(self, name)
                shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
                raise OptionError(
                    f"uninformed-students: {name}={shown} is out of range; see "
                    "`edgead methods uninformed-students`"
                )
        if not self.distillation and not self.metric:
            raise OptionError(
                "uninformed-students: with distillation=0 and metric=0 the teacher learns nothing; raise one"
            )


__all__ = ["DESCRIPTOR", "EPOCHS", "SCALES", "StudentsOptions"]
