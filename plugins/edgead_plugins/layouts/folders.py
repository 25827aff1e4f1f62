"""Pieces that layouts are made of: a folder for each class, and the masks that belong to images."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgead.images import SUFFIXES, list_images
from edgead.types import GOOD, Sample


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible folders in ``folder``, sorted; none where there's no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_if_any(folder: Path) -> tuple[Path, ...]:
    """Return the images in ``folder``, sorted; none where there's no such folder.

    Raises:
        edgead.errors.DatasetError: the folder is there and holds no image.
    """
    return tuple(list_images(folder)) if folder.is_dir() else ()


def labelled(
    folder: Path, good: str, masks: Path | None, leave_out: Collection[str] = ()
) -> tuple[Sample, ...]:
    """List the images of a folder that has a subfolder for each class, the good first.

    Args:
        good: the good images' subfolder.
        masks: the folder with a subfolder of masks for each defect, if any; it needn't exist.
        leave_out: subfolders that are no class.

    Raises:
        edgead.errors.DatasetError: a class holds no image.
    """
    defects = [name for name in subfolders(folder) if name != good and name not in leave_out]
    samples = [Sample(image, GOOD) for image in list_images(folder / good)]
    for defect in defects:
        mask = masks_by_image(masks / defect) if masks else {}
        samples += [Sample(image, defect, mask.get(image.stem, ())) for image in list_images(folder / defect)]
    return tuple(samples)


def masks_by_image(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the masks of each image, by the image's name without its ending.

    The masks of ``012.png`` are ``012_mask.*`` or else ``012.*``, or all the images in a folder ``012``.
    """
    if not folder.is_dir():
        return {}
    files = _images(folder)
    found: dict[str, tuple[Path, ...]] = {file.stem: (file,) for file in files}
    found.update({f.stem.removesuffix("_mask"): (f,) for f in files if f.stem.endswith("_mask")})
    several = {name: tuple(_images(folder / name)) for name in subfolders(folder)}
    found.update({name: masks for name, masks in several.items() if masks})
    return found


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


__all__ = ["images_if_any", "labelled", "masks_by_image", "subfolders"]
