"""One sink, as the line's own process sees it: what it was given and hasn't answered, and what it missed."""

from __future__ import annotations

from collections import deque

from edgead.types import Role

MOST_UNANSWERED = 1000
"""Verdicts that a sink may have in hand; one that informs misses what is over that."""


class Outlet:
    """What was given to one sink.

    Args:
        send: seconds that one verdict may take.

    Attributes:
        patience: the same.
        role: the sink's; known once it's made.
        up: whether it takes verdicts.
        given, missed: verdicts that it got, and that it didn't.
    """

    def __init__(self, send: float) -> None:
        self.patience = send
        self.role: Role = "verdict"
        self.up = False
        self.given = self.missed = 0
        self._unanswered: deque[tuple[int, float]] = deque()
        self._progress = 0.0

    @property
    def has_room(self) -> bool:
        """Whether a verdict may be given; where not, count it as missed."""
        return self.up and len(self._unanswered) < MOST_UNANSWERED

    def gave(self, trigger: int, now: float) -> None:
        """A verdict was given to it."""
        if not self._unanswered:
            self._progress = now
        self.given += 1
        self._unanswered.append((trigger, now))

    def answered(self, trigger: int, now: float, put_out: bool) -> None:
        """It's done with a verdict; they're answered in the order in which they were given."""
        if any(each == trigger for each, _ in self._unanswered):
            while self._unanswered.popleft()[0] != trigger:
                pass
        self._progress = now
        self.missed += not put_out

    def overdue(self, now: float) -> bool:
        """Whether it takes too long: over any verdict where it takes part, else over the one in hand."""
        if not self._unanswered:
            return False
        since = self._unanswered[0][1] if self.role == "verdict" else self._progress
        return now - since > self.patience

    @property
    def idle(self) -> bool:
        """Whether all that was given is answered."""
        return not self._unanswered

    def gone(self) -> None:
        """It's down: what it had in hand is lost, and isn't sent again."""
        self.missed += len(self._unanswered)
        self._unanswered.clear()
        self.up = False


__all__ = ["MOST_UNANSWERED", "Outlet"]
