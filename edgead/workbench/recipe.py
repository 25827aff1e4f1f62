"""From names to parts: the registered method, backbone, scorer and post-processor of one fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgead.errors import OptionError, PluginError, UnknownNameError
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.types import Backbone, Method
from edgead.workbench.fit import options_record
from edgead.workbench.forms import Recipe

SCORER_NEEDS = ("Options", "feature_maps", "embed", "fit")


def resolve(
    method: str,
    backbone: str | None = None,
    weights: Path | None = None,
    options: Iterable[str] = (),
    preset: str | None = None,
) -> Recipe:
    """Look up a method and everything it names.

    Args:
        method: a registered method.
        backbone: ``NAME``, ``NAME:ARGUMENT`` or a path that ends in ``.onnx``; None for the method's own.
        weights: the backbone's weights file, where it takes one.
        options: ``key=value`` pairs for the scorer.
        preset: one of the method's; ``options`` are changes to it.

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
    chosen = parse_options(scorer_type.Options, options, {**recipe.options, **_preset(recipe, preset)})
    return Recipe(
        method=method,
        scorer_name=recipe.scorer,
        postprocessor_name=recipe.postprocessor,
        backbone=open_backbone(backbone or recipe.backbone, weights),
        scorer=scorer_type(chosen),
        postprocessor=names.get("postprocessors", recipe.postprocessor)(),
        options=options_record(chosen),
        provenance={"distribution": entry.distribution, "version": entry.version},
        final_fit=recipe.final_fit,
    )


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


def open_backbone(name: str, weights: Path | None = None) -> Backbone:
    """Open ``NAME``, ``NAME:ARGUMENT`` or ``PATH.onnx``; raises UnknownNameError, OptionError."""
    if name.endswith(".onnx") and not name.startswith("onnx:"):
        name = f"onnx:{name}"
    kind, _, argument = name.partition(":")
    backbone: Backbone = registry().get("backbones", kind)(argument, weights)
    return backbone
