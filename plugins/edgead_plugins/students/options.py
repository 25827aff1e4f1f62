"""Uninformed Students' options, and the two presets that fill in what isn't given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgead.errors import OptionError

DESCRIPTOR = 128
"""Length of a descriptor; the paper's."""
SCALES = (17, 33, 65)
"""Sides of the patches; the paper's."""

Preset = Literal["paper", "quick"]


@dataclass(frozen=True)
class StudentsOptions:
    """Uninformed Students' options; ``-o name=value``. The paper's image is ``--size 256``."""

    preset: Preset = "paper"
    """What the options that aren't given are: the paper's, for a GPU; or quick, for minutes on a CPU."""
    scales: tuple[int, ...] = (33,)
    """Sides of the patches, of 17, 33 and 65: one scale, or the paper's ensemble of all three."""
    students: int = 3
    """How many students a scale has; the paper's is 3. With 1 there is no variance."""
    stride: Literal[1, 2, 4, 8] | None = None
    """Pixels between the patches that are scored; paper 1, quick 4."""
    width: float | None = None
    """Factor on the channels inside the patch networks; paper 1, quick 0.5."""
    steps: int | None = None
    """Updates of the students, an image each; paper: 100 passes over the images, quick 500."""
    learning_rate: float | None = None
    """Of the students' Adam; paper 0.0001, quick 0.001."""
    weight_decay: float = 1e-5
    """Of the students' and the teacher's Adam; the paper's."""
    heldout: float = 0.2
    """Share of the training images kept from the students, for the mean and spread of their scores."""
    teacher: str = ""
    """A .safetensors file with the teacher: read where it exists, else trained and written there. Empty:
    kept in the user's cache, so that the next product doesn't train it again."""
    teacher_images: str = ""
    """Folder of pictures to train the teacher on, with its subfolders; the paper's is ImageNet. Empty:
    pictures that edgead makes."""
    teacher_steps: int | None = None
    """Updates of the teacher; paper 50000, quick 2000."""
    teacher_batch: int = 64
    """Patches a step; the paper's is 64."""
    teacher_learning_rate: float | None = None
    """Of the teacher's Adam; paper 0.0002, quick 0.001."""
    layer: str = ""
    """Feature map of the backbone, averaged over its positions, that the teacher learns to give; empty: the
    deepest."""
    zoom: int | None = None
    """Side that a patch is enlarged to before the backbone sees it; paper 224, quick 64."""
    distillation: float = 1.0
    """Weight of the distance from the backbone's features."""
    metric: float | None = None
    """Weight of the triplet loss; paper 1, quick 0: it takes three patches instead of one."""
    compactness: float = 1.0
    """Weight of the correlations between a descriptor's dimensions."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "scales": bool(self.scales) and set(self.scales) <= set(SCALES),
            "students": self.students >= 1,
            "width": self.width is None or 0 < self.width <= 4,
            "steps": self.steps is None or self.steps >= 1,
            "learning_rate": self.learning_rate is None or self.learning_rate > 0,
            "weight_decay": self.weight_decay >= 0,
            "heldout": 0 < self.heldout < 1,
            "teacher_steps": self.teacher_steps is None or self.teacher_steps >= 1,
            "teacher_batch": self.teacher_batch >= 2,
            "teacher_learning_rate": self.teacher_learning_rate is None or self.teacher_learning_rate > 0,
            "zoom": self.zoom is None or self.zoom >= 16,
            "distillation": self.distillation >= 0,
            "metric": self.metric is None or self.metric >= 0,
            "compactness": self.compactness >= 0,
        }
        for name, good in checks.items():
            if not good:
                value = getattr(self, name)
                shown = ",".join(str(v) for v in value) if isinstance(value, tuple) else value
                raise OptionError(f"uninformed-students: {name}={shown} is out of range; see its help")
        if not self.distillation and self.metric == 0:
            raise OptionError(
                "uninformed-students: with distillation=0 and metric=0 the teacher learns nothing; raise one"
            )


@dataclass(frozen=True)
class Chosen:
    """What the options come to: the preset's value wherever none was given. Fields as in the options."""

    scales: tuple[int, ...]
    stride: int
    width: float
    steps: int
    learning_rate: float
    teacher_steps: int
    teacher_learning_rate: float
    zoom: int
    metric: float


EPOCHS = 100
"""Passes over the images in the paper."""
PRESETS: dict[Preset, dict[str, Any]] = {
    "paper": {
        "stride": 1,
        "width": 1.0,
        "learning_rate": 1e-4,
        "teacher_steps": 50_000,
        "teacher_learning_rate": 2e-4,
        "zoom": 224,
        "metric": 1.0,
    },
    "quick": {
        "stride": 4,
        "width": 0.5,
        "steps": 500,
        "learning_rate": 1e-3,
        "teacher_steps": 2000,
        "teacher_learning_rate": 1e-3,
        "zoom": 64,
        "metric": 0.0,
    },
}


def choose(options: StudentsOptions, n_images: int) -> Chosen:
    """Fill in the preset's values; the smallest scale comes first, each once."""
    preset = {"steps": EPOCHS * n_images, **PRESETS[options.preset]}
    given = {name: getattr(options, name) for name in preset}
    values = {name: preset[name] if value is None else value for name, value in given.items()}
    return Chosen(scales=tuple(sorted(set(options.scales))), **values)


__all__ = ["DESCRIPTOR", "EPOCHS", "PRESETS", "SCALES", "Chosen", "StudentsOptions", "choose"]
