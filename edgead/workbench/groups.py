"""Which good images show one part, so that they are held out together: as the user says, else as near copies.

A threshold promises something of parts that the model has never seen. An image whose part is among those
learned doesn't show such a part, and of several images of one part each says little that the others don't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.device.near_copies import Copies, find_copies
from edgead.device.parts import HARDLY, LEVELS, alike, copies_found, group_by_name
from edgead.errors import DatasetError
from edgead.notices import Notice
from edgead.roi import RoiRule
from edgead.types import Progress
from edgead.workbench.good_images import GoodImages

Integers = NDArray[np.int64]


EACH = "none"
"""What ``--group`` takes for no groups, not even of near copies: the line shows these very parts again."""


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
            to look for near copies, ``EACH`` to take each image for a part of its own all the same.

    Raises:
        DatasetError: all images are one picture, or fewer than two groups come out.
        OptionError: ``by`` is no level and no such expression, or doesn't match a name.
    """
    labels = None if by in (None, EACH) else group_by_name(frames.paths, str(by))
    with progress("looking for near copies", None):
        copies = find_copies(frames)
    if copies.one_picture:
        if isinstance(frames.rule, RoiRule):
            raise DatasetError(
                f"all {len(frames)} images are the same inside of the region of interest, so a threshold "
                "can't be calibrated; draw it larger, or give images of different parts"
            )
        raise DatasetError(
            f"all {len(frames)} images are the same picture, so a threshold can't be calibrated; give images "
            "of different parts, at least 2, better 50"
        )
    notices = []
    if copies.spread <= HARDLY:
        notices.append(Notice("hardly-differ", {"levels": round(copies.spread, 2)}))
    if by == EACH:
        parts = int(copies.labels.max()) + 1
        if parts < len(frames):
            notices.append(Notice("copies-apart", {"images": len(frames), "parts": parts}))
        return Grouping(np.arange(len(frames)), "", tuple(notices))
    if labels is None or by is None:
        notices += copies_found(frames.paths, copies)
        return Grouping(copies.labels, "", tuple(notices))
    return Grouping(labels, by, (*notices, *_copies_across(frames.paths, labels, copies, by)))


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
    return [Notice("copies-across", {"images": images, "by": by, "names": alike(paths, only)})]


__all__ = ["EACH", "LEVELS", "Grouping", "group", "group_by_name"]
