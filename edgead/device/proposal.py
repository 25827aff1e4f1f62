"""What would be taught or undone, and what that costs; nothing of it is written yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.device.lesson_rows import Rows
from edgead.notices import Notice
from edgead.types import Image

Wrong = Literal["false-alarm", "missed"]


@dataclass(frozen=True)
class Example:
    """An image whose verdict was wrong.

    Attributes:
        name: of its file, without the folder; empty for an array.
        sha256: of the file, or of the array's bytes.
        image: (H, W, 3) uint8 after the resize rule.
        mask: (H, W) bool after it, where the missed defect is; None where nobody says.
        core: of a window of a frame (H, W) bool, what isn't its neighbours' to judge; else None.
    """

    name: str
    sha256: str
    image: Image
    mask: NDArray[np.bool_] | None = None
    core: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Change:
    """One image's verdict before and after a lesson.

    Attributes:
        image: the carried image and its change, or the lesson whose image it is.
        before, after: whether it's anomalous.
        score_before, score_after: its image score.
        wanted: what it should be: False of a good image, True of a missed defect's, None where nobody knows.
    """

    image: str
    before: bool
    after: bool
    score_before: float
    score_after: float
    wanted: bool | None

    @property
    def flips(self) -> bool:
        """Whether the verdict changes."""
        return self.before != self.after


@dataclass(frozen=True)
class Draft:
    """A lesson that isn't taken yet.

    Attributes:
        example: the image.
        rows: what it adds.
        own: its own verdict, before and with all lessons of the same proposal.
    """

    example: Example
    rows: Rows
    own: Change


@dataclass(frozen=True)
class Proposal:
    """What would be taught or undone, and what that costs.

    Attributes:
        bundle: as it was read.
        kind: of the lessons.
        drafts: one an image; none for an undoing.
        undoes: the lesson that would be undone, or None.
        changes: of the carried images and those of earlier lessons.
        threshold: of the image score.
        notices: what doesn't do what it should, and what isn't known.
    """

    bundle: Bundle
    kind: Literal["false-alarm", "missed", "undo"]
    drafts: tuple[Draft, ...]
    undoes: int | None
    changes: tuple[Change, ...]
    threshold: float
    notices: tuple[Notice, ...] = ()

    @property
    def flips(self) -> tuple[Change, ...]:
        """The verdicts on other images that would change."""
        return tuple(change for change in self.changes if change.flips)

    @property
    def largest_move(self) -> float:
        """The largest change of another image's score, as a share of the threshold."""
        moves = (abs(each.score_after - each.score_before) for each in self.changes)
        return max(moves, default=0.0) / max(abs(self.threshold), 1e-9)


__all__ = ["Change", "Draft", "Example", "Proposal", "Wrong"]
