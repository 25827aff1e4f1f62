"""The region itself: where it lies at any size, and frames with all else painted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.coverage import by_area
from edgead.errors import FrameError
from edgead.types import Image, Size

ASPECT = 0.01
"""Share by which a frame's aspect may differ from the region's: what rounding to whole pixels makes."""
_KEPT = 3
"""Sizes at which the region is kept: the frames', the model's, and another."""

_lock = threading.Lock()


@dataclass(frozen=True)
class _View:
    """The region at one size: (h, w) bool, an image of the fill colour alone, and what it lies within."""

    inside: NDArray[np.bool_]
    blank: Image
    box: tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Roi:
    """A region of interest.

    Example:
        >>> roi = Roi(np.array([[True, False]] * 2), (7, 8, 9))
        >>> roi.painted(np.zeros((2, 2, 3), np.uint8))[0].tolist()
        [[0, 0, 0], [7, 8, 9]]

    Args:
        mask: (H, W) bool, of frames as they were when it was drawn; True inside, at least somewhere.
        fill: BGR, 0 to 255 each, that everything else is painted in.
    """

    mask: NDArray[np.bool_]
    fill: tuple[int, int, int]
    _views: dict[Size, _View] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> Size:
        """(height, width) that it was drawn at."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def share(self) -> float:
        """How much of the frame is inside, 0 to 1."""
        return float(self.mask.mean())

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether frames of this (height, width, ...) have the aspect that it was drawn at."""
        here, drawn = shape[0] * self.size[1], shape[1] * self.size[0]
        return max(here, drawn) <= (1 + ASPECT) * min(here, drawn)

    def check(self, shape: Sequence[int]) -> None:
        """Raise FrameError where it says nothing of frames of this (height, width, ...)."""
        height, width = shape[:2]
        drawn = f"the region of interest was drawn on {self.size[0]} x {self.size[1]}"
        if not self.fits(shape):
            raise FrameError(
                f"{drawn}, and this frame of {height} x {width} (height x width) has another aspect: give "
                "frames of the view that it was drawn on, or fit again with a region for this one"
            )
        if not self._view(shape).inside.any():
            raise FrameError(
                f"{drawn}, and nothing of it is left on a frame of {height} x {width} (height x width): give "
                "larger frames"
            )

    def inside(self, shape: Sequence[int]) -> NDArray[np.bool_]:
        """Where it lies at another size: at least half of a pixel's area is inside.

        Args:
            shape: (height, width, ...), of any aspect: a model's input is stretched.

        Returns:
            (height, width) bool, which can't be written to.
        """
        return self._view(shape).inside

    def painted(self, image: Image) -> Image:
        """A copy of an image, (H, W, 3) uint8 BGR of any size, with everything outside in ``fill``."""
        view = self._view(image.shape)
        copied = cv2.copyTo(np.ascontiguousarray(image), view.inside.view(np.uint8), view.blank.copy())
        return np.asarray(copied, np.uint8)

    def touches(self, rows: slice, columns: slice, shape: Sequence[int]) -> bool:
        """Whether anything of it lies in these rows and columns of a frame of (height, width, ...)."""
        return bool(self._view(shape).inside[rows, columns].any())

    def box(self, shape: Sequence[int]) -> tuple[slice, slice]:
        """The rows and columns of a frame of (height, width, ...) that it lies within."""
        return self._view(shape).box

    def _view(self, shape: Sequence[int]) -> _View:
        size = (int(shape[0]), int(shape[1]))
        known = self._views.get(size)
        if known is not None:
            return known
        blank = np.empty((*size, 3), np.uint8)
        blank[:] = self.fill
        inside = by_area(self.mask, size)
        inside.flags.writeable = False
        view = _View(inside, blank, (_reach(inside, 1), _reach(inside, 0)))
        with _lock:
            while len(self._views) >= _KEPT:
                del self._views[next(iter(self._views))]
            self._views[size] = view
        return view


def _reach(marked: NDArray[np.bool_], axis: int) -> slice:
    """From the first to the last row, or column, with a mark; ``axis`` is the other one."""
    places = np.flatnonzero(marked.any(axis=axis))
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


__all__ = ["ASPECT", "Roi"]
