"""Frames that are too large: for this machine's memory, or for the rate that the thresholds promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgead.errors import FrameError
from edgead.notices import Notice

LARGER = 2.0
"""Times the pixels of a usual good image from which on it's told."""
_NO_MEMORY = -4
"""OpenCV's code, cv2.Error.StsNoMem."""


@contextmanager
def memory_or_refused(shape: Sequence[int] | None = None) -> Iterator[None]:
    """Within it, memory that can't be had refuses the frame: others may be smaller.

    Raises:
        FrameError: in place of a ``MemoryError``, NumPy's or OpenCV's.
    """
    try:
        yield
    except Exception as error:
        is_opencvs = type(error).__module__ == "cv2" and getattr(error, "code", None) == _NO_MEMORY
        if not (isinstance(error, MemoryError) or is_opencvs):
            raise
        what = (
            "a frame"
            if shape is None or len(shape) < 2
            else f"a frame of {shape[0]} x {shape[1]} (height x width)"
        )
        raise FrameError(
            f"{what} takes more memory than there is here, so it isn't judged: treat it as rejected, and "
            "give smaller frames, or free memory"
        ) from None


class FrameSizes:
    """How large frames in windows are beside those that the threshold was set on.

    A frame's score is a maximum, so that each window more is one more chance of a false alarm.

    Args:
        usual: pixels of a usual good image; 0 where it isn't known.
    """

    def __init__(self, usual: int) -> None:
        self._usual, self._largest = usual, 0

    def note(self, shape: Sequence[int]) -> None:
        """Take a frame's (height, width, ...) into account."""
        self._largest = max(self._largest, shape[0] * shape[1])

    def notice(self) -> Notice | None:
        """What to say of the largest so far."""
        if not self._usual or self._largest <= LARGER * self._usual:
            return None
        return Notice("frames-larger", {"times": self._largest / self._usual})


__all__ = ["LARGER", "FrameSizes", "memory_or_refused"]
