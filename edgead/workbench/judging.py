"""Before anything is composed: what fits make of what they haven't learned, and the image score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from edgead.types import ChoosesImageScore, FittedScorer, FittingData, LearningData
from edgead.workbench.features import fitting_data
from edgead.workbench.folds import MOST_IMAGES, MOST_WINDOWS, KeptFeatures, by_folds, by_holdout
from edgead.workbench.given import Given, groups_with
from edgead.workbench.image_choice import Choice, candidates_of, choose
from edgead.workbench.pieces import Pieces
from edgead.workbench.recipe import Recipe
from edgead.workbench.unseen import Unseen


@dataclass(frozen=True)
class Judged:
    """What comes of judging.

    Attributes:
        recipe: with the post-processor that yields the chosen image score.
        unseen: the figures, of that image score alone.
        choice: which, and why.
    """

    recipe: Recipe
    unseen: Unseen
    choice: Choice


def takes_folds(given: Given) -> bool:
    """Whether images are judged in folds, where the method can; of very many, a hold-out says as much."""
    if given.pieces is not None:
        return given.settings.folds > 0 and len(given.pieces) <= MOST_WINDOWS
    return given.settings.folds > 0 and len(given.reading.images) <= MOST_IMAGES


def judge_in_folds(
    recipe: Recipe, graph: onnx.ModelProto, data: LearningData, given: Given
) -> tuple[Judged, KeptFeatures]:
    """Judge all good images, each by a fit without it.

    Args:
        graph: the backbone in FP32.
        data: all good images, or their windows.

    Returns:
        What came of it, and the features that it was judged by.
    """
    candidates = candidates_of(recipe.asked, recipe.image_score)
    with fitting_data(graph, recipe.scorer, data) as offer:
        labels, folds = given.grouping.labels, given.settings.folds
        frames = given.to_judge(given.reading.images)
        kept = KeptFeatures(offer, recipe.scorer, frames)
        of_each = labels[frames.frame_of()] if isinstance(frames, Pieces) else labels
        unseen = by_folds(recipe, offer, frames, of_each, candidates, folds, kept)
    groups = groups_with(labels, given.standouts)
    return _decided(recipe, replace(unseen, groups=groups), given), kept


def judge_held_out(recipe: Recipe, given: Given, fitted: FittedScorer, data: FittingData) -> Judged:
    """Judge the held-out images by the one fit without them."""
    candidates = candidates_of(recipe.asked, recipe.image_score)
    held_out = given.to_judge(given.held_out)
    return _decided(recipe, by_holdout(recipe, data, fitted, held_out, given.groups, candidates), given)


def _decided(recipe: Recipe, unseen: Unseen, given: Given) -> Judged:
    choice = choose(unseen, recipe.asked, recipe.image_score, given.settings.seed, recipe.asked_by)
    postprocessor = recipe.postprocessor
    if isinstance(postprocessor, ChoosesImageScore):
        postprocessor = postprocessor.with_image_score(choice.image_score)
    return Judged(replace(recipe, postprocessor=postprocessor), unseen.only(choice.image_score), choice)


__all__ = ["Judged", "judge_held_out", "judge_in_folds", "takes_folds"]
