"""Which images show one part, by their names; and how near copies among them are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.device.near_copies import Copies
from edgead.errors import DatasetError, OptionError
from edgead.names import image_names, shown
from edgead.notices import Notice

LEVELS: dict[str, Callable[[Path], str]] = {
    "parent": lambda path: path.parent.name,
    "grandparent": lambda path: path.parent.parent.name,
}
"""Folder levels that ``--group`` takes by name: that of the image, and the one above it."""
HARDLY = 2.0
"""Grey levels: where two images usually differ by no more, all may show one part."""
NAMED = 3

Integers = NDArray[np.int64]


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


def copies_found(paths: Sequence[Path], copies: Copies) -> list[Notice]:
    """What to know of near copies among images; nothing where there are none."""
    parts = int(copies.labels.max()) + 1
    if parts == len(paths):
        return []
    if parts == 1:
        return [Notice("one-part", {"images": len(paths)})]
    return [
        Notice(
            "near-copies",
            {"images": len(paths), "parts": parts, "names": alike(paths, copies.labels)},
        )
    ]


def alike(paths: Sequence[Path], labels: Integers) -> str:
    """Name some groups of more than one: 'a.png = b.png, c.png = d.png and 3 more'."""
    groups: dict[int, list[str]] = {}
    called = image_names(paths)
    for path, label in zip(paths, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(called[path])
    several = [names for names in groups.values() if len(names) > 1]
    said = [" = ".join(names[:NAMED]) + (" = ..." if len(names) > NAMED else "") for names in several[:NAMED]]
    more = len(several) - NAMED
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


__all__ = ["HARDLY", "LEVELS", "alike", "copies_found", "group_by_name"]
