"""A camera's frame as the one kind that everything works on: (H, W, 3) uint8 BGR."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.depth import to_8_bits
from edgead.errors import FrameError

MIN_IMAGE_SIDE = 8
"""Shortest side in pixels of an image or frame that can be judged."""


def as_bgr(
    frame: NDArray[Any],
    channel_order: Literal["bgr", "rgb"] = "bgr",
    depth: int | None = None,
    least: int = MIN_IMAGE_SIDE,
) -> NDArray[np.uint8]:
    """Return a camera's frame as (H, W, 3) uint8 BGR; the input is never changed, and copied only if it must.

    Args:
        frame: (H, W, 3) uint8, (H, W) or (H, W, 1) uint8 mono, or the same uint16 mono. Any strides.
        channel_order: the order of a three-channel frame.
        depth: significant bits of a uint16 frame, 9 to 16; 16 if not given. A value v of n bits becomes
            ``round(v * 255 / (2**n - 1))``, so 16 bits are divided by 257. 10- and 12-bit camera formats
            (Mono10, Mono12) hold their values in the low bits: say 10 or 12.
        least: pixels that a side has at least; 1 for lines that are to be part of a frame.

    Raises:
        FrameError: any other type or shape, a side under ``least``, or values over the stated depth.
    """
    if channel_order not in ("bgr", "rgb"):
        raise FrameError(f"channel order '{channel_order}' is unknown; give 'bgr' or 'rgb'")
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"the frame is a {type(frame).__name__}; give a numpy array (H, W, 3) or (H, W)")
    if frame.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise FrameError(f"the frame's dtype is {frame.dtype}; give uint8, or uint16 for mono")
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    is_colour = frame.ndim == 3 and frame.shape[2] == 3
    if not (is_colour or frame.ndim == 2):
        raise FrameError(f"the frame's shape is {frame.shape}; give (H, W, 3) or (H, W)")
    if min(frame.shape[:2]) < least:
        raise FrameError(f"the frame's shape is {frame.shape}; {least} pixels a side is the least")
    if frame.dtype.itemsize == 2:
        if is_colour:
            raise FrameError("a three-channel frame must be uint8; convert it, or give mono uint16")
        frame = _to_8_bits(frame, 16 if depth is None else depth)
    elif depth is not None and depth != 8:
        raise FrameError(f"depth {depth} is for uint16 frames, this one is uint8; leave depth out")
    if not is_colour:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)  # type: ignore[no-any-return]
    if channel_order == "rgb":
        return cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)  # type: ignore[no-any-return]
    return frame


def _to_8_bits(frame: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    if not 9 <= depth <= 16:
        raise FrameError(f"depth {depth} is out of range; give the significant bits, 9 to 16")
    if depth < 16 and int(frame.max()) >= 1 << depth:
        raise FrameError(f"the frame holds {int(frame.max())}, over {depth} bits; give its true depth")
    return to_8_bits(depth)[frame]


__all__ = ["MIN_IMAGE_SIDE", "as_bgr"]
