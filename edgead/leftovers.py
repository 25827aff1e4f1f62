"""Unfinished work on a disk: the names it lies under, and how to tell that its maker is gone.

Whoever makes something keeps it locked, and the system drops the lock with the process, however that ends. So
what has such a name and no lock was left by a killed process, and the next one that writes there removes it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

if sys.platform != "win32":
    import fcntl

STALE_SECONDS = 24 * 3600
"""Age at which a leftover is removed where the system can't tell whether its maker still lives."""

_PARTIAL = ".partial-"
_UNIQUE = "[0-9a-f]{12}"
_OURS = re.compile(rf"\..*\.partial-{_UNIQUE}(-old)?", re.DOTALL)
_SCRATCH = "edgead-scratch-"
_OUR_SCRATCH = re.compile(rf"{_SCRATCH}{_UNIQUE}")

_place: ContextVar[Path | None] = ContextVar("scratch", default=None)
_swept: set[tuple[int, int]] = set()


def prefix(final: Path) -> str:
    """What the names start with under which something is made that will be ``final``."""
    return f".{final.name}{_PARTIAL}"


def new_name(final: Path) -> Path:
    """Return a name beside ``final`` that nothing has."""
    return final.with_name(prefix(final) + os.urandom(6).hex())


def is_leftover(name: str) -> bool:
    """Whether a name is one that files are written under before they have their own."""
    return name.startswith(".") and _PARTIAL in name


# ---------------------------------------------------------------- removing


def remove_leftovers(folder: Path, final: Path | None = None) -> None:
    """Remove the files and folders that killed writers left in a folder; what can't be removed stays.

    Args:
        final: what is about to be made in there: whatever starts as its unfinished names do goes as well.
    """
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names alone
            if _OURS.fullmatch(name) or (final is not None and name.startswith(prefix(final))):
                _remove_abandoned(folder / name)


def remove_leftovers_once(folder: Path) -> None:
    """As ``remove_leftovers``, the first time that this process asks: a folder may hold very many files."""
    with suppress(OSError):
        status = folder.stat()
        if (key := (status.st_dev, status.st_ino)) not in _swept:
            _swept.add(key)
            remove_leftovers(folder)


def _remove_abandoned(path: Path) -> None:
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            return
        held = lock(path)
    except OSError:  # its maker lives, or it is gone
        return
    try:
        if held is None and time.time() - status.st_mtime <= STALE_SECONDS:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    finally:
        unlock(held)


# ---------------------------------------------------------------- locks


def lock(path: Path, descriptor: int | None = None) -> int | None:
    """Return the descriptor that holds a file's or folder's lock; None where the file system has no locks.

    Args:
        descriptor: of the file, where it's open; the caller's to close whatever happens.

    Raises:
        OSError: another process holds it, or there's nothing, or something else, under this name now.
    """
    if sys.platform == "win32":
        return None
    held = descriptor if descriptor is not None else _open(path)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            if descriptor is None:
                os.close(held)
            return None
        if not os.path.samestat(os.fstat(held), path.lstat()):
            raise FileNotFoundError(errno.ENOENT, "replaced while it was being locked")
        return held
    except OSError:
        if descriptor is None:
            os.close(held)
        raise


def _open(path: Path) -> int:
    # A pipe that has taken the name wouldn't be waited for, nor a link be followed.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)


def unlock(held: int | None) -> None:
    """Close what ``lock`` returned."""
    if held is not None:
        os.close(held)


# ---------------------------------------------------------------- scratch


@contextmanager
def scratch_lies_in(folder: Path) -> Iterator[None]:
    """Have the scratch folders of the block made in this one, which is removed as a whole."""
    token = _place.set(folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # closed by another thread than opened it
            _place.reset(token)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new empty folder, removed at the block's end; a killed process's by the next that makes one.

    It lies in the folder that is being made, if one is, so on its disk and removed with it; else among the
    system's temporary files. Python's own temporary folders stay for ever where their process is killed.

    Raises:
        OSError: it can't be made.
    """
    place = _place.get()
    if place is None:
        place = Path(tempfile.gettempdir())
        _remove_scratch(place)
    folder, held = _locked_folder(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(held)


def _locked_folder(place: Path) -> tuple[Path, int | None]:
    for _ in range(10):
        folder = place / f"{_SCRATCH}{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        with suppress(OSError):  # another process took it for abandoned before it was locked
            return folder, lock(folder)
    raise OSError(errno.EBUSY, "other processes are in the way", str(place))


def _remove_scratch(place: Path) -> None:
    """Only this user's: others may put anything among the temporary files."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _OUR_SCRATCH.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                owner = entry.stat(follow_symlinks=False).st_uid
                if not hasattr(os, "getuid") or owner == os.getuid():
                    _remove_abandoned(Path(entry.path))


__all__ = [
    "STALE_SECONDS",
    "is_leftover",
    "lock",
    "new_name",
    "prefix",
    "remove_leftovers",
    "remove_leftovers_once",
    "scratch_folder",
    "scratch_lies_in",
    "unlock",
]
