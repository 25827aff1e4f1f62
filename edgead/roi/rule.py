"""The resize rule of a model with a region of interest: frames are painted, resized, and painted again.

Painted first at their own size, so that no pixel of the input has anything of what lies outside; and again
after it, so that the input's pixels that count as outside are the fill colour exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgead.resize import ResizeRule
from edgead.roi.roi import Roi
from edgead.types import Image, Size


@dataclass(frozen=True)
class RoiRule(ResizeRule):
    """A resize rule that keeps what lies inside of a region and paints all else.

    Attributes:
        roi: the region.
    """

    roi: Roi = field(kw_only=True)

    def apply(self, frame: Image) -> Image:
        """See ``ResizeRule.apply``; the result is always the caller's own.

        Raises:
            FrameError: the frame has another aspect than the region.
        """
        self.check(frame.shape)
        image = super().apply(self.roi.painted(frame))
        area = self.valid_area(frame.shape)
        image[area] = self.roi.painted(image[area])
        return image

    def check(self, frame_shape: Sequence[int]) -> None:
        """Raise FrameError where the region says nothing of frames of this (height, width, ...)."""
        self.roi.check(frame_shape)

    def inside(self, frame_shape: Sequence[int]) -> NDArray[np.bool_]:
        """Which pixels of the input are inside, (H, W) bool; none of a letterbox's padding is."""
        if self.mode == "stretch":
            return self.roi.inside(self.size)
        rows, columns = self.valid_area(frame_shape)
        whole = np.zeros(self.size, bool)
        whole[rows, columns] = self.roi.inside((rows.stop - rows.start, columns.stop - columns.start))
        return whole

    @property
    def plain_size(self) -> Size:
        """See ``ResizeRule.plain_size``: the region's where the input has another aspect."""
        return self.size if self.roi.fits(self.size) else self.roi.size


__all__ = ["RoiRule"]
