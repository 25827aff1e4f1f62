"""The model's input from the need: how small a defect must still show. A decision over numbers alone.

A network's finest feature map has one place for every so many pixels of the input, its stride, and what is
much smaller than that patch is averaged away. So frames may be shrunk until the smallest defect covers
``PATCHES`` of them from side to side, and no further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgead.errors import OptionError
from edgead.manifest.sizes_found import WHOLE
from edgead.notices import Notice
from edgead.resize import choose_resize
from edgead.types import Backbone, Scorer, Size, Trainable
from edgead.windows import MAX_SCALE, windows

PATCHES = 2.0
"""Patches of the finest feature map that a defect must cover from side to side for most of such defects to be
found, as measured; see docs/size.md."""
TRAINED_STRIDE = 8
"""Taken for a network that isn't trained yet: the finest stride of most."""
MAX_SIDE = 8192
"""Longest side of a model's input, in pixels: longer ones take more memory than there is."""
NEARLY = 0.9
"""Of ``PATCHES``, which rounding to whole multiples may take."""
WINDOW = 512
"""Side of a window in pixels, where the frame's is as long: smaller ones overlap by most of themselves, since
a network's edge effects reach far. A neighbour judges about an eighth of it at either end."""
COVERED = 0.9
"""Share of the images that the choice is large enough for: one odd image among them doesn't decide."""
LARGEST = 1 << 15
"""Of a defect's sizes, in pixels."""
_ASKED = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(px|mm)?", re.IGNORECASE)


@dataclass(frozen=True)
class Need:
    """What an input must show, and to what.

    Attributes:
        smallest: size of the smallest defect, in pixels of the frame; over 0.
        stride: of the finest feature map that the method takes, in pixels of the input.
        only: (height, width) of the one input that the backbone takes; None where it takes any.
    """

    smallest: float
    stride: int
    only: Size | None = None


@dataclass(frozen=True)
class Plan:
    """How frames become the model's input.

    Attributes:
        size: (height, width) of the input: the frame's, or a window's.
        scale: pixels of the frame that one of a window's stands for along each side; 1 without windows.
        windows: a frame is judged in about so many; 0 where it's resized to ``size`` as a whole.
        why: what was chosen and why, for ``edgead.notices.say``.
    """

    size: Size
    scale: float
    windows: int
    why: Notice


def plan(
    shapes: Sequence[Size],
    need: Need,
    multiple: int = 32,
    max_side: int = MAX_SIDE,
    budget: int = WHOLE,
) -> Plan:
    """Choose the smallest input that shows the need, with the frames' aspect and never larger than they are.

    It's no smaller than ``choose_resize`` makes it, where methods were measured.

    Args:
        shapes: (height, width) of each image, more than (H, W) is ignored.
        multiple: what both sides must be a multiple of.
        max_side, budget: the longest side and the most pixels of an input for a whole frame.

    Raises:
        DatasetError: no shapes.
    """
    usual = need.only or choose_resize(shapes, multiple)[0].size
    frame = _covering([shape[0] for shape in shapes]), _covering([shape[1] for shape in shapes])
    scale = shrinking(need)
    size = _input(frame[0], scale, multiple), _input(frame[1], scale, multiple)
    enough = NEARLY * PATCHES
    told = {
        "smallest": need.smallest, "stride": need.stride, "wanted": PATCHES, "image_height": frame[0],
        "image_width": frame[1], "usual_height": usual[0], "usual_width": usual[1],
    }  # fmt: skip
    if _patches(need, frame, usual) >= enough or (usual[0] >= size[0] and usual[1] >= size[1]):
        size, code = usual, "input-need-usual"
    elif need.only or max(size) > max_side or math.prod(size) > budget:
        return _in_windows(frame, scale, size, need.only, multiple, told)
    else:
        code = "input-need"
    patches = _patches(need, frame, size)
    values = {"height": size[0], "width": size[1], "patches": patches}
    values |= {"times": math.prod(size) / math.prod(usual)}
    return Plan(size, 1.0, 0, Notice(code if patches >= enough else "input-need-own", told | values))


def shrinking(need: Need) -> float:
    """How far frames may be shrunk along each side, 1 or more."""
    return min(max(1.0, need.smallest / (PATCHES * need.stride)), float(MAX_SCALE))


def _patches(need: Need, frame: Size, size: Size) -> float:
    """Of the finest map that a defect covers, along the side that's shrunk more."""
    return need.smallest * min(size[0] / frame[0], size[1] / frame[1]) / need.stride


def _in_windows(
    frame: Size, scale: float, size: Size, only: Size | None, multiple: int, told: dict[str, float]
) -> Plan:
    scaled = max(1, round(frame[0] / scale)), max(1, round(frame[1] / scale))
    window = only or (_window(scaled[0], multiple), _window(scaled[1], multiple))
    count = len(windows(scaled, window, min(window) // 8))
    values = {
        "height": size[0], "width": size[1], "megapixels": math.prod(size) / 1e6, "scale": scale,
        "window_height": window[0], "window_width": window[1], "windows": count,
        "times": count * math.prod(window) / (told["usual_height"] * told["usual_width"]),
    }  # fmt: skip
    return Plan(window, scale, count, Notice("input-need-windows", told | values))


def _covering(sides: Sequence[int]) -> int:
    """What ``COVERED`` of the sides aren't over; choose_resize has refused an empty list."""
    return sorted(sides)[math.ceil(COVERED * len(sides)) - 1]


def _input(side: int, scale: float, multiple: int) -> int:
    """A side of the frame in the input: rounded up, but never over the frame's own."""
    wanted = math.ceil(side / scale / multiple) * multiple
    return max(multiple, min(wanted, side // multiple * multiple))


def _window(side: int, multiple: int) -> int:
    """A window's side: no longer than it takes to hold the frame's."""
    return math.ceil(min(WINDOW, side) / multiple) * multiple


def finest_stride(scorer: Scorer, backbone: Backbone) -> int:
    """The stride of the finest feature map that the scorer takes, in pixels of the input."""
    if isinstance(scorer, Trainable):  # its maps are of a network of its own
        return TRAINED_STRIDE
    known = backbone.feature_info  # one that lacks a map says so when its graph is made
    strides = [known[name].stride for name in scorer.feature_maps(backbone) if name in known]
    return min(strides, default=TRAINED_STRIDE)


def in_pixels(asked: str | float, mm_per_pixel: float | None) -> float:
    """A defect's size in pixels of the frame.

    Args:
        asked: ``12px``, ``0.3mm`` or a number, of pixels.
        mm_per_pixel: of the frame, for millimetres.

    Raises:
        OptionError: it's neither, millimetres without their scale, or no size of a defect.
    """
    found = _ASKED.fullmatch(asked.strip()) if isinstance(asked, str) else None
    if isinstance(asked, str) and found is None:
        raise OptionError(
            f"smallest defect '{asked}': give pixels or millimetres, 12px or 0.3mm for instance"
        )
    value = float(asked) if found is None else float(found[1])
    if found is not None and (found[2] or "").lower() == "mm":
        if mm_per_pixel is None:
            raise OptionError(
                f"smallest defect '{asked}': how many millimetres is a pixel of the camera? Give "
                "--mm-per-pixel 0.025, say, or the size in pixels, 12px"
            )
        value /= mm_per_pixel
    if not 1 <= value <= LARGEST:
        raise OptionError(
            f"smallest defect of {value:.3g} pixels: give 1 to {LARGEST}; what is smaller than a pixel needs "
            "another lens or camera"
        )
    return value


__all__ = [
    "LARGEST",
    "MAX_SIDE",
    "PATCHES",
    "WINDOW",
    "Need",
    "Plan",
    "finest_stride",
    "in_pixels",
    "plan",
    "shrinking",
]
