"""Annotated defects, for methods that learn from a few of them: images, and masks that say where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError, FrameError, ImageError
from edgead.exif import orientation
from edgead.files import exists, is_folder
from edgead.images import list_images, read_image
from edgead.masks import Doubts, MaskNames, read_marks, to_input
from edgead.masks.file import bytes_of
from edgead.masks.matching import grouped
from edgead.notices import Notice
from edgead.resize import ResizeRule
from edgead.types import Defect, Image, Progress

IMAGES, MASKS = "images", "masks"


def find_defects(folder: Path) -> list[tuple[Path, Path]]:
    """List the images in ``folder/images`` with their masks in ``folder/masks``.

    The mask of ``012.jpg`` is ``012.png`` or ``012_mask.png``, of any kind of image, in upper or lower case.

    Raises:
        DatasetError: a folder is missing or empty, an image has no mask, or more than one.
    """
    images = list_images(_part(folder, IMAGES))
    masks = MaskNames(grouped(list_images(_part(folder, MASKS))))
    found = []
    for image in images:
        own = masks.find(image.stem) or []
        if len(own) != 1:
            held = f"holds {own[0].name} and {own[1].name}" if own else "has none of that name"
            raise DatasetError(
                f"{image}: needs one mask, {image.stem}.png, and {folder / MASKS} {held}; give each image one"
            )
        found.append((image, own[0]))
    return found


def _part(folder: Path, name: str) -> Path:
    folder = Path(folder)
    if not exists(folder):
        raise DatasetError(f"{folder}: no such folder of annotated defects; check the path")
    alike = sorted(p for p in folder.iterdir() if p.name.casefold() == name) if is_folder(folder) else []
    part = folder / name if (folder / name).is_dir() or len(alike) != 1 else alike[0]
    if not is_folder(part):
        raise DatasetError(f"{folder}: no folder {name} in it; annotated defects are in {IMAGES} and {MASKS}")
    return part


def read_defects(
    folders: Sequence[Path],
    rule: ResizeRule,
    progress: Progress,
    *,
    depth: int | None = None,
    tell: Callable[[Notice], None] = lambda notice: None,
) -> tuple[Defect, ...]:
    """Read annotated defects and bring them to the model's size, by the rules of ``edgead.masks``.

    Args:
        depth: significant bits of 16-bit images; a mask's values are what they are.
        tell: is given what is doubtful about the masks.

    Raises:
        DatasetError: as ``find_defects``; or a mask isn't of its image's size, or marks nothing.
        ImageError: an image or a mask can't be read.
    """
    pairs = [pair for folder in folders for pair in find_defects(folder)]
    if not pairs:
        return ()
    found = []
    doubts = Doubts(rule.size)
    with progress("reading defects", len(pairs)) as advance:
        for image_file, mask_file in pairs:
            image = read_image(image_file, depth)
            stated = orientation(bytes_of(image_file))
            marks = read_marks((mask_file,), (image.shape[0], image.shape[1]), image_file, stated)
            if not marks.marked.any():
                raise DatasetError(f"{mask_file}: marks nothing; mark the defect with any value but 0")
            scaled = to_input(marks.marked, rule)
            doubts.add(image_file, marks, scaled)
            found.append((_input(image, image_file, rule), _judged(scaled.marked, mask_file, rule, image)))
            advance(1)
    for notice in doubts.notices():
        tell(notice)
    return tuple(found)


def _input(image: Image, file: Path, rule: ResizeRule) -> Image:
    try:
        return rule.apply(image)
    except FrameError as error:  # of another aspect than the region of interest
        raise ImageError(f"{file}: {error}") from None


def _judged(marked: NDArray[np.bool_], file: Path, rule: ResizeRule, image: Image) -> NDArray[np.uint8]:
    """The marks that lie where images are judged."""
    inside = rule.inside(image.shape)
    marked = marked if inside is None else marked & inside
    if not marked.any():
        raise DatasetError(
            f"{file}: marks nothing inside of the region of interest, so nothing can be learned from it; "
            "leave it out with its image"
        )
    return marked.astype(np.uint8)


def covered(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 where at least half is covered, or half of the most that anything is; of shares 0 to 1, any shape."""
    return (
        (share >= min(0.5, float(share.max()) / 2)).astype(np.uint8)
        if share.any()
        else share.astype(np.uint8)
    )


__all__ = ["Defect", "covered", "find_defects", "read_defects"]
