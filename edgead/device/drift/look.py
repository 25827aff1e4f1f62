"""What a frame looks like in three numbers, for next to nothing: brightness, contrast, sharpness.

A thousand points on an even grid are enough, for what counts is the mean over hundreds of frames. Each of
the three answers to a cause of its own: less light takes brightness alone, for contrast is relative to it; a
lens out of focus takes sharpness, which is relative to contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.bgr import MIN_IMAGE_SIDE
from edgead.errors import FrameError
from edgead.roi import Roi
from edgead.types import Size

POINTS = 32
"""Points a side of the grid."""


@dataclass(frozen=True)
class Look:
    """A frame's look, in the frame's own levels: 0 to 255, or to 65535 of uint16.

    Attributes:
        level: mean over the points.
        deviation: standard deviation over the points.
        detail: root mean square difference of two points that are one pixel of the model apart.
    """

    level: float
    deviation: float
    detail: float


def look_at(frame: Any, size: Size, roi: Roi | None = None, scale: float | None = None) -> Look:
    """Measure a frame on about POINTS x POINTS points; it isn't changed, and hardly read.

    Args:
        frame: (H, W, 3) uint8, (H, W) or (H, W, 1) uint8 or uint16, any strides, in any channel order.
        size: (height, width) of the model's input. Sharpness is measured at its scale, since finer detail,
            and a sensor's noise with it, never gets to the model.
        roi: the region of interest: what lies outside of it isn't looked at.
        scale: frame pixels to a pixel of the model, where frames are judged in windows instead of resized.

    Raises:
        FrameError: the frame isn't one of these, or of another aspect than the region.
    """
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"the frame is a {type(frame).__name__}; give a numpy array (H, W, 3) or (H, W)")
    if frame.dtype.kind != "u" or frame.dtype.itemsize > 2:
        raise FrameError(f"the frame's dtype is {frame.dtype}; give uint8, or uint16 for mono")
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.ndim != 3 or frame.shape[2] not in (1, 3) or min(frame.shape[:2]) < MIN_IMAGE_SIDE:
        raise FrameError(f"the frame's shape is {frame.shape}; give (H, W, 3) or (H, W)")
    height, width = frame.shape[:2]
    pitch = min(height / size[0], width / size[1]) if scale is None else scale
    apart = max(1, min(round(pitch), min(height, width) // 4))
    if roi is None:
        here, right, below = _points(frame, apart)
    else:
        roi.check(frame.shape)
        box = roi.box(frame.shape)
        here, right, below = _points_inside(frame[box], roi.inside(frame.shape)[box], apart)
    here = here.astype(np.float32)
    mean = here.mean(tuple(range(here.ndim - 1)))
    detail = (_mean_square(here - right) + _mean_square(here - below)) / 2
    return Look(float(mean.mean()), _mean_square(here - mean) ** 0.5, detail**0.5)


def _points(frame: NDArray[Any], apart: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """About POINTS x POINTS points, and of each the one to the right of it, and below it, so far apart."""
    rows, columns = frame.shape[0] - apart, frame.shape[1] - apart
    down, along = max(1, rows // POINTS), max(1, columns // POINTS)
    right, below = frame[:rows:down, apart::along], frame[apart::down, :columns:along]
    return frame[:rows:down, :columns:along], right, below


def _points_inside(
    frame: NDArray[Any], inside: NDArray[np.bool_], apart: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Those of them that lie inside with their neighbours; of a region too thin for that, points alone."""
    apart = min(apart, min(inside.shape) - 1)
    here, right, below = _points(inside, apart)
    if (counted := here & right & below).any():
        here, right, below = (points[counted] for points in _points(frame, apart))
        return here, right, below
    points = frame[inside]
    points = points[:: max(1, len(points) // POINTS**2)]
    return points, points, points


def _mean_square(values: NDArray[np.float32]) -> float:
    flat = values.ravel()
    return float(flat @ flat) / flat.size


__all__ = ["Look", "look_at"]
