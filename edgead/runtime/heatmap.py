"""The picture of a verdict: the frame with its anomaly map over it."""

from __future__ import annotations

import cv2
import numpy as np

from edgead.resize import ResizeRule
from edgead.types import Image, Prediction


def draw_heatmap(frame: Image, prediction: Prediction, rule: ResizeRule, pixel_threshold: float) -> Image:
    """Lay the anomaly map over the frame: clear where all is well, yellow at the threshold, red at twice it.

    Args:
        frame: (H, W, 3) uint8 BGR, of any size; it isn't changed.
        prediction: the detector's, for this frame.
        rule: the detector's resize rule.
        pixel_threshold: the value of the map above which a pixel is anomalous.

    Returns:
        (H, W, 3) uint8 BGR of the frame's size, the regions outlined.
    """
    height, width = frame.shape[:2]
    rows, columns = rule.valid_area(frame.shape)
    inner = np.ascontiguousarray(prediction.anomaly_map[rows, columns])
    level = cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR) / max(pixel_threshold, 1e-12)
    heat = np.zeros((height, width, 3), np.float32)
    heat[..., 1] = 255 * np.clip(2 - level, 0, 1)
    heat[..., 2] = 255
    opacity = (0.7 * np.clip(level - 0.5, 0, 0.5) / 0.5)[..., None]
    drawn: Image = (frame * (1 - opacity) + heat * opacity).round().astype(np.uint8)
    line = max(1, round(min(height, width) / 256))
    for x, y, w, h in (region.box for region in prediction.regions):
        cv2.rectangle(drawn, (x, y), (x + w - 1, y + h - 1), (0, 0, 255), line)
    return drawn


__all__ = ["draw_heatmap"]
