"""BTAD, the beanTech data set: MVTec's form with Italian names, ``ok`` and ``ko``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.types import Split
from edgead_plugins.layouts.folders import images_if_any, read_labelled, refuse_two_good


@dataclass(frozen=True)
class BTAD:
    """``train/ok``, ``test/ok``, ``test/ko`` and the masks in ``ground_truth/ko``, with their images' names.

    Images and masks are BMP or PNG, by category; a mask's ending may differ from its image's.
    """

    refines: tuple[str, ...] = ("plain",)

    def recognises(self, folder: Path) -> bool:
        return (folder / "test" / "ok").is_dir() and (folder / "test" / "ko").is_dir()

    def read(self, folder: Path) -> Split:
        refuse_two_good(folder / "train", "ok")
        found = read_labelled(folder / "test", "ok", folder / "ground_truth")
        return Split(images_if_any(folder / "train" / "ok"), found.samples, notes=found.notes)


__all__ = ["BTAD"]
