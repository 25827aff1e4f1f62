"""The web's last lines, in memory that never grows: as many as a window and a step have."""

from __future__ import annotations

import numpy as np

from edgead.types import Image


class Lines:
    """A rolling buffer. A window is always its last lines, at the web's end too.

    Args:
        height: of a window, in lines.
        step: lines from one window to the next, at most ``height``.
        width: of the web, in pixels.
    """

    def __init__(self, height: int, step: int, width: int) -> None:
        self._height, self._step = height, step
        self._held = np.empty((height + step, width, 3), np.uint8)
        self._filled, self._due = 0, height

    @property
    def nbytes(self) -> int:
        """What it takes, from beginning to end."""
        return self._held.nbytes

    @property
    def room(self) -> int:
        """How many lines are missing until the next window is whole; 0 where it is, and not taken yet."""
        return self._due - self._filled

    @property
    def has_new(self) -> bool:
        """Whether the last window differs from the one that was taken before, if any was."""
        return self._filled > 0 and (self._due == self._height or self._filled > self._height)

    def put(self, lines: Image) -> None:
        """Take (n, width, 3) uint8, n at most ``room``."""
        self._held[self._filled : self._filled + len(lines)] = lines
        self._filled += len(lines)

    def window(self) -> Image:
        """The last lines, as many as a window has or there are; a view, until the next call but this."""
        return self._held[max(0, self._filled - self._height) : self._filled]

    def slide(self) -> None:
        """The window that was whole is judged: the next one is due a step later."""
        if self._filled > self._height:
            self._held[: self._height] = self._held[self._step : self._filled]
            self._filled = self._height
        self._due = self._height + self._step

    def clear(self) -> None:
        """Begin anew."""
        self._filled, self._due = 0, self._height


__all__ = ["Lines"]
