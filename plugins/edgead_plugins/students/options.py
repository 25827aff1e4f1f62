"""Uninformed Students' vocabulary: its options, sizes, and what maps are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError
from edgead.options import Range, check_options
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Positive, WholeNumber

DESCRIPTOR = 128
"""Length of a descriptor; the paper's."""
EPOCHS = 100
"""Passes of the students over the images; the paper's."""
TEACHER, STUDENTS = "teacher_", "students_"
"""The trained network's maps are named so, with the side of the patches."""
ERROR, VARIANCE = "error_", "variance_"
"""What ``embed`` makes of them."""


@dataclass(frozen=True)
class StudentsOptions:
    """Uninformed Students' options; ``-o name=value``. The paper's image is ``--size 256``."""

    scales: tuple[Literal[17, 33, 65], ...] = (33,)
    """Sides of the patches in pixels: one scale, or the paper's ensemble of 17, 33 and 65."""
    students: Count = 3
    """Students at each scale; 3 in the paper. A single one gives no variance."""
    stride: Literal[1, 2, 4, 8] = 1
    """Pixels between the patches that are scored; 1 in the paper. 4 takes a sixth of the time."""
    width: Annotated[float, Range(0, 4, open_low=True)] = 1.0
    """Factor on the channels inside the patch networks; 1 in the paper. 0.5 takes a third of the time."""
    steps: Count | None = None
    """Training steps of the students. none: 100 passes over the images, as in the paper."""
    batch_size: Count = 1
    """Images in a training step; 1 in the paper. More need a crop: parts of several images teach more than a
    larger part of one."""
    crop: WholeNumber = 0
    """Side in pixels of the random part of an image that a training step learns from; parts at the border are
    drawn as often as others. 0: the whole image, as in the paper."""
    learning_rate: Positive = 1e-4
    """Adam's learning rate for the students; 0.0001 in the paper."""
    decay: bool = False
    """Let the students' learning rate fall to 0 along a cosine, for short trainings; it is constant in the
    paper."""
    weight_decay: Factor = 1e-5
    """Adam's weight decay for students and teacher; 0.00001 in the paper."""
    image_score: Literal["max", "mean"] = "max"
    """Image score. max: the highest value of the map, as in the paper; mean: the map's mean, which after a
    short training is less upset by the few positions where students are still wrong on good parts."""
    variance_weight: Factor = 1.0
    """Weight of the students' disagreement beside their error; 1 in the paper. Where they have learnt for a
    short time all are wrong alike, and their disagreement says little."""
    usual: Literal["map", "position"] = "map"
    """What errors and disagreement are measured against. map: one mean and deviation of all positions, as in
    the paper; position: those of each position and its neighbours, so that a border where students are always
    wrong doesn't hide a defect elsewhere."""
    heldout: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.2
    """Share of the good images that students don't learn from: the mean and spread of their errors is
    measured on these."""
    teacher: str = ""
    """default: the one that comes with edgead, for patches of 33 at a quarter of the channels. A .safetensors
    file: read where it exists, else trained and written there. Empty: trained, and kept in the user's cache,
    so that the next product doesn't train it again."""
    teacher_images: str = ""
    """Folder of pictures to train the teacher on, with its subfolders; ImageNet in the paper. Empty: pictures
    that edgead generates."""
    teacher_steps: Count = 50_000
    """Training steps of the teacher; 50000 in the paper."""
    teacher_batch: BatchSize = 64
    """Patches in a training step of the teacher; 64 in the paper."""
    teacher_learning_rate: Positive = 2e-4
    """Adam's learning rate for the teacher; 0.0002 in the paper."""
    layer: str = ""
    """The backbone's feature map, averaged over its positions, that the teacher learns to give. Empty: the
    deepest."""
    zoom: Annotated[int, Range(16)] = 224
    """Side in pixels that a patch is enlarged to before the backbone sees it."""
    distillation: Factor = 1.0
    """Weight of the distance to the backbone's features in the teacher's loss; 0 leaves the backbone out."""
    metric: Factor = 0.0
    """Weight of the triplet loss in the teacher's loss, which takes three patches instead of one. The paper
    has it in place of distillation, where there's no network to distil from: -o distillation=0 -o metric=1.
    0 leaves it out."""
    compactness: Factor = 1.0
    """Weight of the correlations between a descriptor's values in the teacher's loss."""

    def __post_init__(self) -> None:
        check_options(self)
        if not self.scales:
            raise OptionError("uninformed-students: scales= is empty; name 17, 33, 65 or several of them")
        if self.teacher not in ("", "default") and not self.teacher.endswith(".safetensors"):
            raise OptionError(
                f"uninformed-students: teacher={self.teacher} is no .safetensors file; name one to read, or "
                "to write where there is none yet, or take teacher=default"
            )
        if self.batch_size > 1 and not self.crop:
            raise OptionError(
                f"uninformed-students: batch_size={self.batch_size} goes with a crop; add -o crop=32, for one"
            )
        if not self.distillation and not self.metric:
            raise OptionError(
                "uninformed-students: with distillation=0 and metric=0 the teacher learns nothing; raise one"
            )


def held_out(n_images: int, share: float, seed: int) -> NDArray[np.bool_]:
    """(n,) which of the training images the students don't see; of one image, that one all the same."""
    count = max(1, min(round(n_images * share), n_images - 1))
    order = np.random.default_rng([seed, 23]).permutation(n_images)
    return np.isin(np.arange(n_images), order[:count])


__all__ = ["DESCRIPTOR", "EPOCHS", "ERROR", "STUDENTS", "TEACHER", "VARIANCE", "StudentsOptions", "held_out"]
