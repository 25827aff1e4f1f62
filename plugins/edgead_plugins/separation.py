"""How well scores tell good images from synthetic defects: what a method decides about itself by.

The defects are the precision gate's. A trial is small, since it's repeated for every setting in question, and
the same images and defects serve for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.types import Image
from edgead.workbench.defects import MIN_DEFECT_SIDE, synthesise
from edgead.workbench.unseen import separations
from edgead_plugins.sampling import evenly_spread

GOOD, DEFECTS, FOLDS = 40, 80, 4
"""Good images and synthetic defects of a trial, at most, and in how many parts good images are judged."""

Floats = NDArray[np.floating]
Judge = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]]
"""(learnt, good, bad), indices into a trial's good images and defects -> the scores of these good images and
defects by what was learnt from those."""


@dataclass(frozen=True)
class Trial:
    """Good images, and synthetic defects on some of them.

    Attributes:
        good: n images (H, W, 3) uint8 BGR.
        bad: m images of the same kind.
        base: (m,) the good image that each defect is drawn on.
        areas: (m,) each defect's share of the image, 0 to 1.
    """

    good: Sequence[Image]
    bad: Sequence[Image]
    base: NDArray[np.int64]
    areas: NDArray[np.float64]

    def separation(self, judge: Judge) -> float:
        """AUROC of good images against defects, 0 to 1, the mean over the defects' sizes.

        Each good image, and the defects on it, are judged by what was learnt from images of other parts.
        """
        part = np.arange(len(self.good)) % min(FOLDS, len(self.good))
        good, bad = np.empty(len(self.good)), np.empty(len(self.bad))
        for fold in range(int(part.max()) + 1):
            mine, others = np.flatnonzero(part == fold), np.flatnonzero(part != fold)
            on_them = np.flatnonzero(part[self.base] == fold)
            good[mine], bad[on_them] = judge(others, mine, on_them)
        return separations(good[:, None], bad[:, None], self.areas)[0]


def trial_of(images: Sequence[Image], seed: int, good: int = GOOD, defects: int = DEFECTS) -> Trial | None:
    """Choose good images, evenly spread, and draw defects on them; None where there's nothing to try on.

    Nothing is: fewer than 4 images, or too small ones for a defect.

    Args:
        seed: of the defects.
        good, defects: how many of each, at most.
    """
    if len(images) < FOLDS or min(images[0].shape[:2]) < MIN_DEFECT_SIDE:
        return None
    chosen = [images[i] for i in evenly_spread(len(images), good)]
    base = np.arange(defects) % len(chosen)
    drawn = [synthesise(chosen[at], np.random.default_rng([seed, 7, i])) for i, at in enumerate(base)]
    areas = np.array([mask.mean() for _, mask in drawn], np.float64)
    return Trial(chosen, [image for image, _ in drawn], base, areas)


__all__ = ["DEFECTS", "FOLDS", "GOOD", "Judge", "Trial", "trial_of"]
