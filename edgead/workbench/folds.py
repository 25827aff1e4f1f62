"""Folds: every good image is judged by a model that hasn't learned it.

A hold-out judges a fifth of the images, by a model that has learned a fifth less than the one that ships: few
scores, and too high ones. With ten folds each image is judged, by a model that lacks a tenth; what is learned
(a coreset, a density) is learned anew in each. Merely leaving an image's own rows out of one bank would be
biased: the bank was chosen with them in it. Stone 1974 on cross-validation; Vovk 2015 on cross-conformal
prediction.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from edgead.errors import PluginError
from edgead.image_score import ImageScore
from edgead.progress import silent
from edgead.runtime.exact import ExactSession
from edgead.runtime.session import Outputs
from edgead.types import (
    Features,
    FitsFolds,
    FittedScorer,
    FittingData,
    Image,
    InBulk,
    KeepsPart,
    PostProcessor,
    Scorer,
    Size,
)
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose_finish, compose_head
from edgead.workbench.pieces import Pieces
from edgead.workbench.recipe import Recipe
from edgead.workbench.unseen import Drawn, Unseen, judged
from edgead.workbench.unseen_pieces import areas_of, counted, drawn_on, of_frames

MOST_IMAGES, MOST_WINDOWS = 1000, 4000
"""Good images that are judged in folds; of more, a hold-out says as much, and folds take their time. So many
windows where frames are judged in them: a threshold counts frames."""
BULK = 32
"""Images that are scored together at most, where the method can."""
CACHE_BYTES = 3 << 30
"""Features are kept for all folds up to this much; beyond it each fold has them calculated anew."""

Integers = NDArray[np.int64]


def by_folds(
    recipe: Recipe,
    data: FittingData,
    frames: GoodImages | Pieces,
    labels: Integers,
    candidates: tuple[ImageScore, ...],
    folds: int,
    features: KeptFeatures,
) -> Unseen:
    """Judge every good image by a model that has learned none of its group.

    Args:
        recipe: its post-processor yields the paper's image score; from its map the others are calculated.
        data: all good images, and their features in FP32; or their windows.
        frames: the same images, or windows.
        labels: (n,) equal within a group.
        candidates: image scores to calculate.
        folds: as many, or one a group where there are fewer.
        features: of all good images, for all folds.

    Raises:
        PluginError: a scorer that fits folds together yields fewer than there are.
    """
    n = len(frames)
    fold_of = fold_of_each(labels, folds, data.seed)
    finish = _Finish(recipe.postprocessor, data.size)
    good, maxima = np.full((n, len(candidates)), np.nan), np.full(n, np.nan)
    bad: list[list[float]] = []
    defects: list[Drawn] = []
    count = int(fold_of.max()) + 1
    fits = _fits(recipe.scorer, data, features, fold_of, frames)
    with data.progress(f"judging what {count} fits in turn haven't learned", count) as advance:
        for fold in range(count):
            members = np.flatnonzero(fold_of == fold)
            fitted = next(fits, None)
            if fitted is None:
                raise PluginError(
                    f"{recipe.provenance.get('distribution', '?')}: scorer '{recipe.scorer_name}': "
                    f"its fit_folds() of {count} folds yields {fold}: one for each"
                )
            drawn = drawn_on(frames, members, n, data.seed)
            defects += drawn
            images = chain(features.of(members), features.embed(each.image for each in drawn))
            of = [*members.tolist(), *(each.base for each in drawn)]
            for place, outputs in enumerate(_run(recipe, data, fitted, images, finish)):
                scores, maximum = judged(outputs, candidates, counted(frames, of[place]))
                if place < len(members):
                    good[members[place]], maxima[members[place]] = scores, maximum
                else:
                    bad.append(scores)
            del fitted  # before there are two: some take hundreds of megabytes
            advance(1)
    return of_frames(
        frames, defects, Unseen(candidates, good, maxima, np.array(bad), areas_of(defects), count)
    )


def by_holdout(
    recipe: Recipe,
    data: FittingData,
    fitted: FittedScorer,
    good: GoodImages | Pieces,
    groups: tuple[int, ...] | None,
    candidates: tuple[ImageScore, ...],
) -> Unseen:
    """Judge held-out images by the one model that there is; arguments as above.

    Args:
        fitted: what was fitted on other images.
        good: the held-out images, or their windows.
        groups: the images', or None where each is its own.
    """
    n = len(good)
    drawn = drawn_on(good, np.arange(n), n, data.seed)
    embedded = data.embed(chain(good, (each.image for each in drawn)))
    finish = _Finish(recipe.postprocessor, data.size)
    of = [*range(n), *(each.base for each in drawn)]
    found = [
        judged(outputs, candidates, counted(good, index))
        for index, outputs in zip(of, _run(recipe, data, fitted, embedded, finish), strict=True)
    ]
    scores, maxima = np.array([each[0] for each in found]), np.array([each[1] for each in found])
    unseen = Unseen(candidates, scores[:n], maxima[:n], scores[n:], areas_of(drawn), 0, groups)
    return of_frames(good, drawn, unseen)


def fold_of_each(labels: Integers, folds: int, seed: int) -> Integers:
    """(n,) each image's fold, 0 to at most ``folds`` - 1; no group is torn but the only one there is."""
    groups = np.unique(labels)
    if len(groups) == 1:
        labels = groups = np.arange(len(labels))
    turn = np.random.default_rng(seed).permutation(len(groups)) % min(folds, len(groups))
    fold: Integers = turn[np.searchsorted(groups, labels)]
    return fold


def _fits(
    scorer: Scorer,
    data: FittingData,
    features: KeptFeatures,
    fold_of: Integers,
    frames: GoodImages | Pieces,
) -> Iterator[FittedScorer]:
    """For each fold, what is learned from all others; only the one in use is held."""
    learned = np.array(frames.learned) if isinstance(frames, Pieces) else np.ones(len(frames), bool)

    def of(which: Integers) -> FittingData:
        which = which[learned[which]]
        some = frames.subset(which.tolist())
        return replace(
            data,
            images=lambda: iter(some),
            n_images=len(some),
            features=lambda: features.of(which),
            progress=silent,
        )

    count = int(fold_of.max()) + 1
    if isinstance(scorer, FitsFolds) and count > 1:
        yield from scorer.fit_folds([of(np.flatnonzero(fold_of == fold)) for fold in range(count)])
        return
    for fold in range(count):
        yield scorer.fit(of(np.flatnonzero(fold_of != fold)))


def _run(
    recipe: Recipe, data: FittingData, fitted: FittedScorer, images: Iterator[Features], finish: _Finish
) -> Iterator[Outputs]:
    """What ``compose_head`` yields of each image's features."""
    if not isinstance(fitted, InBulk):
        head = _head(recipe, data, fitted)
        for maps in images:
            yield head.run(_batch(maps))
        return
    while some := list(islice(images, BULK)):
        patch, own = fitted.in_bulk(some)
        for i in range(len(some)):
            yield finish(patch[i], None if own is None else own[i])


class _Finish:
    """The post-processor, in exact arithmetic, for scores from elsewhere."""

    def __init__(self, postprocessor: PostProcessor, size: Size) -> None:
        self._postprocessor, self._size = postprocessor, size
        self._session: ExactSession | None = None

    def __call__(self, patch: NDArray[np.float32], own: np.float32 | None) -> Outputs:
        if self._session is None:
            h, w = patch.shape
            model = compose_finish((h, w), self._postprocessor, self._size, own is not None)
            self._session = ExactSession(model.SerializeToString())
        given = {"patch": patch[None, None]} | ({} if own is None else {"image": np.array([own])})
        return {**given, **self._session.run(given)}


def _head(recipe: Recipe, data: FittingData, fitted: FittedScorer) -> ExactSession:
    head = compose_head(data.shapes, fitted, recipe.postprocessor, data.size)
    return ExactSession(head.SerializeToString())


def _batch(maps: Features) -> dict[str, NDArray[np.float32]]:
    return {name: array[None] for name, array in maps.items()}


class KeptFeatures:
    """The features of all good images, calculated once where there's room for them.

    Args:
        data, frames: the same images.

    Attributes:
        bytes: what is kept takes; 0 where there's no room.
    """

    def __init__(self, data: FittingData, scorer: Scorer, frames: GoodImages | Pieces) -> None:
        self._data, self._scorer, self._frames = data, scorer, frames
        self._kept: list[Features] = []
        self.bytes = 0
        features = self._parts(data.features())
        first = next(features, None)
        each = sum(array.nbytes for array in first.values()) if first else 0
        if first is None or each * data.n_images > CACHE_BYTES:
            features.close()
            return
        with data.progress("reading good images", data.n_images) as advance:
            for maps in chain([first], features):
                self._kept.append(maps)
                advance(1)
        self.bytes = each * data.n_images

    def of(self, indices: Integers) -> Iterator[Features]:
        """Those of some images, ascending."""
        if self._kept:
            yield from (self._kept[i] for i in indices)
            return
        yield from self.embed(self._frames.subset(indices.tolist()))

    def embed(self, images: Iterable[Image]) -> Iterator[Features]:
        """The same of other images."""
        return self._parts(self._data.embed(images))

    def _parts(self, features: Iterator[Features]) -> Generator[Features, None, None]:
        for maps in features:
            if isinstance(self._scorer, KeepsPart):
                yield self._scorer.part(maps, self._data)
            else:
                yield {name: array.copy() for name, array in maps.items()}


__all__ = ["MOST_IMAGES", "MOST_WINDOWS", "KeptFeatures", "by_folds", "by_holdout", "fold_of_each"]
