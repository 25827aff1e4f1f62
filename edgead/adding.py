"""Adding a file to a folder that only grows: whole or not at all, and never over one that is there.

``edgead.files`` replaces what was there before; here two writers of one name mustn't lose either's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from pathlib import Path

from edgead.files import STALE_SECONDS, output_errors, renameat2, sync

LEFTOVER = re.compile(r"\.[A-Za-z0-9._-]{1,80}\.adding-[0-9a-f]{12}")
"""The name of what a killed writer leaves there. Readers overlook it, and a later writer removes it."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def add_file(path: Path, data: bytes) -> bool:
    """Write a file that isn't there yet; False, and nothing is done, where there's one of that name.

    It's on the disk when this returns. Killed at any moment, there's no such file or the whole one.

    Args:
        path: in a folder that is there.

    Raises:
        edgead.errors.OutputError: it can't be written.
    """
    path = Path(path)
    with output_errors(path):
        _remove_leftovers(path.parent)
        beside = path.with_name(f".{path.name}.adding-{os.urandom(6).hex()}")
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            added = _name(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        try:
            sync(path.parent)
        except OSError:  # it may not be on the disk: then it isn't there
            if added:
                path.unlink(missing_ok=True)
            raise
    return added


def _remove_leftovers(folder: Path) -> None:
    """Those that are so old that nobody writes them any more."""
    for found in folder.iterdir():
        if LEFTOVER.fullmatch(found.name):
            with contextlib.suppress(OSError):
                if time.time() - found.lstat().st_mtime > STALE_SECONDS:
                    found.unlink()


def _name(beside: Path, path: Path) -> bool:
    """Give a written file its name in one step; False where that's taken."""
    try:
        os.link(beside, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:  # FAT, and some network disks, have no links
        if error.errno not in _NO_LINKS:
            raise
        if sys.platform == "win32":
            try:
                beside.rename(path)  # which replaces nothing there
            except FileExistsError:
                return False
            return True
        no_replace = 1  # RENAME_NOREPLACE
        if renameat2(beside, path, no_replace):
            return True
        if os.path.lexists(path):
            return False
        raise


__all__ = ["LEFTOVER", "add_file"]
