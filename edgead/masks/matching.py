"""Which mask belongs to which image: by its name, whatever the ending and the case of its letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

ENDING = "_mask"


class MaskNames(Generic[T]):
    """Things by the image's name without ending: as it's written first, then in upper or lower case alike.

    Args:
        things: name to thing, as an image's ``stem``. Two names that differ in case alone are only found as
            they're written.
    """

    def __init__(self, things: Mapping[str, T]) -> None:
        self._exact = dict(things)
        self._folded: dict[str, list[T]] = {}
        for name, thing in things.items():
            self._folded.setdefault(name.casefold(), []).append(thing)

    def find(self, stem: str) -> T | None:
        """The thing of an image of this name, or None."""
        if stem in self._exact:
            return self._exact[stem]
        alike = self._folded.get(stem.casefold(), [])
        return alike[0] if len(alike) == 1 else None


def image_stem(mask: Path) -> str:
    """The name of the image that ``012_mask.png`` or ``012_MASK.PNG`` belongs to; of others their own."""
    stem = mask.stem
    return stem[: -len(ENDING)] if stem.casefold().endswith(ENDING) and len(stem) > len(ENDING) else stem


def grouped(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Mask files by the name of the image that they belong to; each also by its own name."""
    found: dict[str, list[Path]] = {}
    for file in files:
        for stem in dict.fromkeys((image_stem(file), file.stem)):
            found.setdefault(stem, []).append(file)
    return found


__all__ = ["MaskNames", "grouped", "image_stem"]
