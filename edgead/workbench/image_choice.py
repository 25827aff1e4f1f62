"""Which number of the map the image score is, where nobody says: the one that tells defects apart best.

Real defects don't exist yet, so synthetic ones of three sizes speak, each size with the same weight. They are
an argument, no proof: the method's own choice stays unless another is clearly better on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgead.image_score import CANDIDATES, ImageScore
from edgead.manifest import ChosenBy, ImageScoreRecord
from edgead.workbench.unseen import Unseen, separations

CLEARLY = 2.0
"""Standard errors of the difference by which another image score must be ahead."""
DRAWS = 200
"""Bootstrap draws of images for that standard error."""


@dataclass(frozen=True)
class Choice:
    """An image score, and who chose it.

    Attributes:
        image_score: the one.
        by: who chose it; see ``edgead.manifest.ImageScoreRecord``.
        separations: AUROC of good images against synthetic defects, 0 to 1, of each that came into question.
    """

    image_score: ImageScore
    by: ChosenBy
    separations: dict[ImageScore, float]

    def record(self) -> ImageScoreRecord:
        """For the manifest."""
        found: dict[str, float] = {each.rule: round(auroc, 4) for each, auroc in self.separations.items()}
        return ImageScoreRecord(self.image_score.rule, self.image_score.share, self.by, found)


def candidates_of(asked: ImageScore | None, own: ImageScore) -> tuple[ImageScore, ...]:
    """What comes into question: what's asked for, or the method's own and the others."""
    if asked is not None:
        return (asked,)
    return (own, *(each for each in CANDIDATES if each != own))


def choose(
    unseen: Unseen, asked: ImageScore | None, own: ImageScore, seed: int, asked_by: ChosenBy = "user"
) -> Choice:
    """Take what's asked for, or the method's own unless another separates clearly better.

    Args:
        unseen: of ``candidates_of(asked, own)``.
        asked: what the user or a preset named, or the only one that there is.
        own: the method's.
        seed: of the bootstrap.
        asked_by: which of these.
    """
    found = separations(unseen.good, unseen.bad, unseen.areas)
    separated = dict(zip(unseen.candidates, found, strict=True))
    if asked is not None:
        return Choice(asked, asked_by, separated)
    spread = _spread(unseen, seed)
    ahead = [
        separated[each] - separated[own] - CLEARLY * spread[i] for i, each in enumerate(unseen.candidates)
    ]
    best = int(np.argmax(ahead))
    if ahead[best] <= 0:
        return Choice(own, "method", separated)
    return Choice(unseen.candidates[best], "synthetic-defects", separated)


def _spread(unseen: Unseen, seed: int) -> list[float]:
    """For each candidate, the standard error of its lead over the first one, by drawing images anew."""
    rng = np.random.default_rng(seed)
    n, m = len(unseen.good), len(unseen.bad)
    leads = []
    for _ in range(DRAWS):
        good, bad = rng.integers(n, size=n), rng.integers(m, size=m)
        found = np.array(separations(unseen.good[good], unseen.bad[bad], unseen.areas[bad]))
        leads.append(found - found[0])
    return [float(each) for each in np.std(leads, axis=0)]


__all__ = ["Choice", "candidates_of", "choose"]
