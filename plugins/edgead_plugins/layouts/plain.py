"""A plain folder of good and bad images, under the names that people give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError
from edgead.types import Split
from edgead_plugins.layouts.folders import images_if_any, read_labelled, subfolders

GOOD_NAMES = ("good", "ok", "normal", "nominal", "pass")
"""What the folder of good images may be called, in upper or lower case."""

MASK_NAMES = ("ground_truth", "masks")

_NO_CLASS = (*MASK_NAMES, "train", "validation", "test")


@dataclass(frozen=True)
class Plain:
    """A folder of good images and beside it one for each defect (``bad``, ``ng``, ``scratch`` ...).

    They lie in ``test`` or in the folder itself; training images, if any, in ``train`` under one of the good
    names; masks, if any, in ``ground_truth/DEFECT`` or ``masks/DEFECT``, as ``masks_by_image`` finds them.
    """

    refines: tuple[str, ...] = ()

    def recognises(self, folder: Path) -> bool:
        return bool(_good_names(_labelled_folder(folder)))

    def read(self, folder: Path) -> Split:
        where = _labelled_folder(folder)
        masks = (folder / name for name in MASK_NAMES if (folder / name).is_dir())
        train = _one_good(folder / "train")
        found = read_labelled(where, _one_good(where) or GOOD_NAMES[0], next(masks, None), _NO_CLASS)
        return Split(
            train=images_if_any(folder / "train" / train) if train else (),
            test=found.samples,
            notes=found.notes,
        )


def _labelled_folder(folder: Path) -> Path:
    return folder / "test" if (folder / "test").is_dir() else folder


def _good_names(folder: Path) -> list[str]:
    return [name for name in subfolders(folder) if name.lower() in GOOD_NAMES]


def _one_good(folder: Path) -> str | None:
    names = _good_names(folder)
    if len(names) > 1:
        raise DatasetError(
            f"{folder}: '{names[0]}' and '{names[1]}' both mean good images; keep them in one folder"
        )
    return names[0] if names else None


__all__ = ["GOOD_NAMES", "MASK_NAMES", "Plain"]
