"""Which patches of an image a lesson keeps.

*Of a false alarm* as many as it takes: the most unusual position first, then the next that is, as PatchCore's
coreset goes on choosing (the greedy k-centre of Sener and Savarese 2018, ICLR, begun where the bank ended),
until the image scores as good images usually do. So an alarm over a mark takes few rows, one over a new
surface more; and those of a second image only what the first didn't bring.

*Of a missed defect* few, each other than those before, and each with a radius: half its distance to the
nearest good patch that is known. A good patch nearer to the bank than that radius is never within it, by the
triangle inequality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.bundle.taught import CAPACITY
from edgead.runtime.lessons import SIMILAR, Taught, distances
from edgead.runtime.session import Outputs

SHARE = 8
"""A false alarm takes at most one in so many of the rows that are left."""
DEFECT_ROWS = 8
"""Rows of a missed defect at most."""
HALF = 0.5
"""A radius, as a share of the distance to the nearest good patch."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """What a lesson adds.

    Attributes:
        rows: (n, dim) float32; may be none.
        radii: (n,) float32 of a missed defect's; else empty.
        level: positions with a lower patch score are left alone by them.
    """

    rows: Floats
    radii: Floats
    level: float


def rows_left(taught: Taught, missed: bool) -> int:
    """How many rows may still be added."""
    return CAPACITY - len(taught.defects.rows if missed else taught.rows)


def of_false_alarm(taught: Taught, outputs: Outputs, wanted: float, level: float) -> Rows:
    """The rows that bring a frame's image score down to ``wanted``, or as many as it may take.

    Args:
        taught: the lessons before.
        outputs: of the frame.
        wanted: an image score.
        level: positions with a patch score up to this are left alone.
    """
    patch, embedding = taught.patches(outputs)
    left = rows_left(taught, missed=False)
    most = min(left, max(1, left // SHARE))
    chosen: list[int] = []
    patch = patch.copy()
    over = np.flatnonzero(patch > level)
    while len(chosen) < most and len(over) and taught.score_with(outputs, patch) > wanted:
        highest = int(over[patch[over].argmax()])
        if patch[highest] <= level:
            break
        chosen.append(highest)
        difference = embedding[over] - embedding[highest]
        distance = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        patch[over] = np.minimum(patch[over], distance)
    return Rows(embedding[chosen], np.empty(0, np.float32), level)


def of_missed(
    taught: Taught,
    outputs: Outputs,
    cells: NDArray[np.bool_] | None,
    good: Floats,
    core: NDArray[np.bool_] | None = None,
) -> Rows:
    """The rows of a missed defect.

    Args:
        taught: the lessons before.
        outputs: of the frame.
        cells: (h * w,) where the defect is; None for the most unusual positions.
        good: (n, dim) embeddings of patches that are good.
        core: (h * w,) of a window, where the most unusual ones may lie; None: anywhere.
    """
    patch, embedding = taught.patches(outputs)
    if cells is not None:
        places = np.flatnonzero(cells)
    else:
        places = np.argsort(-patch, kind="stable")
        places = (places if core is None else places[core[places]])[:DEFECT_ROWS]
    places = places[np.argsort(-patch[places], kind="stable")]
    chosen = places[_apart(embedding[places], min(DEFECT_ROWS, rows_left(taught, missed=True)))]
    known = np.minimum(patch[chosen], distances(embedding[chosen], good).min(1, initial=np.inf))
    if len(taught.rows):
        known = np.minimum(known, distances(embedding[chosen], taught.rows).min(1))
    radii = (HALF * known).astype(np.float32)
    useful = radii > 0
    level = SIMILAR * float(patch[chosen][useful].min(initial=np.inf)) if useful.any() else 0.0
    return Rows(embedding[chosen][useful], radii[useful], level)


def _apart(points: Floats, count: int) -> NDArray[np.intp]:
    """Up to ``count`` of the points (n, dim): the first, then each time the farthest from those before."""
    if not len(points) or count < 1:
        return np.empty(0, np.intp)
    chosen = [0]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(chosen) < min(count, len(points)):
        difference = points - points[chosen[-1]]
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", difference, difference))
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 0:
            break
        chosen.append(farthest)
    return np.array(chosen, np.intp)


__all__ = ["Rows", "of_false_alarm", "of_missed", "rows_left"]
