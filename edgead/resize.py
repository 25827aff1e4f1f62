"""The one resize rule: how a frame of any size becomes the model's input, and results find their way back."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError, OptionError
from edgead.notices import Notice
from edgead.types import Image, Resize, Size

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
PAD = (104, 116, 124)
"""BGR of a letterbox's border: ImageNet's mean, which a network's own zero padding stands for too."""


class FrameRule(Protocol):
    """How frames and maps lie on each other: as ``ResizeRule`` or ``edgead.windows.WindowRule`` have it."""

    @property
    def size(self) -> Size:
        """(height, width) of the model's input."""
        ...

    def apply(self, frame: Image) -> Image:
        """What is judged, (H, W, 3) uint8, of a frame (h, w, 3) uint8; the same bits for the same frame."""
        ...

    @property
    def plain_size(self) -> Size:
        """(height, width) of frames that it takes and that cost it least."""
        ...

    def check(self, frame_shape: Sequence[int]) -> None:
        """Raise FrameError where a region of interest says nothing of frames of this (height, width, ...)."""
        ...

    def inside(self, frame_shape: Sequence[int]) -> NDArray[np.bool_] | None:
        """Which pixels of a frame's map are judged, (H, W) bool; None where all are."""
        ...

    def map_size(self, frame_shape: Sequence[int]) -> Size:
        """(height, width) of a frame's map."""
        ...

    def valid_area(self, frame_shape: Sequence[int]) -> tuple[slice, slice]:
        """The rows and columns of the map that show the frame."""
        ...

    def valid_box(self, frame_shape: Sequence[int]) -> Box:
        """The same as a box (x, y, width, height)."""
        ...

    def to_frame(self, box: Box, frame_shape: Sequence[int]) -> Box:
        """Map a box (x, y, width, height) of the map to the frame pixels that it touches."""
        ...

    def area_scale(self, frame_shape: Sequence[int]) -> float:
        """How many of the frame's pixels one pixel of the map stands for."""
        ...


@dataclass(frozen=True)
class ResizeRule:
    """What turns a frame into the model's input, (H, W, 3) uint8 to (height, width, 3) uint8.

    Attributes:
        size: (height, width) of the model's input.
        mode: stretch fills the input and changes the aspect; letterbox keeps the aspect, centres the
            image and fills the rest with ``PAD``.
    """

    size: Size
    mode: Resize = "stretch"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Resize):
            raise OptionError(f"resize mode '{self.mode}' is unknown; give {' or '.join(get_args(Resize))}")
        if len(self.size) != 2 or any(int(side) != side or side < 1 for side in self.size):
            raise OptionError(f"size {self.size} must be two whole numbers of pixels, height x width")

    def apply(self, frame: Image) -> Image:
        """Resize (h, w, 3) uint8 to a contiguous (H, W, 3) uint8; the same bits for the same frame."""
        rows, columns = self.valid_area(frame.shape)
        inner = resized(frame, (rows.stop - rows.start, columns.stop - columns.start))
        if inner.shape[:2] == self.size:
            return np.ascontiguousarray(inner)
        canvas = np.empty((*self.size, 3), np.uint8)
        canvas[:] = PAD
        canvas[rows, columns] = inner
        return canvas

    def map_size(self, frame_shape: Sequence[int]) -> Size:
        """(height, width) of the map of a frame: the model's input size."""
        return self.size

    def check(self, frame_shape: Sequence[int]) -> None:
        """Take frames of any (height, width, ...).

        A rule with a region of interest (``edgead.roi``) raises FrameError for those of another aspect.
        """

    def inside(self, frame_shape: Sequence[int]) -> NDArray[np.bool_] | None:
        """Which pixels of the input are judged, (H, W) bool; None where all are: no region was given."""
        return None

    @property
    def plain_size(self) -> Size:
        """(height, width) of frames that the rule takes and that cost it least."""
        return self.size

    def valid_area(self, frame_shape: Sequence[int]) -> tuple[slice, slice]:
        """Return the rows and columns of the input that show the frame; a letterbox pads the others."""
        height, width = self.size
        if self.mode == "stretch":
            return slice(0, height), slice(0, width)
        h, w = frame_shape[:2]
        if h * width >= w * height:  # the frame is the slimmer one: its height fills the input
            inner_h, inner_w = height, max(1, (2 * w * height + h) // (2 * h))
        else:
            inner_h, inner_w = max(1, (2 * h * width + w) // (2 * w)), width
        top, left = (height - inner_h) // 2, (width - inner_w) // 2
        return slice(top, top + inner_h), slice(left, left + inner_w)

    def valid_box(self, frame_shape: Sequence[int]) -> Box:
        """Return ``valid_area`` as a box (x, y, width, height) of the input."""
        rows, columns = self.valid_area(frame_shape)
        return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start

    def to_frame(self, box: Box, frame_shape: Sequence[int]) -> Box:
        """Map a box (x, y, width, height) of the input to the frame pixels that it touches.

        The result is clipped to the frame; a box wholly in a letterbox's padding comes back with a width or
        height of 0.
        """
        rows, columns = self.valid_area(frame_shape)
        x, y, w, h = box
        left, right = _interval(x, x + w, columns, frame_shape[1])
        top, bottom = _interval(y, y + h, rows, frame_shape[0])
        return left, top, right - left, bottom - top

    def area_scale(self, frame_shape: Sequence[int]) -> float:
        """Return how many of the frame's pixels one pixel of the input stands for."""
        rows, columns = self.valid_area(frame_shape)
        inner_h, inner_w = rows.stop - rows.start, columns.stop - columns.start
        return float(frame_shape[0] * frame_shape[1] / (inner_h * inner_w))


def _interval(start: int, stop: int, valid: slice, frame_side: int) -> tuple[int, int]:
    side = valid.stop - valid.start
    first = (start - valid.start) * frame_side // side
    last = -((valid.start - stop) * frame_side // side)  # rounded up
    first = min(max(first, 0), frame_side)
    return first, max(first, min(last, frame_side))


def resized(frame: Image, size: Size) -> Image:
    """Bring (h, w, 3) uint8 to a size: by areas along a side that shrinks, else linearly."""
    h, w = frame.shape[:2]
    # INTER_AREA averages only while both sides shrink, so a side that grows waits for a step of its own.
    small = (min(h, size[0]), min(w, size[1]))
    if small != (h, w):
        frame = cv2.resize(frame, small[::-1], interpolation=cv2.INTER_AREA)
    if small != size:
        frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)
    return frame


def choose_resize(
    shapes: Sequence[Size], multiple: int = 32, short_side: int = 256, max_ratio: float = 4.0
) -> tuple[ResizeRule, Notice]:
    """Choose the model's input from the images' sizes, so that a strip stays a strip.

    The median aspect decides: its short side becomes ``short_side``, its long side follows in whole
    multiples up to ``max_ratio``; anything under 1.2 to 1 becomes a square. Images are stretched to it even
    where their aspects differ: on such a set (magnetic tiles, 0.4 to 2.5 to 1; PatchCore, ResNet-18, 1 %
    coreset) stretching to 256 x 256 gave an image AUROC of 92.0, a letterbox of the same size 90.0, one of
    352 x 352 89.2, and one that repeats the border instead of ``PAD`` 87.1.

    Args:
        shapes: (height, width) of each image, more than (H, W) is ignored.
        multiple: what both sides must be a multiple of.

    Returns:
        The rule, and what was chosen and why, for ``edgead.notices.say``.

    Raises:
        DatasetError: no shapes.
    """
    if not shapes:
        raise DatasetError("no images to choose an input size from; give a folder of good images")
    aspects = [math.log(shape[0] / shape[1]) for shape in shapes]
    middle = statistics.median(aspects)
    ratio = math.exp(abs(middle))
    short = max(multiple, round(short_side / multiple) * multiple)
    long = short if ratio < 1.2 else max(short, round(short * min(ratio, max_ratio) / multiple) * multiple)
    size = (long, short) if middle > 0 else (short, long)
    height = statistics.median_low([s[0] for s in shapes])
    width = statistics.median_low([s[1] for s in shapes])
    off = sum(abs(aspect - middle) > math.log(1.5) for aspect in aspects) / len(aspects)
    if off > 0.1:
        why = "input-mixed"
    elif ratio > max_ratio:
        why = "input-long"
    else:
        why = "input-square" if long == short else "input-aspect"
    told = {
        "height": size[0], "width": size[1], "image_height": height, "image_width": width,
        "ratio": ratio, "limit": max_ratio, "off": off,
    }  # fmt: skip
    return ResizeRule(size), Notice(why, told)


__all__ = ["PAD", "Box", "FrameRule", "ResizeRule", "choose_resize", "resized"]
