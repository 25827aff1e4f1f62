"""From names to parts: the registered method, backbone, scorer and post-processor of one fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import EdgeadError, OptionError, PluginError, UnknownNameError
from edgead.image_score import MAXIMUM, PAPER, ImageScore
from edgead.manifest import ChosenBy
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.types import (
    Backbone,
    ChecksCompute,
    ChoosesImageScore,
    Compute,
    LearnsDefects,
    LearnsPositions,
    Method,
    PostProcessor,
    Scorer,
    Size,
    Trainable,
)

SCORER_NEEDS = ("Options", "feature_maps", "embed", "fit")


@dataclass(frozen=True)
class Recipe:
    """What to fit: resolved parts, ready to use.

    Attributes:
        method: the method's registered name; ``scorer_name`` and ``postprocessor_name`` likewise.
        backbone, scorer, postprocessor: the parts themselves.
        options: the scorer's options, as the JSON object that the manifest records.
        provenance: who registered the scorer: distribution and version.
        final_fit: what the method prefers; see ``edgead.types.Method``.
        image_score: the method's own; see there.
        asked: the image score that the user or a preset named, or the only one that the post-processor has;
            None to choose.
        asked_by: which of these.
        size: (H, W) of the input that the preset is for, where it's for one.
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
    image_score: ImageScore = PAPER
    asked: ImageScore | None = None
    asked_by: ChosenBy = "user"
    size: Size | None = None

    def check_takes_defects(self) -> None:
        """Raise ``OptionError`` where the method can't learn from annotated defects."""
        if not (isinstance(self.scorer, LearnsDefects) and self.scorer.learns_defects):
            raise OptionError(
                f"{self.method} learns from good images alone: leave --defects out, or choose a method that "
                "learns from defects too"
            )

    def check_compute(self, compute: Compute) -> None:
        """Raise ``OptionError`` where no network can be trained so, or the scorer wouldn't heed it."""
        if isinstance(self.scorer, ChecksCompute):
            self.scorer.check_compute(compute)
        elif compute != Compute():
            why = "heeds no device" if isinstance(self.scorer, Trainable) else "trains no network"
            raise OptionError(f"{self.method} {why}: leave --device, --amp, --micro-batch and --workers out")

    def for_windows(self) -> Recipe:
        """The recipe for frames that are judged in windows, by the maximum of their maps.

        Raises:
            OptionError: the method learns where in a frame something lies, or another image score was asked
                for.
        """
        if isinstance(self.scorer, LearnsPositions) and self.scorer.learns_positions:
            raise OptionError(
                f"{self.method} learns what is usual at each place of a frame, and a window can lie anywhere "
                "of it: leave windows out, or choose a method that doesn't, patchcore for instance"
            )
        if self.asked not in (None, MAXIMUM) and self.asked_by == "user":
            raise OptionError(
                f"image score {self.asked}: a frame that is judged in windows has the maximum of its map; "
                "leave --image-score out"
            )
        by: ChosenBy = self.asked_by if self.asked == MAXIMUM else "windows"
        return dataclasses.replace(self, asked=MAXIMUM, asked_by=by)


def resolve(
    method: str,
    backbone: str | None = None,
    weights: Path | None = None,
    options: Iterable[str] = (),
    preset: str | None = None,
    image_score: ImageScore | None = None,
) -> Recipe:
    """Look up a method and everything it names.

    Args:
        method: a registered method.
        backbone: ``NAME``, ``NAME:ARGUMENT`` or a path that ends in ``.onnx``; None for the preset's, or the
            method's own.
        weights: the backbone's weights file, where it takes one.
        options: ``key=value`` pairs for the scorer.
        preset: one of the method's; ``options`` are changes to it.
        image_score: which number of the map it is; None for the preset's, or to choose while fitting.

    Raises:
        UnknownNameError: nobody registers a name, or the method has no such preset.
        OptionError: an option is unknown or wrong, or the method has no presets.
        PluginError: a plugin breaks its contract.
    """
    names = registry()
    recipe: Method = names.get("methods", method)()
    scorer_type = names.get("scorers", recipe.scorer)
    entry = names.entry("scorers", recipe.scorer)
    _check_scorer(scorer_type, entry)
    postprocessor = names.get("postprocessors", recipe.postprocessor)()
    can_choose = isinstance(postprocessor, ChoosesImageScore)
    if image_score not in (None, PAPER) and not can_choose:
        raise OptionError(
            f"{method}: its post-processor '{recipe.postprocessor}' has the paper's image score alone; leave "
            "--image-score out"
        )
    asked_by: ChosenBy = "user"
    if image_score is None and (preset == "paper" or not can_choose):
        image_score, asked_by = PAPER, "preset" if can_choose else "postprocessor"
    chosen = parse_options(scorer_type.Options, options, {**recipe.options, **_preset(recipe, preset)})
    return Recipe(
        method=method,
        scorer_name=recipe.scorer,
        postprocessor_name=recipe.postprocessor,
        backbone=_backbone(recipe, preset, backbone, weights),
        scorer=scorer_type(chosen),
        postprocessor=postprocessor,
        options=_as_json(chosen),
        provenance={"distribution": entry.distribution, "version": entry.version},
        final_fit=recipe.final_fit,
        image_score=recipe.image_score,
        asked=image_score,
        asked_by=asked_by,
        size=recipe.preset_sizes.get(preset or ""),
    )


def _backbone(method: Method, preset: str | None, asked: str | None, weights: Path | None) -> Backbone:
    published = method.preset_backbones.get(preset or "")
    if asked is not None or published is None:
        return open_backbone(asked or method.backbone, weights)
    try:
        return open_backbone(published, weights)
    except EdgeadError as error:
        error.args = (
            f"the preset '{preset}' of {method.name} is for the backbone {published}: {error}; or depart "
            f"from it with another, --backbone {method.backbone} for instance",
        )
        raise


def _check_scorer(scorer: Any, entry: Entry) -> None:
    """Before any image is read: a method that it lacks would show as an AttributeError somewhere inside."""
    if missing := [name for name in SCORER_NEEDS if not hasattr(scorer, name)]:
        raise PluginError(
            f"{entry.distribution} {entry.version}: scorer '{entry.name}' lacks {' and '.join(missing)}; see "
            f"edgead.types.Scorer, and `edgead plugins check {entry.name}`"
        )


def _preset(method: Method, name: str | None) -> Mapping[str, Any]:
    if name is None:
        return {}
    if not method.presets:
        raise OptionError(f"{method.name} has no presets: leave --preset out")
    if name not in method.presets:
        raise UnknownNameError("preset", name, method.presets)
    return method.presets[name]


def _as_json(options: Any) -> dict[str, Any]:
    """A frozen options dataclass as the JSON object that the manifest keeps."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
    }


def open_backbone(name: str, weights: Path | None = None) -> Backbone:
    """Open ``NAME``, ``NAME:ARGUMENT`` or ``PATH.onnx``; raises UnknownNameError, OptionError."""
    if name.endswith(".onnx") and not name.startswith("onnx:"):
        name = f"onnx:{name}"
    kind, _, argument = name.partition(":")
    backbone: Backbone = registry().get("backbones", kind)(argument, weights)
    return backbone


__all__ = ["Recipe", "open_backbone", "resolve"]
