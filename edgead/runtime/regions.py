"""Regions: the connected areas of a mask, as boxes in the frame's own pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.resize import FrameRule
from edgead.types import Region

MIN_AREA = 4
"""Areas of fewer mask pixels are left out."""


def find_regions(
    anomaly_map: NDArray[np.float32], mask: NDArray[np.bool_], rule: FrameRule, frame_shape: Sequence[int]
) -> tuple[Region, ...]:
    """Return the mask's 8-connected areas, the highest peak first.

    Args:
        anomaly_map: (H, W) float32, of the rule's ``map_size``.
        mask: (H, W) bool.
        rule: what made the input of the frame.
        frame_shape: (height, width, ...) of the frame.
    """
    if not mask.any():
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    scale = rule.area_scale(frame_shape)
    regions = []
    for label in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[label])
        if area < MIN_AREA:
            continue
        inside = labels[y : y + height, x : x + width] == label
        peak = float(anomaly_map[y : y + height, x : x + width][inside].max())
        box = rule.to_frame((x, y, width, height), frame_shape)
        regions.append(Region(box, max(1, round(area * scale)), peak))
    return tuple(sorted(regions, key=lambda region: -region.peak))
