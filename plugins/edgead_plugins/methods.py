"""What the first-party plugins register besides backbones: scorers, post-processors and methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from edgead.hookspecs import hookimpl
from edgead.image_score import TOP_SHARE, ImageScore
from edgead.types import Method, Register

edgead_api = 1


def _plain(
    name: str, paper: str, image_score: ImageScore = TOP_SHARE, published: Mapping[str, Any] | None = None
) -> Method:
    """A method that needs no training.

    Args:
        published: what the preset ``paper`` changes.
    """
    return Method(name, scorer=name, paper=paper, presets={"paper": published or {}}, image_score=image_score)


def _trained(name: str, paper: str, quick: dict[str, Any], postprocessor: str = "gaussian") -> Method:
    """A method that trains for long, so it is fitted once.

    Args:
        quick: the preset that takes minutes on a CPU. The defaults are the preset ``paper``.
    """
    presets = {"quick": quick, "paper": {}}
    return Method(name, name, postprocessor, paper=paper, final_fit=False, presets=presets)


PATCHCORE = partial(
    _plain, "patchcore", "Roth et al., CVPR 2022, arXiv 2106.08265", published={"search": "exact"}
)
PADIM = partial(_plain, "padim", "Defard et al., ICPR 2020 workshops, arXiv 2011.08785")
SPADE_PAPER = {"neighbors": 50, "gallery": "exact", "correspondence": "pyramid", "squared": True}
SPADE = partial(_plain, "spade", "Cohen and Hoshen 2020, arXiv 2005.02357", published=SPADE_PAPER)

FYD_QUICK = {"epochs": 20, "batch_size": 8, "learning_rate": 1e-4}
FYD = partial(_trained, "fyd", "Zheng et al., arXiv 2110.04538", FYD_QUICK)

MKD_QUICK = {"steps": 500, "batch_size": 16, "image_score": "map"}
MKD = partial(_trained, "mkd", "Salehi et al., CVPR 2021, arXiv 2011.11108", MKD_QUICK)

CUTPASTE_QUICK = {"steps": 150, "batch_size": 8, "patch_stride": 16}
CUTPASTE = partial(_trained, "cutpaste", "Li et al., CVPR 2021, arXiv 2104.04015", CUTPASTE_QUICK)

UNINFORMED_STUDENTS_QUICK = {
    "stride": 4,
    "width": 0.25,
    "steps": 3000,
    "batch_size": 4,
    "crop": 32,
    "learning_rate": 2e-3,
    "decay": True,
    "teacher_steps": 2500,
    "teacher_learning_rate": 2e-3,
    "zoom": 32,
    "metric": 0.0,
    "compactness": 0.02,
}
UNINFORMED_STUDENTS = partial(
    _trained, "uninformed-students", "Bergmann et al., CVPR 2020, arXiv 1911.02357", UNINFORMED_STUDENTS_QUICK
)

DMAD_QUICK = {"coreset_ratio": 0.01, "hidden": 256, "steps": 300, "batch_size": 256}
DMAD = partial(_trained, "dmad", "Hu et al. 2024, arXiv 2403.12362", DMAD_QUICK)

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
DESTSEG = partial(_trained, "destseg", "Zhang et al., CVPR 2023, arXiv 2211.11317", DESTSEG_QUICK, "bilinear")


@hookimpl
def edgead_register_scorers(register: Register) -> None:
    register("patchcore", "edgead_plugins.patchcore:PatchCore", "distance to a coreset of good patches")
    register("padim", "edgead_plugins.padim:PaDiM", "Mahalanobis distance to each position's Gaussian")
    register("spade", "edgead_plugins.spade:Spade", "distance to the most similar good images' positions")
    register("fyd", "edgead_plugins.fyd:FYD", "PaDiM's density after learnt alignment")
    register("mkd", "edgead_plugins.mkd:MKD", "how far a cloner is from the source that it copies")
    register(
        "cutpaste", "edgead_plugins.cutpaste:CutPaste", "a Gaussian of embeddings that know pasted pieces"
    )
    register(
        "uninformed-students",
        "edgead_plugins.students:UninformedStudents",
        "how wrong students are about a teacher, and how much they disagree",
    )
    register("dmad", "edgead_plugins.dmad:DMAD", "what two banks, normal and abnormal, say about each patch")
    register("destseg", "edgead_plugins.destseg:DeSTSeg", "where a denoising student and its teacher differ")


@hookimpl
def edgead_register_postprocessors(register: Register) -> None:
    register(
        "gaussian", "edgead_plugins.postprocessors:Gaussian", "bilinear up-sampling, Gaussian of sigma 4"
    )
    register("bilinear", "edgead_plugins.destseg.upsampling:Bilinear", "bilinear up-sampling, not smoothed")


@hookimpl
def edgead_register_methods(register: Register) -> None:
    register(
        "patchcore", PATCHCORE, "distance to a memory bank of good patches; strong on textures and objects"
    )
    register(
        "padim", PADIM, "a Gaussian at each position; small and fast to fit, for parts that lie the same"
    )
    register("spade", SPADE, "compares with the most similar good images, position by position")
    register("fyd", FYD, "PaDiM on a backbone trained to align the parts; needs torch")
    register("mkd", MKD, "a small network learns to copy the backbone on good images; needs torch")
    register("cutpaste", CUTPASTE, "a network learns to see pieces pasted in wrong places; needs torch")
    register(
        "uninformed-students",
        UNINFORMED_STUDENTS,
        "students learn on good images to copy a teacher of small patches; needs torch",
    )
    register("dmad", DMAD, "one model for several products, and for a few annotated defects; needs torch")
    register("destseg", DESTSEG, "a student learns to remove synthetic defects, and shows where; needs torch")
