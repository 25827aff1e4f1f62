"""What the first-party plugins register besides backbones: scorers, post-processors and methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from edgead.hookspecs import hookimpl
from edgead.image_score import TOP_SHARE
from edgead.types import Method, Register
from edgead_plugins import presets
from edgead_plugins.presets import Published

edgead_api = 1


def _plain(name: str, paper: str, published: Published) -> Method:
    """A method that needs no training; its image score is the mean of the highest patch scores."""
    return Method(
        name,
        scorer=name,
        paper=paper,
        presets={"paper": published.options},
        preset_sizes={"paper": published.size},
        preset_backbones={"paper": published.backbone},
        image_score=TOP_SHARE,
    )


def _trained(
    name: str, paper: str, quick: Mapping[str, Any], published: Published, postprocessor: str = "gaussian"
) -> Method:
    """A method that trains for long, so it is fitted once.

    Args:
        quick: the preset that takes minutes on a CPU.
    """
    return Method(
        name,
        name,
        postprocessor,
        paper=paper,
        final_fit=False,
        presets={"quick": quick, "paper": published.options},
        preset_sizes={"paper": published.size},
        preset_backbones={"paper": published.backbone},
        preset_notes={"quick": f"gives up {presets.GIVES_UP[name]}"},
    )


PATCHCORE = partial(
    _plain, "patchcore", "Roth et al., CVPR 2022, arXiv 2106.08265", published=presets.PATCHCORE
)
PADIM = partial(
    _plain, "padim", "Defard et al., ICPR 2020 workshops, arXiv 2011.08785", published=presets.PADIM
)
SPADE = partial(_plain, "spade", "Cohen and Hoshen 2020, arXiv 2005.02357", published=presets.SPADE)
FYD = partial(_trained, "fyd", "Zheng et al., arXiv 2110.04538", presets.FYD_QUICK, presets.FYD)
MKD = partial(_trained, "mkd", "Salehi et al., CVPR 2021, arXiv 2011.11108", presets.MKD_QUICK, presets.MKD)
CUTPASTE = partial(
    _trained, "cutpaste", "Li et al., CVPR 2021, arXiv 2104.04015", presets.CUTPASTE_QUICK, presets.CUTPASTE
)
UNINFORMED_STUDENTS = partial(
    _trained,
    "uninformed-students",
    "Bergmann et al., CVPR 2020, arXiv 1911.02357",
    presets.UNINFORMED_STUDENTS_QUICK,
    presets.UNINFORMED_STUDENTS,
)
DMAD = partial(_trained, "dmad", "Hu et al. 2024, arXiv 2403.12362", presets.DMAD_QUICK, presets.DMAD)
DESTSEG = partial(
    _trained,
    "destseg",
    "Zhang et al., CVPR 2023, arXiv 2211.11317",
    presets.DESTSEG_QUICK,
    presets.DESTSEG,
    "bilinear",
)


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
