"""What all the masks of one image mark together, at the image's size and at the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead.exif import UPRIGHT
from edgead.masks.file import MaskFile, read_mask_file
from edgead.masks.scale import Scaled, scale
from edgead.names import shown
from edgead.resize import FrameRule
from edgead.types import Size


@dataclass(frozen=True)
class Marks:
    """The masks of one image.

    Attributes:
        marked: (H, W) bool of the image's size, where any mask marks.
        files: what each file is; ``marked`` of theirs isn't kept.
        turned: whether the image carries an orientation and a mask none, so that one may be drawn on the
            picture as it's stored and the other is read as it's shown.
    """

    marked: NDArray[np.bool_]
    files: tuple[MaskFile, ...]
    turned: bool = False


def read_marks(
    files: Sequence[Path], shape: Size, image: Path | None = None, orientation: int = UPRIGHT
) -> Marks:
    """Read an image's masks.

    Args:
        files: the masks; where there are none, nothing is marked.
        shape: (height, width) of the image as it's shown.
        image: its file, for the message.
        orientation: what the image's file states.

    Raises:
        DatasetError: a mask's size isn't its image's.
        ImageError: a mask can't be read.
    """
    marked = np.zeros(shape, bool)
    read = []
    for path in files:
        mask = read_mask_file(path)
        if mask.marked.shape != tuple(shape):
            raise DatasetError(_other_size(mask, shape, image, orientation))
        marked |= mask.marked
        read.append(replace(mask, marked=np.zeros((0, 0), bool)))
    turned = orientation != UPRIGHT and any(mask.orientation == UPRIGHT for mask in read)
    return Marks(marked, tuple(read), turned)


def to_input(marked: NDArray[np.bool_], rule: FrameRule) -> Scaled:
    """Bring marks of a frame's size to its map's, ``map_size`` of the rule."""
    rows, columns = rule.valid_area(marked.shape)
    inner = scale(marked, (rows.stop - rows.start, columns.stop - columns.start))
    whole = np.zeros(rule.map_size(marked.shape), bool)
    whole[rows, columns] = inner.marked
    return replace(inner, marked=whole)


def read_mask(files: Sequence[Path], rule: FrameRule, frame_shape: Size) -> NDArray[np.bool_]:
    """Where any of an image's masks marks, at the map's size: (H, W) bool; raises as ``read_marks``."""
    return to_input(read_marks(files, frame_shape).marked, rule).marked


def _other_size(mask: MaskFile, shape: Size, image: Path | None, orientation: int) -> str:
    size = tuple(int(side) for side in mask.marked.shape)
    name = "its image" if image is None else f"its image {shown(image)}"
    advice = "they must be the same size"
    if orientation != UPRIGHT and mask.orientation == UPRIGHT and size == tuple(shape)[::-1]:
        advice = (
            f"the image is turned as its file says (EXIF orientation {orientation}) and the mask isn't: draw "
            "it on the image as a viewer shows it, or remove the orientation"
        )
    return f"{shown(mask.path)}: the mask is {size}, {name} {tuple(shape)} (height, width); {advice}"


__all__ = ["Marks", "read_marks", "read_mask", "to_input"]
