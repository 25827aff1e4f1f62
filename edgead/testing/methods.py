"""Checks of a method: it's fitted on a few small images, exported, and run as a camera runs it.

Here are those of what it registers and of fitting; ``method_graph`` has those of the graph that fitting
yields, ``method_bundle`` those of the bundle. A workshop fits once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgead.notices import say
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.testing.check import CheckFailed, require
from edgead.testing.method_bundle import (
    bundle_is_written,
    bundle_round_trips,
    int8_is_the_same_on_old_processors,
    int8_passes_the_gates,
    runs_without_the_plugin,
)
from edgead.testing.method_folds import folds_are_like_fits
from edgead.testing.method_graph import (
    compiles_for_every_target,
    declared_outputs,
    engines_agree,
    finite_on_hostile_frames,
    keeps_nothing_between_frames,
    larger_is_more_anomalous,
    numpy_agrees,
)
from edgead.testing.protocols import require_members
from edgead.testing.workshop import Workshop
from edgead.types import FittedScorer, GivesNotices

if TYPE_CHECKING:
    from edgead.types import Method


def names_what_is_registered(workshop: Workshop) -> None:
    """its scorer, post-processor and backbone are registered, and it calls itself what it's registered as"""
    method: Method = registry().get("methods", workshop.method)()
    require(
        method.name == workshop.method,
        f"its factory returns a Method named '{method.name}': give it the registered name",
    )
    registry().entry("scorers", method.scorer)
    registry().entry("postprocessors", method.postprocessor)
    if not method.backbone.endswith(".onnx"):
        registry().entry("backbones", method.backbone.partition(":")[0])


def options_and_presets_are_the_scorers(workshop: Workshop) -> None:
    """its options, and each preset's, are options of its scorer with values that they take"""
    method: Method = registry().get("methods", workshop.method)()
    options = registry().get("scorers", method.scorer).Options
    for values in ({}, *method.presets.values()):
        parse_options(options, [], {**method.options, **values})


def fits(workshop: Workshop) -> None:
    """it fits on a few good images and becomes one graph of the declared shapes, with facts and notices"""
    fitted = workshop.fit()
    require_members(fitted.scorer, FittedScorer)
    for notice in fitted.scorer.notices if isinstance(fitted.scorer, GivesNotices) else ():
        text = say(notice)
        require(
            text and "{" not in text and not text.startswith(notice.code),
            f"its notice '{notice.code}' says '{text}': give a sentence with the values' names in braces",
        )


def same_seed_same_bytes(workshop: Workshop) -> None:
    """a second fit on the same images with the same seed yields the same bytes"""
    first, second = workshop.graph(), workshop.again()
    if first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True):
        return
    arrays = {i.name: i.SerializeToString(deterministic=True) for i in second.graph.initializer}
    other = [
        i.name
        for i in first.graph.initializer
        if arrays.get(i.name) != i.SerializeToString(deterministic=True)
    ]
    what = f"in {', '.join(other[:3])}" if other else "in its operators"
    raise CheckFailed(
        f"two fits with one seed differ {what}: draw only from np.random.default_rng(data.seed), and "
        "iterate over nothing whose order may change (a set, a folder's listing)"
    )


CHECKS = (
    names_what_is_registered,
    options_and_presets_are_the_scorers,
    fits,
    same_seed_same_bytes,
    declared_outputs,
    finite_on_hostile_frames,
    keeps_nothing_between_frames,
    larger_is_more_anomalous,
    numpy_agrees,
    folds_are_like_fits,
    engines_agree,
    bundle_is_written,
    bundle_round_trips,
    runs_without_the_plugin,
    int8_passes_the_gates,
    int8_is_the_same_on_old_processors,
    compiles_for_every_target,
)
