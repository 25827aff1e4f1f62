"""A camera's count of frames that goes on where the camera's own begins again.

GigE Vision 1.x counts in 16 bits: 65535 is followed by 1, for 0 means something else there. Cameras that
count from 0 in 16 bits have one number more. Others count in 64 bits, which never end.
"""

from __future__ import annotations

LAST = 0xFFFF
"""The last number of 16 bits."""
NEAR = 0x4000
"""How far the numbers before and after may be from the end."""


class FrameIds:
    """One camera's numbers, from when it's opened."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._added = 0
        self._has_zero = False
        self._given: int | None = None

    def unwrapped(self, number: int) -> int:
        """The number, and what went before it; a step back that is no new beginning stays one."""
        last, self._last = self._last, number
        self._has_zero |= number == 0
        if last is not None and LAST - NEAR < last <= LAST and number < NEAR:
            self._added += LAST + self._has_zero
        self._given = self._added + number
        return self._given

    def following(self) -> int | None:
        """The number of a lost image that doesn't bear its own. Images come in order, so that the next number
        is lost in any case, be it this one's or one before. None where none was seen yet."""
        if self._given is not None:
            self._given += 1
        return self._given


__all__ = ["FrameIds"]
