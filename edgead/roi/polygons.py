"""A region drawn as polygons: JSON in, a mask out.

Coordinates are the frame's pixels, x to the right and y down; (0, 0) is the outer corner of the first pixel
and (width, height) that of the last. A pixel is inside where its centre is inside of a polygon and of no
hole. What a polygon that crosses itself goes round twice is outside of it (the even-odd rule).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgead.errors import ManifestError, RoiError
from edgead.images import MAX_PIXELS, MIN_IMAGE_SIDE
from edgead.manifest.strict import ADDED, UNNAMED, load, read

MAX_POLYGONS = 1000
"""Polygons and holes together."""
MAX_VERTICES = 10_000
"""Vertices of all of them together."""
MAX_SIDE = 1 << 15
MAX_WORK = 2_000_000_000
"""Pixels of the boxes around all polygons together: some seconds' work."""

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Polygons:
    """What a file of polygons holds.

    Attributes:
        width, height: of the frames that it was drawn on, in pixels.
        polygons: each three vertices (x, y) or more; what any of them goes round is inside.
        holes: likewise; what any of them goes round is outside all the same.
    """

    width: int
    height: int
    polygons: tuple[Polygon, ...]
    holes: tuple[Polygon, ...] = field(default=(), metadata=ADDED)

    def mask(self) -> NDArray[np.bool_]:
        """(height, width) bool, True inside."""
        size = self.height, self.width
        return drawn(self.polygons, size) & ~drawn(self.holes, size)


def read_polygons(data: bytes) -> Polygons:
    """Read JSON as a user gives it.

    Raises:
        RoiError: it's no such JSON, or out of bounds; the message begins with what is wrong, for the file's
            name to be put before it.
    """
    try:
        found: Polygons = read(Polygons, load(data, UNNAMED), UNNAMED)
    except ManifestError as error:
        raise RoiError(
            f'{error}; give {{"width": W, "height": H, "polygons": [[[x, y], ...], ...]}}, and "holes" if any'
        ) from None
    _check(found)
    return found


def _check(found: Polygons) -> None:
    width, height = found.width, found.height
    if not all(MIN_IMAGE_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise RoiError(
            f"width {width} and height {height} must be from {MIN_IMAGE_SIDE} to {MAX_SIDE} pixels; give "
            "the size of the frames that the polygons were drawn on"
        )
    if width * height > MAX_PIXELS:
        raise RoiError(
            f"{width} x {height} pixels is over the limit of {MAX_PIXELS // 10**6} megapixels; give "
            "the polygons on smaller frames"
        )
    if not found.polygons:
        raise RoiError("no polygon is in it; give one at least")
    named = [(f"polygons[{i}]", each) for i, each in enumerate(found.polygons)]
    named += [(f"holes[{i}]", each) for i, each in enumerate(found.holes)]
    if len(named) > MAX_POLYGONS:
        raise RoiError(f"{len(named)} polygons and holes are over the limit of {MAX_POLYGONS}; give fewer")
    if (vertices := sum(len(each) for _, each in named)) > MAX_VERTICES:
        raise RoiError(
            f"{vertices} vertices are over the limit of {MAX_VERTICES}; draw it coarser, or give a mask image"
        )
    for name, polygon in named:
        if len(polygon) < 3:
            raise RoiError(f"{name} has {len(polygon)} vertices; a polygon has three at least")
        for place, (x, y) in enumerate(polygon):
            if not (0 <= x <= width and 0 <= y <= height):
                raise RoiError(
                    f"{name}[{place}] at x {x:g}, y {y:g} lies outside of the {width} x {height} pixels "
                    "(width x height); give x before y, and the size of the frames that it was drawn on"
                )
    boxes = (_box(polygon) for _, polygon in named)
    if sum((bottom - top) * (right - left) for top, bottom, left, right in boxes) > MAX_WORK:
        raise RoiError("so many polygons of that size take too long to draw; give a mask image instead")


def drawn(polygons: Sequence[Polygon], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where any of the polygons, which lie in the frame, lies: (height, width) bool, by the pixels' centres.

    Along a row through the centres, each edge that crosses it turns inside to outside or back from the first
    centre on that isn't left of the crossing.
    """
    whole = np.zeros(size, bool)
    for polygon in polygons:
        top, bottom, left, right = _box(polygon)
        turns = np.zeros((bottom - top, right - left + 1), bool)
        for start, end in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            rows, crossings = _crossings(start, end)
            columns = np.clip(np.ceil(crossings - 0.5), left, right).astype(np.intp)
            turns[rows - top, columns - left] ^= True
        whole[top:bottom, left:right] |= np.logical_xor.accumulate(turns, axis=1)[:, :-1]
    return whole


def _box(polygon: Polygon) -> tuple[int, int, int, int]:
    """The rows and columns that it lies within: the first and the one after the last."""
    x, y = [vertex[0] for vertex in polygon], [vertex[1] for vertex in polygon]
    return math.floor(min(y)), math.ceil(max(y)), math.floor(min(x)), math.ceil(max(x))


def _crossings(start: Sequence[float], end: Sequence[float]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The rows whose centres an edge crosses, its upper end counted and its lower one not, and where (x)."""
    (x0, y0), (x1, y1) = sorted((start, end), key=lambda vertex: vertex[1])
    rows = np.arange(math.ceil(y0 - 0.5), math.ceil(y1 - 0.5))
    slope = (x1 - x0) / (y1 - y0) if len(rows) else 0.0
    return rows, np.asarray(x0 + (rows + 0.5 - y0) * slope, np.float64)


__all__ = ["MAX_POLYGONS", "MAX_SIDE", "MAX_VERTICES", "Polygons", "drawn", "read_polygons"]
