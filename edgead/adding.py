"""Adding a file to a folder that only grows: whole or not at all, and never over one that is there.

``edgead.files`` replaces what was there before; here two writers of one name mustn't lose either's.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgead.files import output_errors, remove_leftovers, renameat2, sync, written_beside

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def growing_folder(folder: Path) -> Iterator[None]:
    """Have a folder for ``add_file``: made where it isn't there, and on the disk before anything is in it.

    Where the block raises and nothing is in the folder, it's removed again.

    Raises:
        edgead.errors.OutputError: it can't be made.
    """
    try:
        with output_errors(folder):
            folder.mkdir(exist_ok=True)
            sync(folder.parent)
        yield
    except BaseException:
        with suppress(OSError):  # something is in it
            folder.rmdir()
        raise


def add_file(path: Path, data: bytes, mode: int = 0o666) -> bool:
    """Write a file that isn't there yet; False, and nothing is done, where there's one of that name.

    It's on the disk when this returns. Killed at any moment, there's no such file or the whole one; what is
    left under a hidden name (``edgead.files.is_leftover``) a later writer removes.

    Args:
        path: in a folder that is there.
        mode: the file's rights, of which the process's umask takes some away.

    Raises:
        edgead.errors.OutputError: it can't be written.
    """
    path = Path(path)
    remove_leftovers(path.parent)
    with written_beside(path, data, mode) as beside:
        added = _name(beside, path)
        try:
            sync(path.parent)
        except OSError:  # it may not be on the disk: then it isn't there
            if added:
                path.unlink(missing_ok=True)
            raise
    return added


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


__all__ = ["add_file", "growing_folder"]
