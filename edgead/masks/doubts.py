"""What is doubtful about the masks of a data set, collected image by image and told as notices."""

from __future__ import annotations

from pathlib import Path

from edgead.masks.marks import Marks
from edgead.masks.scale import Scaled
from edgead.names import shown
from edgead.notices import Notice
from edgead.types import Size

MOST = 0.5
"""The share of an image over which a mask is told to mark most of it."""

_REMARKS = ("lossy", "grey", "alpha", "palette")


class Doubts:
    """Collects masks; a few bytes each.

    Example:
        >>> doubts = Doubts((256, 256))
        >>> doubts.notices()
        ()

    Args:
        size: (height, width) of the model's input.
    """

    def __init__(self, size: Size) -> None:
        self._size = size
        self._masked = 0
        self._files: dict[str, list[str]] = {remark: [] for remark in _REMARKS}
        self._empty: list[str] = []
        self._turned: list[str] = []
        self._shares: list[tuple[float, str]] = []
        self._regions = 0
        self._fine: list[tuple[int, str]] = []
        self._joined: list[tuple[int, str]] = []

    def add(self, image: Path, marks: Marks, scaled: Scaled) -> None:
        """Add a defective image that has masks."""
        self._masked += 1
        for file in marks.files:
            for remark in file.remarks:
                self._files[remark].append(_name(file.path))
        if marks.turned:
            self._turned.append(_name(image))
        if not scaled.regions:
            self._empty.append(_name(image))
            return
        self._shares.append((float(marks.marked.mean()), _name(image)))
        self._regions += scaled.regions
        if scaled.fine:
            self._fine.append((scaled.fine, _name(image)))
        if scaled.joined:
            self._joined.append((scaled.joined, _name(image)))

    def notices(self) -> tuple[Notice, ...]:
        """What to tell, the gravest first; nothing where nothing is doubtful."""
        found = []
        if self._empty:
            found.append(_first("mask-empty", self._empty, total=self._masked))
        if self._turned:
            found.append(_first("mask-turned", self._turned))
        whole = sorted(((s, name) for s, name in self._shares if s > MOST), reverse=True)
        if whole:
            code = "mask-most" if 2 * len(whole) > len(self._shares) else "mask-odd"
            share, name = whole[0]
            found.append(_first(code, [name] * len(whole), total=len(self._shares), share=share))
        found += [_first(f"mask-{remark}", files) for remark, files in self._files.items() if files]
        for code, parts in (("mask-fine", self._fine), ("mask-joined", self._joined)):
            if parts:
                count, (height, width) = sum(n for n, _ in parts), self._size
                values = {"total": self._regions, "height": height, "width": width}
                found.append(Notice(code, {"count": count, "example": max(parts)[1], **values}))
        return tuple(found)


def _first(code: str, names: list[str], **values: object) -> Notice:
    return Notice(code, {"count": len(names), "example": names[0], **values})


def _name(path: Path) -> str:
    return shown(Path(path.parent.name, path.name))


__all__ = ["MOST", "Doubts"]
