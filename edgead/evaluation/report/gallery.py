"""Collects what the report shows of an image while it's evaluated: two thumbnails and the mask's outline."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.evaluate import Judged
from edgead.evaluation.report.rendering import import_jinja2
from edgead.heatmap import overlay
from edgead.images import MIN_IMAGE_SIDE
from edgead.names import shown
from edgead.runtime.detector import Detector
from edgead.types import Image, Prediction

SIDE = 320
"""Longest side of a thumbnail in pixels; smaller images stay as they are."""
QUALITY = 75
OUTLINE_LENGTH = 6000
"""Longest outline in characters; the corners of a longer one are thinned out."""


@dataclass(frozen=True)
class Entry:
    """An image as the page shows it.

    Attributes:
        judged: what it is, and the verdict.
        size: (width, height) of the thumbnails.
        pictures: the image and the heatmap laid over it: WebP in base64.
        outline: the marked defect in the thumbnails' pixels, as the path of an SVG; empty where none is.
    """

    judged: Judged
    size: tuple[int, int]
    pictures: tuple[str, str]
    outline: str


class Gallery:
    """The images of one evaluation, encoded at once: some 10 to 25 KB each, whatever their size.

    Args:
        detector: whose predictions are added; its pixel threshold fixes the heatmaps' colours.

    Raises:
        edgead.errors.MissingDependencyError: what writes the report isn't installed.
    """

    def __init__(self, detector: Detector) -> None:
        import_jinja2()
        self._rule = detector.rule
        self._limits = detector.limits()
        self.entries: list[Entry] = []

    def add(self, judged: Judged, frame: Image, prediction: Prediction, mask: NDArray[np.bool_]) -> None:
        """Keep an image; to be passed to ``evaluate``, which says what the arguments are."""
        area = self._rule.valid_area(frame.shape)
        small = _shrink(frame)
        marked = prediction.is_anomalous
        drawn = overlay(
            small,
            prediction.anomaly_map[area],
            self._limits.pixel,
            outline=marked,
            smallest_area=self._limits.smallest_area,
            inside=None if (inside := self._rule.inside(frame.shape)) is None else inside[area],
        )
        height, width = small.shape[:2]
        outline = _outline(mask[area], (width, height)) if mask.any() else ""
        self.entries.append(Entry(judged, (width, height), (_webp(small), _webp(drawn)), outline))

    @property
    def bytes_per_image(self) -> float:
        """What an image takes in the file, on average."""
        sizes = [sum(map(len, e.pictures)) + len(e.outline) for e in self.entries]
        return sum(sizes) / len(sizes) if sizes else 0.0


def names(files: Sequence[Path]) -> list[str]:
    """The files' paths below the folder that they share, with forward slashes."""
    if not files:
        return []
    shared = os.path.commonpath([file.parent.absolute() for file in files])
    return [shown(Path(os.path.relpath(file.absolute(), shared)).as_posix()) for file in files]


def _shrink(image: Image) -> Image:
    factor = SIDE / max(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(MIN_IMAGE_SIDE, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _webp(image: Image) -> str:
    data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()
    return base64.b64encode(data).decode("ascii")


def _outline(mask: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """Run around the marked pixels, two pixels outside them, so that the line doesn't hide what it marks."""
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    grown = cv2.dilate(covered.astype(np.uint8), np.ones((5, 5), np.uint8))
    contours = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    tolerance = 0.7
    while True:
        corners = [cv2.approxPolyDP(contour, tolerance, True)[:, 0].tolist() for contour in contours]
        path = "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "z" for line in corners)
        if len(path) <= OUTLINE_LENGTH or tolerance > max(size):
            return path[: path.rfind("z", 0, OUTLINE_LENGTH) + 1]
        tolerance *= 2


__all__ = ["SIDE", "Entry", "Gallery", "names"]
