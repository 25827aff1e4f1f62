"""Values that every part of edgead speaks of: sizes, images, precisions, progress, and a frame's verdict."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

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
class Placement:
    """How a prediction's map lies on its frame, and what it's coloured by.

    Attributes:
        frame_size: (height, width) of the frame.
        box: x, y, width and height, in the map's pixels, of the part that shows the frame; a letterbox pads
            the others.
        pixel_threshold: on an anomalous frame the mask is where the map is over it.
        depth: significant bits of uint16 frames where the detector knows them, else None.
        smallest_area: smaller areas of the map over the threshold, in its pixels, aren't in the mask.
        inside: (h, w) bool of the map's pixels, where the region of interest lies; None where all is judged.
    """

    frame_size: Size
    box: tuple[int, int, int, int]
    pixel_threshold: float
    depth: int | None = None
    smallest_area: int = 0
    inside: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The verdict on one frame.

    Two are equal where all their values are, the arrays' too. In a notebook it shows itself.

    Attributes:
        score: image score; raw, uncalibrated, at least 0.
        is_anomalous: ``score > threshold``, or ``lesson`` is a number.
        threshold: the threshold that was used.
        anomaly_map: (h, w) float32 at the model's input size, finite; the whole of it, whatever the verdict,
            and 0 outside of a region of interest.
        mask: (h, w) bool, where the map is over the pixel threshold; all False on a frame that passes. It can
            be so on an anomalous one, too: the two thresholds are on different things.
        regions: the mask's connected areas, the highest peak first, in the frame's own pixels; none on a
            frame that passes.
        placement: what drawing on the frame needs; a detector fills it in.
        lesson: the number of the lesson, see ``edgead.teach``, whose missed defect the frame shows again:
            it's anomalous then whatever its score. None on every other frame.
    """

    score: float
    is_anomalous: bool
    threshold: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    regions: tuple[Region, ...]
    placement: Placement | None = None
    lesson: int | None = None

    def draw(
        self,
        frame: NDArray[Any],
        *,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
        opacity: float = 0.6,
    ) -> Image:
        """Lay the anomaly map over the frame and outline the mask, as ``edgead run --out`` does.

        The scale is fixed: the frame is untouched below half the pixel threshold, and full colour from there
        on comes in towards it. A frame that passes has colours, and no outline. What
        lies outside of a region of interest is hatched.

        Args:
            frame: the frame that was judged, or a copy of it in another size; it isn't changed.
            channel_order, depth: of the frame, as the detector was told.
            opacity: of the colours at the threshold and above, 0 to 1.

        Returns:
            (H, W, 3) uint8 BGR of the frame's size.

        Raises:
            edgead.errors.FrameError: the frame isn't one, or has another shape than the judged one.
            edgead.errors.OptionError: opacity is out of range, or no detector made this prediction.
        """
        from edgead import showing

        return showing.draw(self, frame, channel_order=channel_order, depth=depth, opacity=opacity)

    def save(
        self,
        path: str | os.PathLike[str],
        frame: NDArray[Any],
        *,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
    ) -> Path:
        """Write what ``draw`` gives, whole or not at all, and return the path.

        Args:
            path: ends in ``.png``, ``.jpg`` or ``.jpeg``; its folder must exist, a file there is replaced.
            frame, channel_order, depth: as ``draw`` takes them.

        Raises:
            edgead.errors.OutputError: another ending, or it can't be written.
            edgead.errors.FrameError, edgead.errors.OptionError: as ``draw``.
        """
        from edgead import showing

        file = Path(path)
        showing.check_suffix(file)
        showing.save_picture(file, self.draw(frame, channel_order=channel_order, depth=depth))
        return file

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prediction):
            return NotImplemented
        return (
            (self.score, self.is_anomalous, self.threshold, self.lesson)
            == (other.score, other.is_anomalous, other.threshold, other.lesson)
            and (self.regions, self.placement) == (other.regions, other.placement)
            and np.array_equal(self.anomaly_map, other.anomaly_map)
            and np.array_equal(self.mask, other.mask)
        )

    def __repr__(self) -> str:
        from edgead import showing

        return showing.line(self)

    def _repr_html_(self) -> str:
        from edgead import showing

        return showing.html(self)

    def _repr_png_(self) -> bytes | None:
        from edgead import showing

        return None if self.placement is None else showing.png(self)


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
    "Placement",
    "Precision",
    "Prediction",
    "Progress",
    "Region",
    "Resize",
    "Size",
]
