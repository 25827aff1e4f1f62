"""What the first-party plugins register besides backbones: scorers, post-processors and methods."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Method, Register

edgead_api = 1


def patchcore() -> Method:
    """PatchCore, as edgead recommends it."""
    return Method("patchcore", scorer="patchcore", paper="Roth et al., CVPR 2022, arXiv 2106.08265")


def padim() -> Method:
    """PaDiM, as edgead recommends it."""
    return Method("padim", scorer="padim", paper="Defard et al., ICPR 2020 workshops, arXiv 2011.08785")


def fyd() -> Method:
    """Focus Your Distribution, as edgead recommends it."""
    return Method(
        "fyd",
        scorer="fyd",
        paper="Zheng et al., arXiv 2110.04538",
        final_fit=False,
        presets={"quick": {"epochs": 20, "batch_size": 8, "learning_rate": 1e-4}, "paper": {}},
    )


def spade() -> Method:
    """SPADE, as edgead recommends it."""
    return Method("spade", scorer="spade", paper="Cohen and Hoshen 2020, arXiv 2005.02357")


def mkd() -> Method:
    """Multiresolution knowledge distillation, as edgead recommends it."""
    return Method(
        "mkd",
        scorer="mkd",
        paper="Salehi et al., CVPR 2021, arXiv 2011.11108",
        final_fit=False,
        presets={"quick": {"steps": 500, "batch_size": 16, "image_score": "map"}, "paper": {}},
    )


def cutpaste() -> Method:
    """CutPaste, as edgead recommends it."""
    return Method(
        "cutpaste",
        scorer="cutpaste",
        paper="Li et al., CVPR 2021, arXiv 2104.04015",
        final_fit=False,
        presets={"quick": {"steps": 150, "batch_size": 8, "patch_stride": 16}, "paper": {}},
    )


def uninformed_students() -> Method:
    """Uninformed Students, as edgead recommends it."""
    return Method(
        "uninformed-students",
        scorer="uninformed-students",
        paper="Bergmann et al., CVPR 2020, arXiv 1911.02357",
        final_fit=False,
        presets={"quick": UNINFORMED_STUDENTS_QUICK, "paper": {}},
    )


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
"""Minutes on a CPU; ours."""


def dmad() -> Method:
    """DMAD, as edgead recommends it."""
    return Method(
        "dmad",
        scorer="dmad",
        paper="Hu et al. 2024, arXiv 2403.12362",
        final_fit=False,
        presets={
            "quick": {"coreset_ratio": 0.01, "hidden": 256, "steps": 300, "batch_size": 256},
            "paper": {},
        },
    )


def destseg() -> Method:
    """DeSTSeg, as edgead recommends it."""
    return Method(
        "destseg",
        scorer="destseg",
        postprocessor="bilinear",
        paper="Zhang et al., CVPR 2023, arXiv 2211.11317",
        final_fit=False,
        presets={"quick": DESTSEG_QUICK, "paper": {}},
    )


DESTSEG_QUICK = {
    "map": "dest",
    "student_steps": 200,
    "steps": 500,
    "batch_size": 4,
    "head_rate": 0.1,
    "student_width": 32,
    "width": 64,
}
"""Minutes on a CPU; ours. ``-o map=seg`` adds the segmentation, whose 500 steps are too few to be of use."""


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
    register("patchcore", patchcore, "memory bank of good patches; strong on textures and objects")
    register("padim", padim, "a Gaussian per position; small and fast to fit, for parts that lie the same")
    register("spade", spade, "compares with the most similar good images, position by position of a gallery")
    register("fyd", fyd, "padim on a backbone trained to align the parts; needs torch")
    register("mkd", mkd, "a small network copies the backbone on good images; needs torch")
    register("cutpaste", cutpaste, "a network learns to see pieces pasted in wrong places; needs torch")
    register(
        "uninformed-students",
        uninformed_students,
        "students copy a teacher of small patches on good images; needs torch",
    )
    register("dmad", dmad, "one model for several products, and for a few annotated defects; needs torch")
    register("destseg", destseg, "a student takes synthetic anomalies away, and says where; needs torch")
