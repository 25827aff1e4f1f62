"""A region of interest as a user gives it: a mask image, or a ``.json`` of polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import ImageError, RoiError
from edgead.files import is_folder, read_plain
from edgead.images import MIN_IMAGE_SIDE
from edgead.masks import read_mask_file
from edgead.names import shown
from edgead.notices import Notice
from edgead.roi.polygons import read_polygons

MAX_JSON_BYTES = 1 << 20
SMALL = 0.1
"""Share of the frame under which a region leaves most of the model's input unused."""


@dataclass(frozen=True)
class Drawn:
    """A region as it was drawn.

    Attributes:
        mask: (H, W) bool, True inside.
        notices: what is doubtful about it.
    """

    mask: NDArray[np.bool_]
    notices: tuple[Notice, ...] = ()


def read_roi(path: Path, windows: bool = False) -> Drawn:
    """Read a region of interest.

    Args:
        path: a ``.json`` of ``edgead.roi.polygons.Polygons``, or a mask image as ``edgead.masks`` reads one:
            inside where it isn't 0, of one channel or of three equal ones.
        windows: frames are judged in windows, so a small region leaves none of their pixels unused.

    Raises:
        RoiError: the file says nothing of a region: no such polygons, colours, nothing inside.
        ImageError: the mask image can't be read.
    """
    path = Path(path)
    if is_folder(path):
        raise RoiError(
            f"{shown(path)}: a folder is no region of interest; give a mask image, or a .json of polygons"
        )
    found = _polygons(path) if path.suffix.lower() == ".json" else _mask(path)
    share = float(found.mask.mean())
    if not share:
        raise RoiError(
            f"{shown(path)}: nothing is inside of this region of interest; mark what is to be judged with "
            "any value but 0, or draw a polygon round it"
        )
    doubts = found.notices
    if share == 1:
        doubts += (Notice("roi-all", {"name": path.name}),)
    elif share < SMALL:
        doubts += (Notice("roi-small-windows" if windows else "roi-small", {"share": share}),)
    return Drawn(found.mask, doubts)


def _polygons(path: Path) -> Drawn:
    try:
        data = read_plain(path, MAX_JSON_BYTES)
    except FileNotFoundError:
        raise RoiError(f"{shown(path)}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise RoiError(f"{shown(path)}: can't be read ({reason}); give a file of polygons") from None
    try:
        return Drawn(read_polygons(data).mask())
    except RoiError as error:
        raise RoiError(f"{shown(path)}: {error}") from None


def _mask(path: Path) -> Drawn:
    try:
        found = read_mask_file(path)
    except ImageError as error:
        raise type(error)(f"{error} (it was given as the region of interest)") from None
    if found.is_coloured:
        raise RoiError(
            f"{shown(path)}: a picture with colours is no region of interest; give a mask of one channel, or "
            "of three equal ones: 0 outside, anything else inside"
        )
    if min(found.marked.shape) < MIN_IMAGE_SIDE:
        height, width = found.marked.shape
        raise RoiError(
            f"{shown(path)}: {width} x {height} pixels is too small; draw it on a frame as it's judged"
        )
    doubts = [Notice(f"mask-{code}", {"count": 1, "example": path.name}) for code in sorted(found.remarks)]
    return Drawn(found.marked, tuple(doubts))


__all__ = ["SMALL", "Drawn", "read_roi"]
