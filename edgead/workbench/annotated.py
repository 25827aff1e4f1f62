"""Annotated defects, for methods that learn from a few of them: images, and masks that say where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead.images import list_images, read_image
from edgead.resize import ResizeRule
from edgead.types import Image, Progress

IMAGES, MASKS = "images", "masks"
Defect = tuple[Image, NDArray[np.uint8]]
"""An image (H, W, 3) uint8 BGR and its mask (H, W) uint8, 1 where it's defective, after the resize rule."""


def find_defects(folder: Path) -> list[tuple[Path, Path]]:
    """List the images in ``folder/images`` with their masks in ``folder/masks``.

    The mask of ``012.jpg`` is ``012.png`` or ``012_mask.png``, of any kind of image.

    Raises:
        DatasetError: a folder is missing or empty, an image has no mask, or more than one.
    """
    images = list_images(_part(folder, IMAGES))
    masks: dict[str, list[Path]] = {}
    for file in list_images(_part(folder, MASKS)):
        masks.setdefault(file.stem, []).append(file)
    found = []
    for image in images:
        own = [*masks.get(image.stem, ()), *masks.get(f"{image.stem}_mask", ())]
        if len(own) != 1:
            held = f"holds {own[0].name} and {own[1].name}" if own else "has none of that name"
            raise DatasetError(
                f"{image}: needs one mask, {image.stem}.png, and {folder / MASKS} {held}; give each image one"
            )
        found.append((image, own[0]))
    return found


def _part(folder: Path, name: str) -> Path:
    part = Path(folder) / name
    if not part.is_dir():
        raise DatasetError(f"{folder}: no folder {name} in it; annotated defects are in {IMAGES} and {MASKS}")
    return part


def read_defects(folders: Sequence[Path], rule: ResizeRule, progress: Progress) -> tuple[Defect, ...]:
    """Read annotated defects and bring them to the model's size.

    A mask's pixel is defective where it isn't 0. At the model's size one is where at least half of what it
    shows is, or, of a defect too fine for that, where half as much is as at the most.

    Raises:
        DatasetError: as ``find_defects``; or a mask isn't of its image's size, or is 0 everywhere.
        ImageError: an image or a mask can't be read.
    """
    pairs = [pair for folder in folders for pair in find_defects(folder)]
    if not pairs:
        return ()
    found = []
    with progress("reading defects", len(pairs)) as advance:
        for image_file, mask_file in pairs:
            image, mask = read_image(image_file), read_image(mask_file).max(axis=2) > 0
            if mask.shape != image.shape[:2]:
                raise DatasetError(
                    f"{mask_file}: the mask is {mask.shape}, its image {image.shape[:2]} (height, width); "
                    "they must be the same size"
                )
            if not mask.any():
                raise DatasetError(f"{mask_file}: marks nothing; mark the defect with any value but 0")
            found.append((rule.apply(image), _shrink(mask, rule)))
            advance(1)
    return tuple(found)


def _shrink(mask: NDArray[np.bool_], rule: ResizeRule) -> NDArray[np.uint8]:
    rows, columns = rule.valid_area(mask.shape)
    inner = (columns.stop - columns.start, rows.stop - rows.start)
    share = np.zeros(rule.size, np.float32)
    share[rows, columns] = cv2.resize(mask.astype(np.float32), inner, interpolation=cv2.INTER_AREA)
    return covered(share)


def covered(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 where at least half is covered, or half of the most that anything is; of shares 0 to 1, any shape."""
    return (
        (share >= min(0.5, float(share.max()) / 2)).astype(np.uint8)
        if share.any()
        else share.astype(np.uint8)
    )


__all__ = ["Defect", "covered", "find_defects", "read_defects"]
