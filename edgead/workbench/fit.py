"""Fitting: a folder of good images becomes a reference bundle.

Held-out images are what thresholds and gates are read off, and a model that has learnt from them can't tell.
So everything is fitted twice: the *calibration forms* without the held-out images, and, in the *final fit*,
the forms that ship, from all good images. More good images only lower a good image's score, so the
threshold's false-positive rate stays an upper estimate. Without a final fit, for methods that train for
long, the calibration forms are the ones that ship.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgead.bundle import Bundle, write_bundle
from edgead.notices import Notice
from edgead.types import Features, Progress, Trainable, TrainingData
from edgead.workbench.checkpoint_folder import clear_checkpoint
from edgead.workbench.edges import measure_edges
from edgead.workbench.features import training_data
from edgead.workbench.folds import KeptFeatures
from edgead.workbench.forms import backbone_forms, fit_forms, trained
from edgead.workbench.given import Given, Settings, check_defects, read_given
from edgead.workbench.good_images import GoodImages
from edgead.workbench.judging import judge_held_out, judge_in_folds, takes_folds
from edgead.workbench.pieces import Pieces, cut_up
from edgead.workbench.recipe import Recipe
from edgead.workbench.reference import (
    CALIBRATION_FILES,
    FORM_FILES,
    Learned,
    saver,
    threshold_of,
    write_reference,
)
from edgead.workbench.size_choice import Need, finest_stride
from edgead.workbench.size_measure import measure_sizes
from edgead.workbench.steps import logged

log = logging.getLogger(__name__)

KEPT_BYTES = 512 << 20
"""FP32's features are kept after the folds up to this much; beyond it the fits have them calculated anew."""
Known = Callable[[GoodImages | Pieces], Callable[[], Iterator[Features]] | None]


@dataclass(frozen=True)
class Fit:
    """What fitting yields.

    Attributes:
        bundle: the reference bundle, written.
        why: what input size was chosen and why.
    """

    bundle: Bundle
    why: Notice


def fit(
    recipe: Recipe,
    images: Path | Sequence[Path],
    settings: Settings,
    out: Path,
    progress: Progress,
    defects: Sequence[Path] = (),
) -> Fit:
    """Fit on good images and write the reference bundle.

    Args:
        images: their folder, a data set of which the training images are meant, the files, or several of
            these.
        out: the bundle's path; an older bundle there is replaced, in one step, at the very end.
        defects: folders of annotated defects, for methods that learn from them; see ``find_defects``.

    Raises:
        InputError, OutputError, EngineError: see ``edgead.errors``.
    """
    progress, began = logged(progress, log), time.time_ns()
    if defects:
        recipe.check_takes_defects()
        check_defects(settings.windows)
    recipe.check_compute(settings.compute)
    if settings.windows:
        recipe.for_windows()  # what can't be judged so is told before images are read
    with write_bundle(out) as staging:  # first, so that a path that can't be written costs no fitting
        presets = settings.size is None and settings.smallest_defect is None and recipe.size is not None
        settings = replace(settings, size=recipe.size) if presets else settings
        stride, smallest = finest_stride(recipe.scorer, recipe.backbone), settings.smallest_defect
        need = None if smallest is None else Need(smallest, stride, recipe.backbone.input.size)
        given = read_given(recipe.backbone, images, settings, defects, progress, need)
        if presets and recipe.size is not None:
            why = Notice("input-preset", {"height": recipe.size[0], "width": recipe.size[1]})
            given = replace(given, reading=replace(given.reading, why=why))
        counts = len(given.reading.images), given.input_size, len(given.held_out)
        log.info("%s on %d images of %s, %d of them held out: %s", recipe.method, *counts, recipe.options)
        checkpoint = out.with_name(f"{out.name}.checkpoint")  # beside the bundle, for after a kill
        if given.pieces is not None:
            recipe = recipe.for_windows()
        given, learned = _learn(recipe, given, staging.folder, checkpoint, progress)
        threshold = threshold_of(given, learned.judged)
        judging = staging.folder / learned.judging_file
        sizes = measure_sizes(judging, stride, given, threshold.score, progress)
        bundle = write_reference(staging, recipe, given, learned, threshold, sizes)
        clear_checkpoint(checkpoint, began)
        return Fit(bundle, given.reading.why)


def _learn(
    recipe: Recipe, given: Given, folder: Path, checkpoint: Path, progress: Progress
) -> tuple[Given, Learned]:
    """Fit the forms, once or twice, and save their graphs into the folder.

    Returns:
        What was given, in windows as wide apart as their edges allow, where it's in windows.
    """
    settings = given.settings
    backbone, seed, defects = recipe.backbone, settings.seed, given.annotated
    compute = settings.compute

    again = recipe.final_fit if settings.final_fit is None else settings.final_fit
    learning = given.to_learn(given.training)
    first = training_data(backbone, learning, seed, progress, checkpoint / "first", defects, compute)
    ready = trained(recipe, first)
    backbones, lacking = backbone_forms(ready, first, settings.precisions)
    if given.pieces is not None:
        given = _recut(ready, backbones["fp32"], given, first)
        learning = given.to_learn(given.training)
        first = replace(first, images=lambda: iter(learning), n_images=len(learning))
    files = CALIBRATION_FILES if again else FORM_FILES
    measured = (
        () if again else given.to_judge(given.held_out)
    )  # the features' moments are of the forms that ship
    judged, judge = None, partial(judge_held_out, ready, given)
    known: Known = _unknown
    if again and not isinstance(recipe.scorer, Trainable) and takes_folds(given):
        judged_images = given.to_judge(given.reading.images)
        everything = training_data(backbone, judged_images, seed, progress, checkpoint / "folds")
        judged, kept = judge_in_folds(ready, backbones["fp32"], everything, given)
        ready = judged.recipe
        if 0 < kept.bytes <= KEPT_BYTES:
            known = partial(_known, kept, judged_images)
        del kept
    save, of_first = saver(folder, files), known(learning)
    judge_first = None if judged else judge
    first_forms = forms = fit_forms(ready, backbones, first, save, measured, judge_first, of_first)
    judged = judged or first_forms.judged
    assert judged is not None, "one of both judged"
    if again:
        final_progress = _naming("final fit", progress)
        frames = given.to_learn(given.reading.images)
        final = training_data(backbone, frames, seed, final_progress, checkpoint / "final", defects, compute)
        ready = trained(recipe, final)
        if ready is not recipe:  # a network of its own, so it's quantised on its own
            backbones, lacking = backbone_forms(ready, final, settings.precisions)
        ready = replace(ready, postprocessor=judged.recipe.postprocessor)
        of_final = known(frames)
        unseen = given.to_judge(given.held_out)
        forms = fit_forms(ready, backbones, final, saver(folder, FORM_FILES), unseen, None, of_final)
    return given, Learned(
        backbone=ready.backbone,
        forms=forms,
        calibration_forms=first_forms.precisions if again else (),
        judged=judged,
        lacking=lacking,
        n_images=len(given.reading.images if again else given.training),
    )


def _recut(recipe: Recipe, graph: onnx.ModelProto, given: Given, data: TrainingData) -> Given:
    """Measure how far a window's edge reaches, and cut windows with that margin."""
    assert given.pieces is not None
    frames, pieces = given.reading.images, given.pieces
    edges = measure_edges(recipe, graph, given.training, pieces.of(given.training.paths), data)
    log.info("margin %d: %s", edges.margin, dict(zip(edges.distances, edges.changes, strict=True)))
    notices = (*given.notices, *edges.notices())
    if edges.margin != pieces.rule.margin:
        rule = replace(pieces.rule, margin=edges.margin)
        pieces, told = cut_up(frames, rule, data.progress)
        notices = (*(n for n in notices if n.code not in {each.code for each in told}), *told)
    return replace(given, pieces=pieces, edges=edges, notices=notices)


def _unknown(frames: GoodImages | Pieces) -> None:
    """Nobody has them."""


def _known(
    kept: KeptFeatures, known: GoodImages | Pieces, frames: GoodImages | Pieces
) -> Callable[[], Iterator[Features]]:
    """FP32's features of some of the good images."""
    place = {key: i for i, key in enumerate(known.keys)}
    indices = np.array([place[key] for key in frames.keys])
    return lambda: kept.of(indices)


def _naming(prefix: str, progress: Progress) -> Progress:
    """Progress whose descriptions say which part of the work they belong to."""

    @contextmanager
    def named(description: str, total: int | None) -> Iterator[Any]:
        with progress(f"{prefix}: {description}", total) as advance:
            yield advance

    return named


__all__ = ["Fit", "Settings", "fit"]
