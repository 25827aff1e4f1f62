"""How a frame that is judged in windows and its map lie on each other: scaled at most, never squeezed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.errors import FrameError, OptionError
from edgead.resize import Box, ResizeRule, resized
from edgead.roi import Roi, RoiRule, roi_of
from edgead.types import Image, Size
from edgead.windows import MAX_SCALE, Window, spans, windows


@dataclass(frozen=True)
class WindowRule:
    """How a frame is judged in windows; what ``edgead.resize.ResizeRule`` is where it's resized as a whole.

    Attributes:
        size: (height, width) of a window, which is the model's input.
        margin: pixels from a window's edge that belong to a neighbour, where there is one.
        scale: of the frame's pixels a window's pixel stands for along each side; 1 or more.
        roi: the region of interest, where the whole frame isn't judged.
    """

    size: Size
    margin: int
    scale: float = 1.0
    roi: Roi | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and 1 <= self.scale <= MAX_SCALE):
            raise OptionError(f"scale {self.scale} must be from 1 to {MAX_SCALE}")
        for side in self.size:
            spans(side, side, self.margin)

    def map_size(self, frame_shape: Sequence[int]) -> Size:
        """(height, width) of the map of a frame: the scaled frame's own."""
        return _scaled(frame_shape[0], self.scale), _scaled(frame_shape[1], self.scale)

    @property
    def plain_size(self) -> Size:
        """(height, width) of frames that it takes and that cost it least."""
        return self.size if self.roi is None or self.roi.fits(self.size) else self.roi.size

    def check(self, frame_shape: Sequence[int]) -> None:
        """Raise FrameError where the region says nothing of frames of this (height, width, ...)."""
        if self.roi is None:
            return
        self.roi.check(frame_shape)
        if not self.roi.inside(self.map_size(frame_shape)).any():  # it would be judged good, unseen
            raise FrameError(
                f"nothing of the region of interest is left on this frame, shrunk by {self.scale:g}: give "
                "larger frames, or fit again with a smaller --scale"
            )

    def inside(self, frame_shape: Sequence[int]) -> NDArray[np.bool_] | None:
        """Which pixels of the map are judged, (h, w) bool; None where all are."""
        return None if self.roi is None else self.roi.inside(self.map_size(frame_shape))

    def apply(self, frame: Image) -> Image:
        """Scale (h, w, 3) uint8; the same bits for the same frame, and itself where there's nothing to do.

        What lies outside of a region of interest is painted before and after, as ``edgead.roi`` says.

        Raises:
            FrameError: the frame has another aspect than the region.
        """
        size = self.map_size(frame.shape)
        if self.roi is None:
            return resized(frame, size)
        self.check(frame.shape)
        return self.roi.painted(resized(self.roi.painted(frame), size))

    def places(self, scaled: Sequence[int]) -> list[Window]:
        """The windows of a scaled frame of (height, width, ...), but those whose core isn't judged."""
        found = windows(scaled, self.size, self.margin)
        roi = self.roi
        return found if roi is None else [each for each in found if roi.touches(*each.core, scaled)]

    def valid_area(self, frame_shape: Sequence[int]) -> tuple[slice, slice]:
        """The rows and columns of the map that show the frame: all."""
        height, width = self.map_size(frame_shape)
        return slice(0, height), slice(0, width)

    def valid_box(self, frame_shape: Sequence[int]) -> Box:
        """``valid_area`` as a box (x, y, width, height)."""
        height, width = self.map_size(frame_shape)
        return 0, 0, width, height

    def to_frame(self, box: Box, frame_shape: Sequence[int]) -> Box:
        """Map a box (x, y, width, height) of the map to the frame pixels that it touches."""
        x, y, w, h = box
        height, width = self.map_size(frame_shape)
        left, right = x * frame_shape[1] // width, -(-(x + w) * frame_shape[1] // width)
        top, bottom = y * frame_shape[0] // height, -(-(y + h) * frame_shape[0] // height)
        return left, top, right - left, bottom - top

    def area_scale(self, frame_shape: Sequence[int]) -> float:
        """How many of the frame's pixels one pixel of the map stands for."""
        return frame_shape[0] * frame_shape[1] / math.prod(self.map_size(frame_shape))


def _scaled(side: int, scale: float) -> int:
    return max(1, round(side / scale))


def rule_of(bundle: Bundle) -> ResizeRule | WindowRule:
    """How a bundle's frames and maps lie on each other, with its region of interest where it has one.

    Raises:
        BundleError: as ``edgead.roi.roi_of``.
    """
    given, record, roi = bundle.manifest.input, bundle.manifest.windows, roi_of(bundle)
    if record is not None:
        return WindowRule(given.size, record.margin, record.scale, roi)
    if roi is not None:
        return RoiRule(given.size, given.resize, roi=roi)
    return ResizeRule(given.size, given.resize)


__all__ = ["WindowRule", "rule_of"]
