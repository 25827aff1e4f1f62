"""Pictures of anomaly maps: a fixed scale, so that two pictures of one bundle can be compared.

A scale stretched to each image's own minimum and maximum makes every good part glow somewhere; here the
threshold fixes the scale, and it sits in the middle of it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.areas import without_small
from edgead.bgr import as_bgr
from edgead.errors import OptionError


def colour_scale(threshold: float) -> tuple[float, float]:
    """Return the ``low`` and ``high`` of ``heatmap`` that put the threshold in the middle of the colours.

    Raises:
        edgead.errors.OptionError: the threshold isn't a finite number over 0.
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise OptionError(f"a threshold of {threshold} gives no colour scale: pass a finite number over 0")
    return 0.5 * threshold, 1.5 * threshold


def heatmap(anomaly_map: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Colour an anomaly map: black up to ``low``, through purple and orange, pale yellow from ``high`` on.

    Args:
        anomaly_map: (h, w) float32; a value that isn't finite is shown as ``high``.
        low, high: the fixed ends of the scale, in the map's units; ``low < high``.

    Returns:
        (h, w, 3) uint8 BGR. The colours (matplotlib's inferno, as OpenCV has it) grow brighter with the
        value, so that the order survives grey printing and colour blindness.

    Raises:
        edgead.errors.OptionError: the map isn't two-dimensional, or the ends aren't finite and in order.
    """
    return np.asarray(cv2.applyColorMap(_levels(anomaly_map, low, high), cv2.COLORMAP_INFERNO), np.uint8)


def overlay(
    frame: NDArray[Any],
    anomaly_map: NDArray[np.float32],
    threshold: float,
    *,
    box: tuple[int, int, int, int] | None = None,
    opacity: float = 0.6,
    outline: bool = True,
    smallest_area: int = 0,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Lay an anomaly map over its frame and outline the mask.

    Below half the threshold the frame is untouched; the colours come in as the map rises towards it.

    Args:
        frame: a frame as ``edgead.bgr.as_bgr`` takes it, of any size; it isn't changed.
        anomaly_map: (h, w) float32, of any size.
        threshold: the pixel threshold: the mask is where the map is over it.
        box: x, y, width and height of the part of the map that shows the frame, where a letterbox pads the
            others; without it the map covers the whole frame.
        opacity: of the colours at the threshold and above, 0 to 1.
        outline: whether to outline the mask; a frame that passes has none, so give the verdict here.
        smallest_area: smaller areas of the map over the threshold, in its pixels, aren't in the mask.
        inside: (h, w) bool of the map's pixels: what isn't inside of a region of interest is hatched.

    Returns:
        (H, W, 3) uint8 BGR of the frame's size; the mask's outline is white on a dark line.

    Raises:
        edgead.errors.FrameError: the frame isn't one.
        edgead.errors.OptionError: the map isn't two-dimensional, or the threshold or opacity out of range.
    """
    if not 0 <= opacity <= 1:
        raise OptionError(f"opacity {opacity} is out of range: pass 0 to 1")
    picture = as_bgr(frame)
    height, width = picture.shape[:2]
    low, high = colour_scale(threshold)
    full = _finite(anomaly_map, high)
    if box is not None:
        x, y, width_shown, height_shown = box
        full = full[y : y + height_shown, x : x + width_shown]
        inside = None if inside is None else inside[y : y + height_shown, x : x + width_shown]
    over = full > threshold
    small = over & ~without_small(over, smallest_area)
    whole, full = full, cv2.resize(full, (width, height), interpolation=cv2.INTER_LINEAR)

    veil = np.clip((full - low) / (threshold - low), 0, 1)[..., None] * np.float32(opacity)
    mixed = picture + veil * (heatmap(full, low, high).astype(np.float32) - picture)
    drawn = np.ascontiguousarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))
    if inside is not None:
        shown = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        _hatch(drawn, shown < 0.5)
    if not outline:
        return drawn

    if small.any():  # their neighbours aren't over the threshold, so nothing of them is left
        whole = np.where(small, np.float32(threshold), whole)
        full = cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)
    outlines, _ = cv2.findContours(
        (full > threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    line = max(1, round(min(height, width) / 250))
    cv2.drawContours(drawn, outlines, -1, (20, 20, 20), 3 * line)
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), line)
    return drawn


def _hatch(picture: NDArray[np.uint8], where: NDArray[np.bool_]) -> None:
    """Darken a part of a picture and draw lines over it, for a picture that is dark already."""
    height, width = where.shape
    pitch = max(6, min(height, width) // 32)
    line = (np.arange(height)[:, None] + np.arange(width)) % pitch < max(1, pitch // 8)
    picture[where] = picture[where] // 2
    picture[where & line] = 110


def _levels(anomaly_map: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise OptionError(f"a scale from {low} to {high} has no colours: pass finite numbers, low < high")
    parts = np.clip((_finite(anomaly_map, high) - low) / (high - low), 0, 1)
    return np.asarray(np.round(parts * 255), np.uint8)


def _finite(anomaly_map: NDArray[np.float32], high: float) -> NDArray[np.float32]:
    values = np.asarray(anomaly_map, np.float32)
    if values.ndim != 2 or values.size == 0:
        raise OptionError(f"an anomaly map of shape {values.shape} can't be drawn: pass (h, w)")
    return np.where(np.isfinite(values), values, np.float32(high))


__all__ = ["colour_scale", "heatmap", "overlay"]
