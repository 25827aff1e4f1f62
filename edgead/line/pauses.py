"""Pauses that grow: what fails again and again is tried less and less often, and never given up."""

from __future__ import annotations

FIRST, MOST = 0.1, 30.0
"""Seconds before the first try again, and at most; each is twice the one before."""
WELL = 30.0
"""Seconds that something must have been well until it's forgotten that it failed."""


class Pauses:
    """Counts failures of one thing, and says how long to wait after each."""

    def __init__(self) -> None:
        self._failures = 0
        self._up: float | None = None

    def up(self, now: float) -> None:
        """It works, since now."""
        self._up = now

    def failed(self, now: float) -> float:
        """It failed; returns the seconds to wait."""
        if self._up is not None and now - self._up >= WELL:
            self._failures = 0
        self._up = None
        pause = min(MOST, FIRST * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return pause


__all__ = ["FIRST", "MOST", "WELL", "Pauses"]
