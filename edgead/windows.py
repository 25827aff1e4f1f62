"""Windows: a frame larger than the model's input, judged piece by piece, each pixel by one of them.

Near a window's edge a network sees its own padding instead of the frame, so that scores there are others.
Windows therefore overlap, and each owns its *core*: what is at least a margin from those of its edges that
aren't the frame's. The cores tile the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError
from edgead.types import Image, Size

STEP = 16
"""Windows start at multiples of this, but the last of a row or column: a feature map's strides divide it, so
that neighbours lay the same grid over the frame."""
MAX_SCALE = 64


@dataclass(frozen=True)
class Span:
    """A window along one side.

    Attributes:
        start: its first pixel of the frame.
        own, end: the pixels of the frame from ``own`` up to ``end`` are its core.
    """

    start: int
    own: int
    end: int


@dataclass(frozen=True)
class Window:
    """A window of a frame.

    Attributes:
        rows, columns: where it lies, and its core.
    """

    rows: Span
    columns: Span

    @property
    def core(self) -> tuple[slice, slice]:
        """Its core, as rows and columns of the frame."""
        return slice(self.rows.own, self.rows.end), slice(self.columns.own, self.columns.end)

    @property
    def core_inside(self) -> tuple[slice, slice]:
        """Its core, as rows and columns of the window."""
        y, x = self.rows, self.columns
        return slice(y.own - y.start, y.end - y.start), slice(x.own - x.start, x.end - x.start)


def step_of(side: int, margin: int) -> int:
    """How far apart windows of ``side`` pixels start, but for the last one: a multiple of ``STEP``.

    Raises:
        OptionError: the margins leave nothing to step by.
    """
    step = (side - 2 * margin) // STEP * STEP
    if margin < 0 or step <= 0:
        raise OptionError(f"margin {margin} of a window of {side} pixels: at most {(side - STEP) // 2}")
    return step


def spans(length: int, side: int, margin: int) -> list[Span]:
    """Windows of ``side`` pixels over a side of ``length`` pixels; one where it's no longer than that.

    Raises:
        OptionError: the margins leave nothing to step by.
    """
    step = step_of(side, margin)
    if length <= side:
        return [Span(0, 0, length)]
    starts = [*range(0, length - side, step), length - side]
    ends = [*((after + start + side) // 2 for start, after in pairwise(starts)), length]
    return [Span(*each) for each in zip(starts, [0, *ends[:-1]], ends, strict=True)]


def windows(shape: Sequence[int], size: Size, margin: int) -> list[Window]:
    """The windows of a frame, row by row.

    Args:
        shape: (height, width, ...) of the frame.
        size: (height, width) of a window.
        margin: pixels from a window's edge that belong to a neighbour, where there is one.
    """
    columns = spans(shape[1], size[1], margin)
    return [Window(rows, of) for rows in spans(shape[0], size[0], margin) for of in columns]


def cut(frame: Image, window: Window, size: Size) -> Image:
    """What a window shows, contiguous (H, W, 3) uint8; a smaller frame is continued by its mirror image."""
    y, x = window.rows.start, window.columns.start
    inside = frame[y : y + size[0], x : x + size[1]]
    missing = [(0, want - have) for want, have in zip(size, inside.shape[:2], strict=True)]
    if any(after for _, after in missing):
        return np.pad(inside, [*missing, (0, 0)], "symmetric")
    return np.ascontiguousarray(inside)


def stitched(
    shape: Sequence[int], parts: Iterable[tuple[Window, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """One map of a frame, (height, width) float32, from its windows' (H, W): of each its core."""
    whole = np.zeros((shape[0], shape[1]), np.float32)
    for window, part in parts:
        whole[window.core] = part[window.core_inside]
    return whole


__all__ = ["MAX_SCALE", "STEP", "Span", "Window", "cut", "spans", "step_of", "stitched", "windows"]
