"""Pieces that layouts are made of: a folder for each class, and the masks that belong to images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError
from edgead.files import is_folder
from edgead.folders import GOOD_FOLDERS
from edgead.images import SUFFIXES, list_images
from edgead.masks import MaskNames
from edgead.masks.matching import image_stem
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.types import GOOD, Sample
from edgead_plugins.layouts.strays import sort_out


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible folders in ``folder``, sorted; none where there's no such folder."""
    if not is_folder(folder):
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_if_any(folder: Path) -> tuple[Path, ...]:
    """Return the images in ``folder``, sorted; none where there's no such folder.

    Raises:
        edgead.errors.DatasetError: the folder is there and holds no image.
    """
    return tuple(list_images(folder)) if is_folder(folder) else ()


@dataclass(frozen=True)
class Labelled:
    """The labelled images of a folder, the good first, and what to know of them, a line each."""

    samples: tuple[Sample, ...]
    notes: tuple[str, ...]


def labelled(
    folder: Path, good: str, masks: Path | None, leave_out: Collection[str] = ()
) -> tuple[Sample, ...]:
    """``read_labelled`` without its notes: the labelled images, the good first."""
    return read_labelled(folder, good, masks, leave_out).samples


def read_labelled(folder: Path, good: str, masks: Path | None, leave_out: Collection[str] = ()) -> Labelled:
    """List the images of a folder that has a subfolder for each class.

    Args:
        good: the good images' subfolder.
        masks: the folder with a subfolder of masks for each defect, if any; it needn't exist.
        leave_out: subfolders that are no class.

    Raises:
        edgead.errors.DatasetError: a class holds no image, two are of good images, or masks lie among the
            images and it isn't clear whose they are.
    """
    refuse_two_good(folder, good)
    defects = [name for name in subfolders(folder) if name != good and name not in leave_out]
    found = sort_out(folder, _list_all(folder, (good, *defects)), good)
    samples = [Sample(image, GOOD) for image in found.images[good]]
    notices: list[Notice] = list(found.notices)
    for defect in (name for name in defects if name in found.images):
        images = found.images[defect]
        where = _named(masks, defect) if masks else None
        mask = MaskNames(masks_by_image(where) if where else {})
        for image in images:
            own, beside = mask.find(image.stem) or (), found.masks.get(image, ())
            if own and beside:
                raise DatasetError(
                    f"{image}: has two masks, {shown(own[0])} and {shown(beside[0])}; keep one of them"
                )
            samples.append(Sample(image, defect, own or beside))
        if where:
            notices += _strays(where, images, {file for each in samples for file in each.masks})
    return Labelled(tuple(samples), tuple(say(notice) for notice in notices))


def refuse_two_good(folder: Path, good: str) -> None:
    """Refuse a folder in which another usual name of good images lies beside the one that is taken.

    Raises:
        edgead.errors.DatasetError: so it is.
    """
    names = subfolders(folder)
    others = [name for name in names if name != good and name.lower() in GOOD_FOLDERS]
    if good in names and others:
        raise DatasetError(
            f"{folder}: '{good}' and '{others[0]}' both mean good images; keep them in one folder"
        )


def masks_by_image(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the masks of each image, by the image's name without its ending.

    The masks of ``012.png`` are ``012_mask.*`` or else ``012.*``, or all the images in a folder ``012``.
    """
    if not is_folder(folder):
        return {}
    files = _images(folder)
    found: dict[str, tuple[Path, ...]] = {file.stem: (file,) for file in files}
    found.update({image_stem(file): (file,) for file in files if image_stem(file) != file.stem})
    several = {name: tuple(_images(folder / name)) for name in subfolders(folder)}
    found.update({name: masks for name, masks in several.items() if masks})
    return found


def _named(folder: Path, name: str) -> Path | None:
    """The subfolder of this name, or of the one that differs in upper and lower case alone."""
    return MaskNames({each: folder / each for each in subfolders(folder)}).find(name)


def _list_all(folder: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """List the images of every class; those without any are named together."""
    found: dict[str, list[Path]] = {}
    problems: list[DatasetError] = []
    for name in names:
        try:
            found[name] = list_images(folder / name)
        except DatasetError as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise DatasetError(" | ".join(map(str, problems)))
    return found


def _strays(folder: Path, images: Sequence[Path], used: Collection[Path]) -> list[Notice]:
    """Tell of masks that no image has, and of files that would be masks by their names but for the ending."""
    stems = {image.stem.casefold() for image in images}
    every = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    strays = [p for p in _images(folder) if p not in used and image_stem(p).casefold() not in stems]
    strays += [
        path
        for name in subfolders(folder)
        for path in _images(folder / name)[:1]
        if path not in used and name.casefold() not in stems
    ]
    unread = [
        path for path in every if path.suffix.lower() not in SUFFIXES and image_stem(path).casefold() in stems
    ]
    where = shown(Path(folder.parent.name, folder.name))
    return [
        Notice(code, {"count": len(files), "folder": where, "example": shown(files[0].name)})
        for code, files in (("stray-masks", strays), ("unread-masks", unread))
        if files
    ]


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


__all__ = [
    "Labelled",
    "images_if_any",
    "labelled",
    "masks_by_image",
    "read_labelled",
    "refuse_two_good",
    "subfolders",
]
