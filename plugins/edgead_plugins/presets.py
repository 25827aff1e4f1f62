"""The presets of the nine methods: ``paper``, with every number, and ``quick``, with what it gives up.

``tests/plugins/test_presets.py`` has each published number a second time, with its source, or the word "ours"
where none is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """A method as published.

    Attributes:
        size: (H, W) of the model's input, in pixels.
        backbone: the registered name of the one that it was published with.
        options: every number of the scorer's, and every choice.
    """

    size: tuple[int, int]
    backbone: str
    options: Options


PATCHCORE = Published(
    (224, 224),
    "wide_resnet50_2",
    {
        "patch_size": 3,
        "width": 1024,
        "coreset_ratio": 0.1,
        "projection": 128,
        "neighbors": 1,
        "reweighting": 9,
        "search": "exact",
    },
)
PADIM = Published(
    (224, 224),
    "resnet18",
    {"dimensions": 100, "draws": 1, "form": "full", "upsampling": "nearest", "ridge": 0.01},
)
SPADE = Published(
    (224, 224),
    "wide_resnet50_2",
    {"pooled": "last", "neighbors": 50, "gallery": "exact", "correspondence": "pyramid", "squared": True},
)
FYD = Published(
    (224, 224),
    "resnet18",
    {
        **PADIM.options,
        "align_image": True,
        "align_features": True,
        "max_rotation": 10.0,
        "max_scale": 0.1,
        "max_shift": 0.1,
        "restore": True,
        "epochs": 50,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "stop_worn": 0.0,
        "image_learning_rate": 0.01,
        "momentum": 0.9,
    },
)
MKD = Published(
    (128, 128),
    "timm:vgg16",
    {
        "pool": True,
        "normalise": False,
        "weighted": "value",
        "weight": 0.5,
        "score_layers": 3,
        "image_score": "whole",
        "cloner_width": 16,
        "epochs": 601,
        "batch_size": 64,
        "learning_rate": 1e-3,
    },
)
CUTPASTE = Published(
    (256, 256),
    "resnet18",
    {
        "level": "both",
        "task": "3-way",
        "steps": 65536,
        "batch_size": 32,
        "learning_rate": 0.03,
        "momentum": 0.9,
        "weight_decay": 3e-5,
        "frozen_steps": 20,
        "head_layers": 2,
        "jitter": 0.1,
        "translation": 0.05,
        "keep_better": False,
        "beside": False,
        "patch_size": 64,
        "patch_stride": 4,
        "normalise": True,
    },
)
UNINFORMED_STUDENTS = Published(
    (256, 256),
    "resnet18",
    {
        "scales": (17, 33, 65),
        "students": 3,
        "stride": 1,
        "width": 1.0,
        "batch_size": 1,
        "crop": 0,
        "learning_rate": 1e-4,
        "decay": False,
        "weight_decay": 1e-5,
        "image_score": "max",
        "variance_weight": 1.0,
        "usual": "map",
        "heldout": 0.2,
        "teacher_steps": 50_000,
        "teacher_batch": 64,
        "teacher_learning_rate": 2e-4,
        "zoom": 224,
        "distillation": 1.0,
        "metric": 0.0,
        "compactness": 1.0,
    },
)
DMAD = Published(
    (224, 224),
    "wide_resnet50_2",
    {
        "patch_size": 3,
        "width": 0,
        "coreset_ratio": 0.02,
        "bank_rows": 20000,
        "noise": 0.5,
        "negatives": "projected",
        "projected_noise": 0.015,
        "reading": "paper",
        "neighbors": 3,
        "signed": True,
        "pseudo": "fused",
        "texture_images": 32,
        "texture_ratio": 0.1,
        "centre_std": 0.015,
        "covered": "any",
        "hidden": 1024,
        "pseudo_weight": 1.0,
        "observed_weight": 10.0,
        "steps": 5000,
        "batch_size": 4096,
        "learning_rate": 2e-4,
        "weight_decay": 1e-5,
        "search": "exact",
    },
)
DESTSEG = Published(
    (256, 256),
    "resnet18",
    {
        "map": "seg",
        "rotation": "none",
        "cracks": 0.0,
        "top": 100,
        "student_steps": 1000,
        "steps": 4000,
        "batch_size": 32,
        "student_rate": 0.4,
        "residual_rate": 0.1,
        "head_rate": 0.01,
        "student_width": 64,
        "width": 256,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "gamma": 4.0,
    },
)

FYD_QUICK = {"epochs": 20, "batch_size": 8}
MKD_QUICK = {"normalise": True, "steps": 500, "batch_size": 16, "image_score": "deep"}
CUTPASTE_QUICK = {"steps": 150, "batch_size": 8, "patch_stride": 16}
UNINFORMED_STUDENTS_QUICK = {
    "stride": 4,
    "width": 0.25,
    "steps": 3000,
    "batch_size": 4,
    "crop": 32,
    "learning_rate": 2e-3,
    "decay": True,
    "teacher": "default",
    "usual": "position",
}
DMAD_QUICK = {"coreset_ratio": 0.01, "hidden": 256, "steps": 300, "batch_size": 256}
# With -o map=seg this trains the segmentation too, in 500 steps, which are too few to be of use.
DESTSEG_QUICK = {
    "map": "dest",
    "student_steps": 200,
    "steps": 500,
    "batch_size": 4,
    "head_rate": 0.1,
    "student_width": 32,
    "width": 64,
}

GIVES_UP = {
    "fyd": "20 passes over the images instead of 50, in batches of 8 instead of 32",
    "mkd": "500 steps of 16 images instead of 601 passes in batches of 64, pixels from 0 to 1, and the "
    "paper's image score: it's that of the highest positions of one layer",
    "cutpaste": "150 steps of 8 images instead of 65,536 of 32, and patches 16 pixels apart instead of 4: a "
    "map a fourth as fine",
    "uninformed-students": "one scale of patches instead of three, a quarter of the channels, every fourth "
    "position, the teacher that comes with edgead instead of one of 50,000 steps on ImageNet, and 3,000 "
    "short steps of the students instead of 100 passes",
    "dmad": "half of the normal bank, a quarter of the scoring network's width, and 300 steps of 256 patches "
    "instead of 5,000 of 4,096",
    "destseg": "the segmentation network, and so its map and image score: the map is the paper's baseline; "
    "200 steps of 4 images for a student of half the width, instead of 1,000 of 32",
}
"""What each method's ``quick`` leaves out of what was published, its size and backbone besides."""

__all__ = [
    "CUTPASTE",
    "CUTPASTE_QUICK",
    "DESTSEG",
    "DESTSEG_QUICK",
    "DMAD",
    "DMAD_QUICK",
    "FYD",
    "FYD_QUICK",
    "GIVES_UP",
    "MKD",
    "MKD_QUICK",
    "PADIM",
    "PATCHCORE",
    "SPADE",
    "UNINFORMED_STUDENTS",
    "UNINFORMED_STUDENTS_QUICK",
    "Published",
]
