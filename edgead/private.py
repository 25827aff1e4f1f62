"""Files and folders that nobody but this user and root can change: what lies there may be believed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = stat.S_IWGRP | stat.S_IWOTH
MOST_LINKS = 40
"""Links followed on the way to a file, as Linux has it."""


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that aren't there, for this user alone.

    Raises:
        OSError: it can't be made.
    """
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)


def why_not(path: Path, *, own_folder: bool = False) -> str | None:
    """Say why a file or folder can't be believed, with what to do; None where it can.

    It, each folder above it and each link on the way must be root's or this user's, and writable by neither
    its group nor all; a folder above it may be where the sticky bit keeps others' hands off what isn't
    theirs, as in ``/tmp``. A group is never looked into, so a group of one user is one too. Of a path that
    isn't there yet, the folders that are there count. Windows has other rights, which aren't looked at.

    Args:
        own_folder: it must be a folder, where it's there, and this user's own: root's won't do.
    """
    if not hasattr(os, "geteuid"):
        return None
    try:
        for place, status, is_last in _way(path):
            if own_folder and is_last and (problem := _not_own_folder(place, status)):
                return problem
            if problem := _changeable(place, status, is_last):
                return problem
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{path} can't be looked at ({getattr(error, 'strerror', None) or error})"
    return None


def is_private_file(status: os.stat_result) -> bool:
    """Whether this is a plain file of this user's, which others can't write."""
    if not stat.S_ISREG(status.st_mode):
        return False
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & OTHERS)


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """Every folder and link that opening a path goes through, and what it leads to, which is the last."""
    whole = Path.cwd() / path
    here, links = Path(whole.anchor), 0
    left = list(reversed(whole.parts[1:]))
    yield here, here.lstat(), not left
    while left:
        name = left.pop()
        if name == "..":  # of where a link has led, as the system takes it
            here = here.parent
            continue
        place = here / name
        status = place.lstat()
        if not stat.S_ISLNK(status.st_mode):
            here = place
            yield here, status, not left
            continue
        yield place, status, False
        links += 1
        if links > MOST_LINKS:
            raise ValueError("too many links")
        target = Path(os.readlink(place))  # noqa: PTH115 - of a Path, in Python 3.10 too
        if target.is_absolute():
            here = Path(target.anchor)
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _not_own_folder(place: Path, status: os.stat_result) -> str | None:
    if not stat.S_ISDIR(status.st_mode):
        return f"{place} is no folder"
    return None if status.st_uid == os.geteuid() else _foreign(place)


def _changeable(place: Path, status: os.stat_result, is_last: bool) -> str | None:
    is_link = stat.S_ISLNK(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        return _foreign(place, " -h" if is_link else "")
    if is_link or not status.st_mode & OTHERS:  # a link's own rights mean nothing
        return None
    if not is_last and status.st_mode & stat.S_ISVTX:
        return None
    return f"{place} can be written by others (chmod go-w {place})"


def _foreign(place: Path, option: str = "") -> str:
    return f"{place} belongs to another user (chown{option} {os.geteuid()} {place})"


__all__ = ["is_private_file", "make_private", "why_not"]
