"""Folders in which nobody but this user can put anything: what lies there may be believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that aren't there, for this user alone.

    Raises:
        OSError: it can't be made.
    """
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)


def open_to_others(folder: Path) -> str | None:
    """Say in what way others could put something into a folder, or None where they can't.

    The folder must be this user's, and neither it nor one above it may be writable by its group or by all;
    one above may be where the sticky bit keeps others' hands off, as in ``/tmp``. Of a folder that isn't
    there yet, those that are there count. Windows has other rights, which aren't looked at.
    """
    if not hasattr(os, "getuid"):
        return None
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay: they count themselves
    problem = _owned(folder)
    try:
        real = Path(os.path.realpath(folder))
    except OSError as error:
        return f"{folder} can't be looked at ({error.strerror})"
    for path in dict.fromkeys((folder, real)):
        for place in (path, *path.parents):
            problem = problem or _writable(place, sticky=place != path)
    return problem


def is_private_file(status: os.stat_result) -> bool:
    """Whether this is a plain file of this user's, which others can't write."""
    if not stat.S_ISREG(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & OTHERS)


def _owned(folder: Path) -> str | None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{folder} can't be looked at ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is no folder"
    return None if status.st_uid == os.getuid() else f"{folder} belongs to another user"


def _writable(place: Path, sticky: bool) -> str | None:
    try:
        mode = place.stat().st_mode
    except OSError:  # not there yet, or told by ``_owned``
        return None
    if not mode & OTHERS or (sticky and mode & stat.S_ISVTX):
        return None
    return f"{place} can be written by others (chmod go-w {place})"


__all__ = ["is_private_file", "make_private", "open_to_others"]
