"""A judge that is tried out: it judges images that the active one judges too, and no score of it is sent.

Pure bookkeeping, as the bench's: what it has in hand, what the two said of the same image, and whether it
may take over.
"""

from __future__ import annotations

import math
from typing import Literal

from edgead.line.events import Scored

Outcome = Literal["", "passed", "failed", "gone"]
"""``failed``: it couldn't judge what the active judge could; ``gone``: its process ended."""


class Shadow:
    """One judge on its way to a camera's bench.

    Args:
        judge: its name.
        images: how many it has to judge until it has passed.

    Attributes:
        warm: whether it's ready to judge.
        bundle: the hash of what it judges by; empty before it's warm.
        trigger: what it has in hand, or None.
        compared: images that both have scored.
        differ: of those, the ones that only one of the two rejects.
        apart: the largest difference of two scores of an image.
        outcome: what came of it; empty as long as that's open.
    """

    def __init__(self, judge: str, images: int) -> None:
        self.judge = judge
        self._images = images
        self.warm = False
        self.bundle = ""
        self.trigger: int | None = None
        self.compared = self.differ = 0
        self.apart = 0.0
        self.outcome: Outcome = ""
        self._other: Scored | None = None  # the active judge's, of what this one has in hand
        self._own: Scored | None = None
        self._answered = False

    @property
    def wants(self) -> bool:
        """Whether it takes an image."""
        return self.warm and self.trigger is None and not self.outcome

    def ready(self, bundle: str) -> None:
        """It's warm."""
        self.warm, self.bundle = True, bundle
        if self._images == 0:
            self.outcome = "passed"

    def hand(self, trigger: int) -> None:
        """It gets an image."""
        self.trigger, self._other, self._own, self._answered = trigger, None, None, False

    def judged(self, trigger: int, scored: Scored | None) -> None:
        """The active judge's answer on an image, or that there's none in time: it isn't counted then."""
        if trigger == self.trigger and not self._answered:
            self._other = scored
        elif trigger == self.trigger:
            self.trigger = None
            self._compare(scored, self._own)

    def answered(self, trigger: int, scored: Scored | None, settled: bool) -> bool:
        """Its own answer; False where it wasn't asked.

        Args:
            settled: whether the active judge's is known, or never will be.
        """
        if trigger != self.trigger or self._answered:
            return False
        if settled:
            self.trigger = None
            self._compare(self._other, scored)
        else:
            self._own, self._answered = scored, True
        return True

    def reads(self, trigger: int) -> bool:
        """Whether it may be reading an image."""
        return trigger == self.trigger and not self._answered

    def gone(self) -> int | None:
        """Its process has ended: what it was reading, or None."""
        held = self.trigger if not self._answered else None
        self.warm, self.trigger = False, None
        self.outcome = "gone"
        return held

    def _compare(self, other: Scored | None, own: Scored | None) -> None:
        if other is None or self.outcome:
            return
        if own is None:
            self.outcome = "failed"
            return
        self.compared += 1
        self.differ += own.anomalous != other.anomalous
        self.apart = max(self.apart, math.fabs(own.score - other.score))
        if self.compared >= self._images:
            self.outcome = "passed"


__all__ = ["Outcome", "Shadow"]
