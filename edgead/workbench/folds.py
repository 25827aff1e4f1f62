"""Folds: every good image is judged by a model that hasn't learned it.

A hold-out judges a fifth of the images, by a model that has learned a fifth less than the one that ships: few
scores, and too high ones. With ten folds each image is judged, by a model that lacks a tenth; what is learned
(a coreset, a density) is learned anew in each. Merely leaving an image's own rows out of one bank would be
biased: the bank was chosen with them in it. Stone 1974 on cross-validation; Vovk 2015 on cross-conformal
prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edgead.image_score import ImageScore
from edgead.progress import silent
from edgead.runtime.exact import ExactSession
from edgead.types import Features, FittedScorer, FittingData, Image
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose_head
from edgead.workbench.recipe import Recipe
from edgead.workbench.unseen import Unseen, draw, judged

MOST_IMAGES = 1000
"""Good images that are judged in folds; of more, a hold-out says as much, and folds take their time."""
CACHE_BYTES = 3 << 30
"""Features are kept for all folds up to this much; beyond it each fold has them calculated anew."""

Integers = NDArray[np.int64]


def by_folds(
    recipe: Recipe,
    data: FittingData,
    frames: GoodImages,
    labels: Integers,
    candidates: tuple[ImageScore, ...],
    folds: int,
) -> Unseen:
    """Judge every good image by a model that has learned none of its group.

    Args:
        recipe: its post-processor yields the paper's image score; from its map the others are calculated.
        data: all good images, and their features in FP32.
        frames: the same images.
        labels: (n,) equal within a group.
        candidates: image scores to calculate.
        folds: as many, or one a group where there are fewer.
    """
    n = len(frames)
    fold_of = fold_of_each(labels, folds, data.seed)
    features = _Features(data)
    good, maxima = np.empty((n, len(candidates))), np.empty(n)
    bad: list[list[float]] = []
    areas: list[float] = []
    count = int(fold_of.max()) + 1
    with data.progress(f"judging what {count} fits in turn haven't learned", count) as advance:
        for fold in range(count):
            inside, outside = (np.flatnonzero(there) for there in (fold_of == fold, fold_of != fold))
            head = _fitted_head(recipe, data, features, outside, frames)
            for i, maps in zip(inside, features.of(inside), strict=True):
                good[i], maxima[i] = judged(head.run(_batch(maps)), candidates)
            drawn = list(draw(_indexed(frames, inside), n, data.seed))
            for each, maps in zip(drawn, data.embed(d.image for d in drawn), strict=True):
                bad.append(judged(head.run(_batch(maps)), candidates)[0])
                areas.append(each.area)
            advance(1)
    return Unseen(candidates, good, maxima, np.array(bad), np.array(areas), count)


def by_holdout(
    recipe: Recipe,
    data: FittingData,
    fitted: FittedScorer,
    good: GoodImages,
    groups: tuple[int, ...] | None,
    candidates: tuple[ImageScore, ...],
) -> Unseen:
    """Judge held-out images by the one model that there is; arguments as above.

    Args:
        fitted: what was fitted on other images.
        good: the held-out images.
        groups: theirs, or None where each is its own.
    """
    head = _head(recipe, data, fitted)
    drawn = list(draw(iter(enumerate(good)), len(good), data.seed))
    embedded = data.embed(chain(good, (each.image for each in drawn)))
    found = [judged(head.run(_batch(maps)), candidates) for maps in embedded]
    scores, maxima = np.array([each[0] for each in found]), np.array([each[1] for each in found])
    areas = np.array([each.area for each in drawn])
    n = len(good)
    return Unseen(candidates, scores[:n], maxima[:n], scores[n:], areas, 0, groups)


def fold_of_each(labels: Integers, folds: int, seed: int) -> Integers:
    """(n,) each image's fold, 0 to at most ``folds`` - 1; no group is torn but the only one there is."""
    groups = np.unique(labels)
    if len(groups) == 1:
        labels = groups = np.arange(len(labels))
    turn = np.random.default_rng(seed).permutation(len(groups)) % min(folds, len(groups))
    fold: Integers = turn[np.searchsorted(groups, labels)]
    return fold


def _fitted_head(
    recipe: Recipe, data: FittingData, features: _Features, learned: Integers, frames: GoodImages
) -> ExactSession:
    """Fit on some of the images; returns what runs on features."""
    some = frames.subset(learned.tolist())
    part = replace(
        data,
        images=lambda: iter(some),
        n_images=len(some),
        features=lambda: features.of(learned),
        progress=silent,
    )
    return _head(recipe, data, recipe.scorer.fit(part))


def _head(recipe: Recipe, data: FittingData, fitted: FittedScorer) -> ExactSession:
    head = compose_head(data.shapes, fitted, recipe.postprocessor, data.size)
    return ExactSession(head.SerializeToString())


def _batch(maps: Features) -> dict[str, NDArray[np.float32]]:
    return {name: array[None] for name, array in maps.items()}


def _indexed(frames: GoodImages, indices: Integers) -> Iterator[tuple[int, Image]]:
    return zip(indices.tolist(), frames.subset(indices.tolist()), strict=True)


class _Features:
    """The features of all good images, calculated once where there's room for them."""

    def __init__(self, data: FittingData) -> None:
        self._data = data
        self._kept: list[Features] | None = None
        bytes_each = 4 * sum(int(np.prod(shape)) for shape in data.shapes.values())
        if bytes_each * data.n_images <= CACHE_BYTES:
            with data.progress("reading good images", data.n_images) as advance:
                self._kept = []
                for maps in data.features():
                    self._kept.append({name: array.copy() for name, array in maps.items()})
                    advance(1)

    def of(self, indices: Integers) -> Iterator[Features]:
        """Those of some images, ascending."""
        if self._kept is not None:
            yield from (self._kept[i] for i in indices)
            return
        wanted = set(indices.tolist())
        yield from self._data.embed(image for i, image in enumerate(self._data.images()) if i in wanted)


__all__ = ["MOST_IMAGES", "by_folds", "by_holdout", "fold_of_each"]
