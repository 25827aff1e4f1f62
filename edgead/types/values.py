"""Values that every part of edgead speaks of: sizes, images, precisions, progress, and a frame's verdict."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in pixels."""

Image = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""

Precision = Literal["int8", "mixed", "bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("int8", "mixed", "bf16", "fp32")
"""The forms of a graph, the fastest first. int8: backbone and bank in INT8. mixed: as int8, but the
backbone's first convolution in FP32. bf16: backbone in BF16, bank in INT8. fp32: all in FP32."""

BankPrecision = Literal["fp32", "int8"]
Arithmetic = Literal["f32", "bf16"]
"""What an engine may calculate in where a graph isn't quantised."""

Resize = Literal["stretch", "letterbox"]


@dataclass(frozen=True)
class Region:
    """One connected area of a prediction's mask, in the frame's own pixels.

    Attributes:
        box: x, y, width, height.
        area: number of pixels.
        peak: the highest anomaly in it, in the anomaly map's units.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float


@dataclass(frozen=True)
class Prediction:
    """The verdict on one frame.

    Attributes:
        score: image score; raw, uncalibrated, at least 0.
        is_anomalous: ``score > threshold``.
        threshold: the threshold that was used.
        anomaly_map: (h, w) float32 at the model's input size, finite; the whole of it, whatever the verdict.
        mask: (h, w) bool, where the map is over the pixel threshold; all False on a frame that passes. It can
            be so on an anomalous one, too: the two thresholds are on different things.
        regions: the mask's connected areas, the highest peak first, in the frame's own pixels; none on a
            frame that passes.
    """

    score: float
    is_anomalous: bool
    threshold: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    regions: tuple[Region, ...]


class Progress(Protocol):
    """Reports long work. ``with progress(description, total) as advance: advance(1)``."""

    def __call__(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Begin a piece of work.

        Args:
            description: what is done, in a few words.
            total: how many steps it takes, or None where nobody knows.
        """
        ...


__all__ = [
    "PRECISIONS",
    "Arithmetic",
    "BankPrecision",
    "Image",
    "Precision",
    "Prediction",
    "Progress",
    "Region",
    "Resize",
    "Size",
]
