"""Masks that lie among the test images, beside them or in a class's folder of their own: no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError, ImageError
from edgead.masks import read_mask_file
from edgead.masks.beside import LOOKED_AT, Looks, find_masks, is_called_mask, name_pairs
from edgead.names import shown
from edgead.notices import Notice
from edgead.sampling import spread

_ADVICE = "move the masks to ground_truth/DEFECT, each named as its image"


@dataclass(frozen=True)
class Sorted:
    """The images of each class, the masks found among them by image, and what to say."""

    images: dict[str, list[Path]]
    masks: dict[Path, tuple[Path, ...]]
    notices: tuple[Notice, ...]


def sort_out(folder: Path, listed: Mapping[str, Sequence[Path]], good: str) -> Sorted:
    """Take the masks out of the listed images of each class.

    Args:
        folder: holds the classes' folders.
        listed: class to files; those without names that pair up aren't opened.
        good: the class of good images.

    Raises:
        DatasetError: whose masks they are can't be told, or an image that has one is among the good.
    """
    looks = Looks()
    images = {name: list(files) for name, files in listed.items()}
    masks: dict[Path, list[Path]] = {}
    notices: list[Notice] = []
    apart: dict[str, list[Path]] = {}
    for name in [each for each in images if each != good and _is_folder_of_masks(each, images, looks)]:
        apart[name] = images[name]
    images = {name: files for name, files in images.items() if name not in apart}
    for name, files in apart.items():
        owner = _owner(folder, name, images, good)
        pairs = _pair(folder / name, files, images[owner])
        for mask, image in pairs:
            masks.setdefault(image, []).append(mask)
        mask, image = pairs[0]
        notices.append(_notice(name, len(pairs), f"{owner}/{image.name}", f"{name}/{mask.name}"))
    for name, files in images.items():
        found = find_masks(files, looks)
        if not found:
            continue
        if unclear := {mask: several for mask, several in found.items() if len(several) > 1}:
            raise DatasetError(
                f"{folder / name}: masks lie beside the images, and which image they belong to isn't clear "
                f"({name_pairs(unclear)}); {_ADVICE}"
            )
        if name == good and (bad := {m: i for m, i in found.items() if _marks(m)}):
            raise DatasetError(
                f"{folder / name}: masks that mark defects lie beside good images ({name_pairs(bad)}); "
                "move what is defective to a folder with the defect's name"
            )
        images[name] = [file for file in files if file not in found]
        for mask, (image,) in found.items():
            if name != good:
                masks.setdefault(image, []).append(mask)
        mask, (image,) = next(iter(found.items()))
        notices.append(_notice(name, len(found), f"{name}/{image.name}", f"{name}/{mask.name}"))
    return Sorted(images, {image: tuple(sorted(files)) for image, files in masks.items()}, tuple(notices))


def _is_folder_of_masks(name: str, images: Mapping[str, Sequence[Path]], looks: Looks) -> bool:
    """Whether a class is called like masks or like another class with more, and its files look like masks."""
    if not (is_called_mask(name) or _shorter(name, images)):
        return False
    files = images[name]
    sample = [files[i] for i in spread(len(files), LOOKED_AT)]
    others = [other for key, listed in images.items() if key != name for other in listed[:1]]
    if all(looks.is_two_toned(other) for other in others):
        return False  # silhouettes throughout
    return 2 * sum(map(looks.is_two_toned, sample)) > len(sample)


def _shorter(name: str, images: Mapping[str, Sequence[Path]]) -> list[str]:
    """The classes whose name this one begins or ends with, the longest first."""
    whole = name.casefold()
    found = [
        other
        for other in images
        if other != name and (whole.startswith(other.casefold()) or whole.endswith(other.casefold()))
    ]
    return sorted(found, key=len, reverse=True)


def _owner(folder: Path, name: str, images: Mapping[str, Sequence[Path]], good: str) -> str:
    owners = [other for other in _shorter(name, images) if other != good]
    if not owners:
        raise DatasetError(f"{folder / name}: holds masks, not images of a defect; {_ADVICE}")
    return owners[0]


def _pair(folder: Path, masks: Sequence[Path], images: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each mask with the image whose name its own is, or begins or ends with; the longest such."""
    pairs = []
    for mask in masks:
        stem = mask.stem.casefold()
        fitting = [i for i in images if _belongs(stem, i.stem.casefold())]
        longest = max((len(i.stem) for i in fitting), default=0)
        best = [i for i in fitting if len(i.stem) == longest]
        if len(best) != 1:
            raise DatasetError(
                f"{folder}: holds masks, and which image {shown(mask.name)} belongs to isn't clear; {_ADVICE}"
            )
        pairs.append((mask, best[0]))
    return pairs


def _belongs(mask: str, image: str) -> bool:
    """Whether a mask's name holds an image's at one of its ends, without cutting a number in two."""
    if mask.startswith(image):
        rest = mask[len(image) :]
        return not (image[-1:].isdigit() and rest[:1].isdigit())
    if mask.endswith(image):
        rest = mask[: len(mask) - len(image)]
        return not (image[:1].isdigit() and rest[-1:].isdigit())
    return False


def _marks(mask: Path) -> bool:
    try:
        return bool(read_mask_file(mask).marked.any())
    except ImageError:
        return True


def _notice(name: str, count: int, image: str, mask: str) -> Notice:
    return Notice(
        "masks-beside", {"count": count, "folder": shown(name), "example": shown(mask), "image": shown(image)}
    )


__all__ = ["Sorted", "sort_out"]
