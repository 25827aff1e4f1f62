"""Every number of the presets called ``paper``, once more, each with where it's from, or the word "ours"."""

from __future__ import annotations

import dataclasses

import pytest

from edgead.errors import EdgeadError
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.progress import silent
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve
from tests.bundles import good_image, write_images

PAPER, CODE, PUBLIC = "the paper", "the authors' code", "public code"
NOTES = "notes on the paper, which couldn't be verified"
DERIVATIVE, CHOICE, OURS = "a derivative's code", "the paper's choice, no number", "ours"

DENSITY = {
    "dimensions": (100, PAPER),
    "draws": (1, PAPER),
    "form": ("full", CHOICE),
    "upsampling": ("nearest", PUBLIC),
    "ridge": (0.01, PAPER),
}
NUMBERS = {
    "patchcore": {
        "size": ((224, 224), PAPER),
        "backbone": ("wide_resnet50_2", PAPER),
        "patch_size": (3, PAPER),
        "width": (1024, CODE),
        "coreset_ratio": (0.1, PAPER),
        "projection": (128, CODE),
        "neighbors": (1, PAPER),
        "reweighting": (9, PUBLIC),
        "search": ("exact", CHOICE),
    },
    "padim": {"size": ((224, 224), PUBLIC), "backbone": ("resnet18", PAPER), **DENSITY},
    "spade": {
        "size": ((224, 224), PAPER),
        "backbone": ("wide_resnet50_2", PAPER),
        "pooled": ("last", PAPER),
        "neighbors": (50, PAPER),
        "gallery": ("exact", CHOICE),
        "correspondence": ("pyramid", CHOICE),
        "squared": (True, CHOICE),
    },
    "fyd": {
        "size": ((224, 224), DERIVATIVE),
        "backbone": ("resnet18", OURS),
        **DENSITY,
        "align_image": (True, CHOICE),
        "align_features": (True, CHOICE),
        "max_rotation": (10.0, OURS),
        "max_scale": (0.1, OURS),
        "max_shift": (0.1, OURS),
        "restore": (True, OURS),
        "epochs": (50, DERIVATIVE),
        "batch_size": (32, DERIVATIVE),
        "learning_rate": (1e-4, DERIVATIVE),
        "stop_worn": (0.0, OURS),
        "image_learning_rate": (0.01, DERIVATIVE),
        "momentum": (0.9, DERIVATIVE),
    },
    "mkd": {
        "size": ((128, 128), CODE),
        "backbone": ("timm:vgg16", PAPER),
        "pool": (True, CODE),
        "normalise": (False, CODE),
        "weighted": ("value", CODE),
        "weight": (0.5, CODE),
        "score_layers": (3, CODE),
        "image_score": ("whole", CHOICE),
        "cloner_width": (16, CODE),
        "epochs": (601, CODE),
        "batch_size": (64, CODE),
        "learning_rate": (1e-3, CODE),
    },
    "cutpaste": {
        "size": ((256, 256), PAPER),
        "backbone": ("resnet18", PAPER),
        "level": ("both", CHOICE),
        "task": ("3-way", CHOICE),
        "steps": (65536, NOTES),
        "batch_size": (32, PUBLIC),
        "learning_rate": (0.03, PAPER),
        "momentum": (0.9, PAPER),
        "weight_decay": (3e-5, PAPER),
        "frozen_steps": (20, PUBLIC),
        "head_layers": (2, PUBLIC),
        "jitter": (0.1, PUBLIC),
        "translation": (0.05, OURS),
        "keep_better": (False, CHOICE),
        "beside": (False, CHOICE),
        "patch_size": (64, PAPER),
        "patch_stride": (4, NOTES),
        "normalise": (True, PUBLIC),
    },
    "uninformed-students": {
        "size": ((256, 256), PAPER),
        "backbone": ("resnet18", PAPER),
        "scales": ((17, 33, 65), PAPER),
        "students": (3, PAPER),
        "stride": (1, PAPER),
        "width": (1.0, PAPER),
        "batch_size": (1, PUBLIC),
        "crop": (0, CHOICE),
        "learning_rate": (1e-4, PAPER),
        "decay": (False, PUBLIC),
        "weight_decay": (1e-5, PAPER),
        "image_score": ("max", CHOICE),
        "variance_weight": (1.0, PAPER),
        "usual": ("map", PAPER),
        "heldout": (0.2, OURS),
        "teacher_steps": (50_000, NOTES),
        "teacher_batch": (64, PUBLIC),
        "teacher_learning_rate": (2e-4, PAPER),
        "zoom": (224, OURS),
        "distillation": (1.0, OURS),
        "metric": (0.0, PAPER),
        "compactness": (1.0, OURS),
    },
    "dmad": {
        "size": ((224, 224), OURS),
        "backbone": ("wide_resnet50_2", CODE),
        "patch_size": (3, CODE),
        "width": (0, CODE),
        "coreset_ratio": (0.02, CODE),
        "bank_rows": (20000, OURS),
        "noise": (0.5, OURS),
        "negatives": ("projected", CODE),
        "projected_noise": (0.015, CODE),
        "reading": ("paper", CHOICE),
        "neighbors": (3, OURS),
        "signed": (True, CODE),
        "pseudo": ("fused", CHOICE),
        "texture_images": (32, OURS),
        "texture_ratio": (0.1, CODE),
        "centre_std": (0.015, CODE),
        "covered": ("any", CODE),
        "hidden": (1024, CODE),
        "pseudo_weight": (1.0, CODE),
        "observed_weight": (10.0, CODE),
        "steps": (5000, OURS),
        "batch_size": (4096, OURS),
        "learning_rate": (2e-4, CODE),
        "weight_decay": (1e-5, CODE),
        "search": ("exact", CHOICE),
    },
    "destseg": {
        "size": ((256, 256), PAPER),
        "backbone": ("resnet18", PAPER),
        "map": ("seg", CHOICE),
        "rotation": ("none", OURS),
        "cracks": (0.0, PAPER),
        "top": (100, CODE),
        "student_steps": (1000, CODE),
        "steps": (4000, CODE),
        "batch_size": (32, PAPER),
        "student_rate": (0.4, PAPER),
        "residual_rate": (0.1, PAPER),
        "head_rate": (0.01, PAPER),
        "student_width": (64, PAPER),
        "width": (256, CODE),
        "momentum": (0.9, CODE),
        "weight_decay": (1e-4, CODE),
        "gamma": (4.0, PAPER),
    },
}
LEFT = {
    "bank_mib",
    "gallery_mib",
    "layer",
    "layers",
    "memory_mib",
    "rank",
    "search_bound",
    "teacher",
    "teacher_images",
    "textures",
}
"""Options that are resources, files or names, or belong to a choice that the preset doesn't make."""
NONE = {("padim", "rank"), ("fyd", "rank"), ("mkd", "steps"), ("uninformed-students", "steps")}
NONE |= {("spade", "rows"), ("dmad", "centre_samples")}
"""Those whose default means the paper's: as many passes as published, as many draws as were observed."""


def method_of(name):
    return registry().get("methods", name)()


def test_all_nine_are_here():
    names = {entry.name for entry in registry().entries("methods") if entry.distribution == "edgead"}
    assert names == set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_paper_preset_is_the_published_numbers_and_all_of_them(name):
    method, numbers = method_of(name), NUMBERS[name]
    assert all(source for _, source in numbers.values())
    assert method.preset_sizes["paper"] == numbers["size"][0]
    assert method.preset_backbones["paper"] == numbers["backbone"][0]
    wanted = {key: value for key, (value, _) in numbers.items() if key not in ("size", "backbone")}
    assert dict(method.presets["paper"]) == wanted
    kind = registry().get("scorers", method.scorer).Options
    options = {field.name for field in dataclasses.fields(kind)}
    assert options - set(wanted) - LEFT == {key for owner, key in NONE if owner == name} - LEFT
    parsed = parse_options(kind, [], method.presets["paper"])
    assert all(getattr(parsed, key) == value for key, value in wanted.items())


@pytest.mark.parametrize("name", [n for n in NUMBERS if n not in ("patchcore", "padim", "spade")])
def test_quick_names_what_it_gives_up(name):
    told = method_of(name).preset_notes["quick"]
    assert told.startswith("gives up ") and len(told) > 40


def test_a_presets_size_and_backbone_count_where_none_is_named(tmp_path):
    with pytest.raises(
        EdgeadError, match=r"preset 'paper' of padim is for the backbone resnet18: .*--weights .*"
    ):
        resolve("padim", preset="paper")
    recipe = resolve("padim", "default", preset="paper")
    assert recipe.size == (224, 224) and recipe.backbone.name == "default"
    recipe = dataclasses.replace(recipe, size=(64, 64))
    images = write_images(tmp_path / "good", [good_image(i) for i in range(8)])
    settings = Settings(holdout=0.3, precisions=("fp32",), folds=0, final_fit=False)
    found = fit(recipe, images, settings, tmp_path / "a.edgead", silent)
    assert found.bundle.manifest.input.size == (64, 64) and "as the preset has it" in str(found.why)
    asked = dataclasses.replace(settings, size=(96, 64))
    found = fit(recipe, images, asked, tmp_path / "b.edgead", silent)
    assert found.bundle.manifest.input.size == (96, 64) and "as asked for" in str(found.why)


def test_the_command_tells_them(capsys):
    from edgead.cli import main

    assert main(["methods", "cutpaste"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--size 256x256, --backbone resnet18" in told and "gives up 150 steps" in told
