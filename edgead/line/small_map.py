"""Anomaly maps as small as a message takes: at most 64 x 64, each cell the largest value that it covers."""

from __future__ import annotations

import base64
import binascii
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.types import Prediction

SIDE = 64
AT_THRESHOLD = 128


def small_map(prediction: Prediction) -> dict[str, Any] | None:
    """The map of a prediction over its frame as a message has it: ``width``, ``height``, and ``data``.

    Values are uint8, 128 at the pixel threshold and 255 from twice that on, row by row in base64. None where
    there's no threshold to go by.
    """
    placement = prediction.placement
    if placement is None or not placement.pixel_threshold > 0:
        return None
    x, y, width, height = placement.box
    part = prediction.anomaly_map[y : y + height, x : x + width]
    if part.size == 0:
        return None
    small = reduced(part, placement.pixel_threshold)
    return {
        "width": small.shape[1],
        "height": small.shape[0],
        "data": base64.b64encode(small.tobytes()).decode(),
    }


def reduced(values: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """(h, w) float32 to at most 64 x 64 uint8; a small defect is as high as it was."""
    height, width = values.shape
    rows = np.arange(min(height, SIDE) + 1) * height // min(height, SIDE)
    columns = np.arange(min(width, SIDE)) * width // min(width, SIDE)
    # Rows by slices, which is several times as quick as reduceat over the whole map.
    bands = np.stack([values[top:end].max(axis=0) for top, end in pairwise(rows.tolist())])
    largest = np.maximum.reduceat(bands, columns, axis=1)
    scaled = np.rint(largest * np.float32(AT_THRESHOLD / threshold))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def map_of(message: Any) -> NDArray[np.uint8] | None:
    """The (h, w) uint8 map of such a message, or None where it's none."""
    try:
        width, height = int(message["width"]), int(message["height"])
        data = base64.b64decode(message["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    if not (1 <= width <= SIDE and 1 <= height <= SIDE and len(data) == width * height):
        return None
    return np.frombuffer(data, np.uint8).reshape(height, width)


__all__ = ["AT_THRESHOLD", "SIDE", "map_of", "reduced", "small_map"]
