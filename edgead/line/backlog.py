"""Rows that the recorder hasn't said to be on the disk: bounded, and none is lost with a recorder."""

from __future__ import annotations

from collections import deque

MOST_ROWS = 100_000
MOST_CHARACTERS = 64 << 20
"""What may wait while there's no recorder: an hour or more of a line's verdicts."""
MOST_SENT = 1000
"""Rows that a recorder may have in hand."""


class Backlog:
    """Numbered rows, as texts: many objects would have Python's collector look through all of them.

    Attributes:
        lost: rows that there was no room for.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, str]] = deque()
        self._sent: deque[tuple[int, str]] = deque()
        self._last = self._characters = 0
        self.lost = 0

    def add(self, row: str) -> bool:
        """Have a row wait; False where there's no room, which is counted."""
        rows = len(self._waiting) + len(self._sent)
        if rows >= MOST_ROWS or self._characters + len(row) > MOST_CHARACTERS:
            self.lost += 1
            return False
        self._last += 1
        self._characters += len(row)
        self._waiting.append((self._last, row))
        return True

    def next(self) -> tuple[int, str] | None:
        """The row that is to be sent next, and its number; None where none is, or too many are sent."""
        return self._waiting[0] if self._waiting and len(self._sent) < MOST_SENT else None

    def sent(self) -> None:
        """That one was sent."""
        self._sent.append(self._waiting.popleft())

    def done(self, number: int) -> None:
        """All rows that were sent, up to this number, are on the disk."""
        while self._sent and self._sent[0][0] <= number:
            self._characters -= len(self._sent.popleft()[1])

    def give_up(self) -> None:
        """The next row can't be sent at all."""
        self._characters -= len(self._waiting.popleft()[1])
        self.lost += 1

    def again(self) -> None:
        """The recorder is gone: what it had in hand is sent to the next one."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def __len__(self) -> int:
        """Rows that aren't known to be on the disk."""
        return len(self._waiting) + len(self._sent)


__all__ = ["MOST_CHARACTERS", "MOST_ROWS", "MOST_SENT", "Backlog"]
