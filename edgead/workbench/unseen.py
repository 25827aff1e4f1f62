"""What a model makes of good parts, and of defects, that it hasn't learned: what a threshold rests on.

Synthetic defects are drawn on the same good images and judged by the same models. So what they say of a
threshold, they say of one for this product, and by their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgead.held_out import SIZES, by_size
from edgead.image_score import ImageScore, score_of
from edgead.metrics.scores import auroc
from edgead.runtime.session import Outputs
from edgead.types import Image
from edgead.workbench.judged_part import draw_inside

DRAWN = 160
"""Synthetic defects that are judged: some fifty of each size."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Unseen:
    """Figures of images that the judging model hasn't learned.

    Attributes:
        candidates: image scores that come into question.
        good: (n, candidates) image scores of good images.
        maxima: (n,) the maxima of their maps.
        bad: (m, candidates) image scores of synthetic defects.
        areas: (m,) each defect's share of the image, 0 to 1.
        folds: models that judged in turn; 0 for one, and held-out images.
        groups: the good images' groups, or None where each is its own.
    """

    candidates: tuple[ImageScore, ...]
    good: Scores
    maxima: Scores
    bad: Scores
    areas: Scores
    folds: int = 0
    groups: tuple[int, ...] | None = None

    def only(self, image_score: ImageScore) -> Unseen:
        """The same with one of the candidates alone."""
        place = [self.candidates.index(image_score)]
        return replace(self, candidates=(image_score,), good=self.good[:, place], bad=self.bad[:, place])


@dataclass(frozen=True)
class Drawn:
    """A synthetic defect: the good image's index that it's drawn on, itself, and its share of the image.

    ``mask`` is (H, W) uint8, 1 where it is.
    """

    base: int
    image: Image
    area: float
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Counted:
    """Which part of a map counts.

    Attributes:
        core: its rows and columns; None for all.
        inside: of these, (h, w) bool; None for all.
        is_window: whether it's a window's, and its maximum is all that the frame's score takes of it.
    """

    core: tuple[slice, slice] | None = None
    inside: NDArray[np.bool_] | None = None
    is_window: bool = False


def draw(
    images: Iterator[tuple[int, Image]],
    n: int,
    seed: int,
    inside: Callable[[int], NDArray[np.bool_] | None] = lambda index: None,
) -> Iterator[Drawn]:
    """Draw ``DRAWN`` defects, spread evenly over n good images, given with their indices.

    Args:
        inside: of an image's index (H, W) bool, where it's judged; None everywhere.
    """
    for index, image in images:
        for place in range(index, max(DRAWN, n), n):
            if place < n and not _is_chosen(place, n):
                continue
            defective, mask = draw_inside(image, np.random.default_rng([seed, place]), inside(index))
            yield Drawn(index, defective, float(mask.mean()), mask)


def _is_chosen(place: int, n: int) -> bool:
    """Whether one of n images gets a defect, where there are more images than defects."""
    return n <= DRAWN or place * DRAWN // n != (place - 1) * DRAWN // n


def judged(outputs: Outputs, candidates: Sequence[ImageScore], counted: Counted) -> tuple[list[float], float]:
    """Each candidate's image score, and the map's maximum where it counts; of ``compose_head``'s outputs."""
    own, patch, anomaly_map = float(outputs["score"][0]), outputs["patch"][0, 0], outputs["anomaly_map"][0, 0]
    if counted.core is not None:
        anomaly_map = anomaly_map[counted.core]
    top = float((anomaly_map if counted.inside is None else anomaly_map[counted.inside]).max())
    if counted.is_window:  # a frame's score is the maximum of its map where it's judged
        return [top for _ in candidates], top
    return [score_of(patch, anomaly_map, own, each) for each in candidates], top


def separations(good: Scores, bad: Scores, areas: Scores) -> list[float]:
    """Of each candidate: AUROC of good images against defects, 0 to 1, the mean over the defects' sizes."""
    kinds = by_size(areas).values()
    return [
        float(np.mean([auroc(good[:, i], bad[kind, i]) or 0.0 for kind in kinds]))
        for i in range(good.shape[1])
    ]


__all__ = [
    "DRAWN",
    "SIZES",
    "Counted",
    "Drawn",
    "Unseen",
    "by_size",
    "draw",
    "judged",
    "separations",
]
