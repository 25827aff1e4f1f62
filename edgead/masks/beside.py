"""Masks that lie among pictures: paired with one by name, told from it by what they show.

The word in a mask's name may be any, and a picture may be called like a mask. So names only say which files
are compared, and the pixels say which of them is a mask: nearly all of it is exactly one of two values, also
after a lossy file has blurred its edges (0.95 and more of real masks as JPEG of quality 30 to 95; 0.33 and
less of real pictures).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgead.errors import ImageError
from edgead.images import read_pixels
from edgead.sampling import spread

TWO_TONES = 0.85
"""Share of a mask's pixels that have one of its two commonest values."""
LOOKED_AT = 5
"""Files of a kind of name that are opened, to see whether the others are worth it."""

_FEW, _MANY = 8, 32
"""A mask has so few values where a picture of two tones, a silhouette, has many."""
_WORD = re.compile(
    r"(mask|(^|[^a-z])(gt|ground.?truth|labels?|seg|segmentation|anno|annotations?)([^a-z]|$))"
)
_FIRST = re.compile(r"^([^\W\d_]+)[_\-. ]*(?=.*\d)")
_LAST = re.compile(r"(?<=\d)[_\-. ]*([^\W\d_]+)$")


@dataclass(frozen=True)
class _Tones:
    share: float
    values: int

    @property
    def two(self) -> bool:
        return self.share >= TWO_TONES


class Looks:
    """What files show, each opened once; files that can't be read show nothing."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Tones | None] = {}

    def is_two_toned(self, file: Path) -> bool:
        """Whether a file has nearly only two values, or one."""
        tones = self._tones(file)
        return tones is not None and tones.two

    def is_mask_of(self, mask: Path, image: Path, named: bool) -> bool:
        """Whether one file has two tones and the other is a picture.

        Args:
            named: the mask's name says that it's one, so the picture may have two tones as well.
        """
        here = self._tones(mask)
        if here is None or not here.two:
            return False
        there = self._tones(image)
        if there is None:
            return named
        return named or not there.two or (here.values <= _FEW and there.values > _MANY)

    def _tones(self, file: Path) -> _Tones | None:
        if file not in self._seen:
            self._seen[file] = _look(file)
        return self._seen[file]


def find_masks(files: Sequence[Path], looks: Looks | None = None) -> dict[Path, tuple[Path, ...]]:
    """Return the masks among the files of a folder, each with the pictures that it may belong to.

    Only files whose names pair up are opened: the same name with another ending, one that begins or ends with
    the other, or two with different words around the same number; of each kind of name a few, and the rest
    where these are masks. More than one picture fits where several lie equally near by name.
    """
    looks = looks or Looks()
    kinds: dict[str, list[tuple[Path, list[list[Path]]]]] = {}
    for file, kind, tiers in _pairs(files):
        kinds.setdefault(kind, []).append((file, tiers))
    found: dict[Path, tuple[Path, ...]] = {}
    for kind, members in kinds.items():
        named = is_called_mask(kind)
        sample = [members[i] for i in spread(len(members), LOOKED_AT)]
        masks = sum(bool(_pictures(file, tiers, named, looks)) for file, tiers in sample)
        if 2 * masks < len(sample):
            continue
        for file, tiers in members:
            if pictures := _pictures(file, tiers, named, looks):
                found[file] = pictures
    return {
        mask: kept for mask, images in found.items() if (kept := tuple(i for i in images if i not in found))
    }


def is_called_mask(name: str) -> bool:
    """Whether a name, or what it has more than another, says by a usual word that it's of masks."""
    return _WORD.search(name.lower()) is not None


def name_pairs(masks: Mapping[Path, Sequence[Path]], limit: int = 3) -> str:
    """Name some masks, each with its picture."""
    some = [f"{mask.name} beside {images[0].name}" for mask, images in list(masks.items())[:limit]]
    return f"{', '.join(some)}, {len(masks)} in all"


def _pictures(file: Path, tiers: list[list[Path]], named: bool, looks: Looks) -> tuple[Path, ...]:
    """The nearest files that are pictures, if this one is a mask of theirs."""
    for tier in tiers:
        if pictures := tuple(other for other in tier if looks.is_mask_of(file, other, named)):
            return pictures
    return ()


def _pairs(files: Sequence[Path]) -> Iterable[tuple[Path, str, list[list[Path]]]]:
    """Yield (file, what its name has that the nearest one's hasn't, others from near to far)."""
    by_stem: dict[str, list[Path]] = {}
    by_core: dict[tuple[str, str], list[Path]] = {}
    longer: dict[str, list[str]] = {}
    for file in files:
        stem = file.stem.casefold()
        by_stem.setdefault(stem, []).append(file)
        for core in _cores(stem):
            by_core.setdefault(core, []).append(file)
    shorter = {stem: [part for part in _parts(stem) if part in by_stem] for stem in by_stem}
    for stem, parts in shorter.items():
        for part in parts:
            longer.setdefault(part, []).append(stem)
    for file in files:
        stem = file.stem.casefold()
        same = [other for other in by_stem[stem] if other != file]
        near = [(part, stem.replace(part, "", 1)) for part in shorter[stem]]
        far = [
            (whole, f"less {whole.replace(stem, '', 1)}") for whole in sorted(longer.get(stem, ()), key=len)
        ]
        tiers, affixes = ([same], [""]) if same else ([], [])
        for other, affix in (*near, *far):
            tiers.append(by_stem[other])
            affixes.append(affix)
        for core in _cores(stem):
            if others := [other for other in by_core[core] if other.stem.casefold() != stem]:
                tiers.append(others)
                affixes.append(f"{core[0]} {stem.replace(core[1], '')}")
        if tiers:
            ending = f"{file.suffix.lower()} {tiers[0][0].suffix.lower()}" if same else file.suffix.lower()
            yield file, f"{re.sub(r'[0-9]+', '#', affixes[0])}{ending}", tiers


def _parts(stem: str) -> list[str]:
    """What a name begins or ends with, the longest first; no number is cut in two."""
    cuts = range(1, len(stem))
    cuts_kept = [at for at in cuts if not (stem[at - 1].isdigit() and stem[at].isdigit())]
    return sorted({part for at in cuts_kept for part in (stem[:at], stem[at:])}, key=len, reverse=True)


def _cores(stem: str) -> list[tuple[str, str]]:
    """A name without its first word, and without its last, where a number remains."""
    found = [("first", _FIRST.sub("", stem))] if _FIRST.match(stem) else []
    return [*found, ("last", _LAST.sub("", stem))] if _LAST.search(stem) else found


def _look(file: Path) -> _Tones | None:
    try:
        pixels = read_pixels(file)
    except ImageError:
        return None
    counts = np.bincount(pixels.max(axis=2).ravel())
    return _Tones(float(np.sort(counts)[-2:].sum() / counts.sum()), int((counts > 0).sum()))


__all__ = ["LOOKED_AT", "TWO_TONES", "Looks", "find_masks", "is_called_mask", "name_pairs"]
