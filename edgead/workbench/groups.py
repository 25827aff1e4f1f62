"""Which good images show one part, so that they are held out together: as the user says, else as near copies.

A threshold promises something of parts that the model has never seen. An image whose part is among those
learned doesn't show such a part, and of several images of one part each says little that the others don't.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError, OptionError
from edgead.names import image_names, shown
from edgead.notices import Notice
from edgead.types import Progress
from edgead.workbench.good_images import GoodImages
from edgead.workbench.near_copies import Copies, find_copies

LEVELS: dict[str, Callable[[Path], str]] = {
    "parent": lambda path: path.parent.name,
    "grandparent": lambda path: path.parent.parent.name,
}
"""Folder levels that ``--group`` takes by name: that of the image, and the one above it."""
HARDLY = 2.0
"""Grey levels: where two images usually differ by no more, all may show one part."""
NAMED = 3

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """Which images belong together.

    Attributes:
        labels: (n,) int64, equal within a group, counted from 0 in the images' order.
        by: the pattern or level that the user gave; empty where near copies were looked for.
        notices: what the user should know of it.
    """

    labels: Integers
    by: str
    notices: tuple[Notice, ...]

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.labels.max()) + 1

    @property
    def is_plain(self) -> bool:
        """Whether each image is a group of its own."""
        return self.count == len(self.labels)


def group(frames: GoodImages, by: str | None, progress: Progress) -> Grouping:
    """Group the images by what the user says, or by what they show.

    Args:
        by: one of ``LEVELS``, or a regular expression with one group, searched for in the file's name; None
            to look for near copies.

    Raises:
        DatasetError: all images are one picture, or fewer than two groups come out.
        OptionError: ``by`` is no level and no such expression, or doesn't match a name.
    """
    labels = None if by is None else group_by_name(frames.paths, by)
    with progress("looking for near copies", None):
        copies = find_copies(frames)
    if copies.one_picture:
        raise DatasetError(
            f"all {len(frames)} images are the same picture, so a threshold can't be calibrated; give images "
            "of different parts, at least 2, better 50"
        )
    notices = []
    if copies.spread <= HARDLY:
        notices.append(Notice("hardly-differ", {"levels": round(copies.spread, 2)}))
    if labels is None or by is None:
        notices += _copies_found(frames.paths, copies)
        return Grouping(copies.labels, "", tuple(notices))
    return Grouping(labels, by, (*notices, *_copies_across(frames.paths, labels, copies, by)))


def group_by_name(paths: Sequence[Path], by: str) -> Integers:
    """(n,) labels of the files by a level or a pattern; see ``group``."""
    names = [LEVELS[by](path.absolute()) for path in paths] if by in LEVELS else _matched(paths, by)
    known: dict[str, int] = {}
    labels = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
    if len(known) < 2:
        raise DatasetError(
            f"--group {by} puts all {len(paths)} images into one group, '{names[0]}'; it takes two at least, "
            "one to learn from and one to hold out"
        )
    return labels


def _matched(paths: Sequence[Path], by: str) -> list[str]:
    levels = " or ".join(LEVELS)
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise OptionError(
            f"--group {by} isn't a regular expression ({error}), nor a folder level ({levels})"
        ) from None
    if pattern.groups != 1:
        raise OptionError(
            f"--group {by} must be a folder level ({levels}) or hold one group in parentheses, the part's "
            "name: '(part[0-9]+)_' for instance"
        )
    found = [pattern.search(path.name) for path in paths]
    missed = [path for path, match in zip(paths, found, strict=True) if not (match and match[1])]
    if missed:
        raise OptionError(
            f"--group {by} doesn't match {len(missed)} of {len(paths)} file names, '{shown(missed[0].name)}' "
            "for instance; give a pattern that says of each which part it shows"
        )
    return [match[1] for match in found if match]


def _copies_found(paths: Sequence[Path], copies: Copies) -> list[Notice]:
    parts = int(copies.labels.max()) + 1
    if parts == len(paths):
        return []
    if parts == 1:
        return [Notice("one-part", {"images": len(paths)})]
    return [
        Notice(
            "near-copies",
            {"images": len(paths), "parts": parts, "names": _alike(paths, copies.labels)},
        )
    ]


def _copies_across(paths: Sequence[Path], labels: Integers, copies: Copies, by: str) -> list[Notice]:
    """Near copies that the user's groups set apart: one of them may be learned, the other held out."""
    groups_of: dict[int, set[int]] = {}
    for part, label in zip(copies.labels.tolist(), labels.tolist(), strict=True):
        groups_of.setdefault(part, set()).add(label)
    torn = {part for part, groups in groups_of.items() if len(groups) > 1}
    if not torn:
        return []
    images = int(sum(part in torn for part in copies.labels.tolist()))
    only = np.array([part if part in torn else -1 - i for i, part in enumerate(copies.labels.tolist())])
    return [Notice("copies-across", {"images": images, "by": by, "names": _alike(paths, only)})]


def _alike(paths: Sequence[Path], labels: Integers) -> str:
    """Name some groups of more than one: 'a.png = b.png, c.png = d.png and 3 more'."""
    groups: dict[int, list[str]] = {}
    called = image_names(paths)
    for path, label in zip(paths, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(called[path])
    several = [names for names in groups.values() if len(names) > 1]
    said = [" = ".join(names[:NAMED]) + (" = ..." if len(names) > NAMED else "") for names in several[:NAMED]]
    more = len(several) - NAMED
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


__all__ = ["LEVELS", "Grouping", "group", "group_by_name"]
