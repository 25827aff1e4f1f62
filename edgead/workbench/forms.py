"""The forms of one fit: the backbone in each precision, and the scorer fitted on each one's features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from edgead.errors import CompileError, OptionError
from edgead.types import (
    Arithmetic,
    Backbone,
    BankPrecision,
    FittedScorer,
    KeepsNodesInFloat,
    LearnsDefects,
    PostProcessor,
    Precision,
    Progress,
    Refittable,
    Scorer,
    Trainable,
    TrainingData,
)
from edgead.workbench.annotated import Defect
from edgead.workbench.features import training_on
from edgead.workbench.frames import Frames
from edgead.workbench.graph import compose
from edgead.workbench.quantize import calibration_indices, quantise_backbone


@dataclass(frozen=True)
class Recipe:
    """What to fit: resolved parts, ready to use.

    Attributes:
        method: the method's registered name; ``scorer_name`` and ``postprocessor_name`` likewise.
        backbone, scorer, postprocessor: the parts themselves.
        options: the scorer's options, as the JSON object that the manifest records.
        provenance: who registered the scorer: distribution and version.
        final_fit: what the method prefers; see ``edgead.types.Method``.
    """

    method: str
    scorer_name: str
    postprocessor_name: str
    backbone: Backbone
    scorer: Scorer
    postprocessor: PostProcessor
    options: Mapping[str, Any]
    provenance: Mapping[str, Any]
    final_fit: bool = True


def check_takes_defects(recipe: Recipe) -> None:
    """Raise ``OptionError`` where the method can't learn from annotated defects."""
    if not (isinstance(recipe.scorer, LearnsDefects) and recipe.scorer.learns_defects):
        raise OptionError(
            f"{recipe.method} learns from good images alone: leave --defects out, or choose a method that "
            "learns from defects too"
        )


def trained(
    recipe: Recipe,
    frames: Frames,
    seed: int,
    checkpoint: Path,
    progress: Progress,
    defects: tuple[Defect, ...] = (),
) -> Recipe:
    """The recipe with the network that its scorer trains, where it trains one, as the backbone."""
    if not isinstance(recipe.scorer, Trainable):
        return recipe
    examples = TrainingData(
        backbone=recipe.backbone,
        images=lambda: iter(frames),
        n_images=len(frames),
        size=frames.rule.size,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        defects=lambda: iter(defects),
    )
    return replace(recipe, backbone=recipe.scorer.train(examples))


def backbone_forms(
    recipe: Recipe, frames: Frames, precisions: Sequence[Precision], progress: Progress
) -> tuple[dict[Precision, onnx.ModelProto], dict[Precision, str]]:
    """The backbone in each precision asked for, FP32 first, calibrated on the frames where it's quantised.

    Returns:
        The graphs, and for each form that this backbone can't have, the reason.
    """
    plain = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), frames.rule.size)
    graphs: dict[Precision, onnx.ModelProto] = {"fp32": plain}
    if "bf16" in precisions:
        graphs["bf16"] = plain
    lacking: dict[Precision, str] = {}
    sample = frames.subset(calibration_indices(len(frames)))
    floats = recipe.backbone.float_nodes if isinstance(recipe.backbone, KeepsNodesInFloat) else ()
    quantised: tuple[Precision, ...] = ("mixed", "int8")
    for precision in (p for p in quantised if p in precisions):
        try:
            with progress(f"quantising the backbone ({precision})", None):
                graphs[precision] = quantise_backbone(plain, sample, precision == "mixed", floats)
        except CompileError as error:
            lacking[precision] = str(error)
    return graphs, lacking


def fit_forms(
    recipe: Recipe,
    backbones: Mapping[Precision, onnx.ModelProto],
    frames: Frames,
    seed: int,
    progress: Progress,
    save: Callable[[Precision, onnx.ModelProto], None],
    defects: tuple[Defect, ...] = (),
    checkpoint: Path | None = None,
) -> dict[Precision, Mapping[str, Any]]:
    """Fit and compose each form on the frames; where the scorer can, all forms keep what FP32 chose.

    Args:
        save: is given each form's graph, one at a time: some take hundreds of megabytes.
        defects: annotated ones, after the resize rule.
        checkpoint: a folder for what a training needs to go on after a kill.

    Returns:
        What each form's scorer tells about itself.
    """
    size = frames.rule.size
    chosen: FittedScorer | None = None
    facts: dict[Precision, Mapping[str, Any]] = {}
    for precision, backbone in backbones.items():
        arithmetic: Arithmetic = "bf16" if precision == "bf16" else "f32"
        bank: BankPrecision = "fp32" if precision == "fp32" else "int8"
        parts = recipe.backbone, recipe.scorer, frames, seed, progress
        with training_on(backbone, *parts, arithmetic, defects, checkpoint) as offer:
            fitted = chosen.refit(offer) if isinstance(chosen, Refittable) else recipe.scorer.fit(offer)
        if chosen is None and isinstance(fitted, Refittable):
            chosen = fitted
        save(precision, compose(backbone, recipe.scorer, fitted, recipe.postprocessor, size, bank))
        facts[precision] = fitted.facts
    return facts
