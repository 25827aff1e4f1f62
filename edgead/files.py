"""Writing so that nobody ever sees half a file or half a folder, however the writer ends.

Everything is written beside its place, under a hidden name, and renamed into it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.errors import OutputError

if sys.platform != "win32":
    import fcntl

STALE_SECONDS = 24 * 3600
"""Age at which a leftover is removed where the system can't tell whether its writer still lives."""

_PARTIAL = ".partial-"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_ADVICE = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "free some space or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "give a path inside a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def output_errors(path: Path, inside: Path | None = None) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError, one line about ``path``.

    Args:
        inside: where the block does other work too, only errors about files in this folder, or about a disk
            that can't take more, are turned.
    """
    try:
        yield
    except OSError as error:
        about = (
            isinstance(error.filename, str) and inside is not None and inside in Path(error.filename).parents
        )
        if not (inside is None or about or error.errno in _DISK):
            raise
        advice = _ADVICE.get(error.errno or 0, "check the disk and choose another place")
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); {advice}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; an older one stays until the new one is complete.

    Raises:
        OutputError: it can't be written.
    """
    path = Path(path)
    with written_beside(path, data) as written:
        written.replace(path)


@contextmanager
def written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Yield a whole file beside its place; what its name still holds at the block's end is removed.

    Raises:
        OutputError: it can't be written, or the block raises an OSError.
    """
    beside = path.with_name(f"{_prefix(path)}{os.urandom(6).hex()}")
    with output_errors(path):
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield beside
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers of single files left in a folder, a day ago or earlier."""
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if is_leftover(file.name) and time.time() - file.lstat().st_mtime > STALE_SECONDS:
                file.unlink()


def is_leftover(name: str) -> bool:
    """Whether a name is one that files are written under before they have their own."""
    return name.startswith(".") and _PARTIAL in name


def is_file(path: Path) -> bool:
    """As ``Path.is_file``; a name that no file can have, too long or with a NUL, is none."""
    return _told(Path.is_file, path)


def is_folder(path: Path) -> bool:
    """As ``Path.is_dir``; a name that no folder can have, too long or with a NUL, is none."""
    return _told(Path.is_dir, path)


def exists(path: Path) -> bool:
    """As ``Path.exists``; a name that nothing can have, too long or with a NUL, is nothing."""
    return _told(Path.exists, path)


def _told(question: Callable[[Path], bool], path: Path) -> bool:
    try:
        return question(path)
    except (OSError, ValueError):
        return False


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file of any size, in lower-case hex."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Force a file or folder out to the disk, where the system knows how."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks can't for a folder
            raise
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- folders


@contextmanager
def staging_folder(final: Path) -> Iterator[Path]:
    """Yield a new empty folder beside ``final``; what its name still holds at the block's end is removed.

    A killed writer can't remove its own, so the next writer of the same ``final`` does. It tells an
    abandoned folder by its lock, which the system drops with the process that held it.

    Raises:
        OSError: the folder can't be made.
    """
    _remove_abandoned(final)
    folder, held = _new_folder(final)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(held)


def swap_into_place(folder: Path, final: Path) -> None:
    """Rename ``folder`` to ``final``; a folder that was there before is then under the name ``folder``.

    Where the system can exchange two names (Linux), ``final`` is never absent; elsewhere it is between two
    renames.

    Raises:
        OSError: neither is possible; ``final`` is as before.
    """
    for _ in range(10):  # a concurrent writer may come between any two lines
        try:
            folder.rename(final)  # where nothing is there, or an empty folder
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _exchange(folder, final):
            return
        aside = folder.with_name(folder.name + "-old")
        try:
            final.rename(aside)
        except FileNotFoundError:
            continue
        try:
            folder.rename(final)
        except OSError:
            aside.rename(final)
            raise
        aside.rename(folder)
        return
    raise OSError(errno.EBUSY, "other writers are in the way")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that isn't possible."""
    exchange = 2  # RENAME_EXCHANGE
    return renameat2(one, other, exchange)


def renameat2(one: Path, other: Path, flag: int) -> bool:
    """Linux's renameat2, which renames in other ways than over what is there; False where it can't."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    at_current_folder = -100  # AT_FDCWD
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # a C library without it
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(at_current_folder, names[0], at_current_folder, names[1], flag) == 0)


def _prefix(final: Path) -> str:
    return f".{final.name}{_PARTIAL}"


def _new_folder(final: Path) -> tuple[Path, int | None]:
    for _ in range(10):
        folder = final.with_name(f"{_prefix(final)}{os.urandom(6).hex()}")
        folder.mkdir()
        try:
            return folder, lock(folder)
        except OSError:  # another writer took it for abandoned before it was locked
            continue
    raise OSError(errno.EBUSY, "other writers are in the way")


def _remove_abandoned(final: Path) -> None:
    for folder in final.parent.iterdir():
        if not folder.name.startswith(_prefix(final)) or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            held = lock(folder)
            if held is not None or time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            unlock(held)
        except OSError:  # its writer lives, or it is gone
            continue


def lock(folder: Path) -> int | None:
    """Return the descriptor that holds the folder's lock; None where the file system has no locks.

    Raises:
        OSError: another process holds it, or the folder is gone.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    try:
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        raise FileNotFoundError(errno.ENOENT, "replaced while it was being locked")
    except OSError:
        os.close(descriptor)
        raise


def unlock(held: int | None) -> None:
    """Close what ``lock`` returned."""
    if held is not None:
        os.close(held)


__all__ = [
    "exists",
    "is_file",
    "is_folder",
    "is_leftover",
    "lock",
    "output_errors",
    "remove_leftovers",
    "renameat2",
    "sha256_of",
    "staging_folder",
    "swap_into_place",
    "sync",
    "unlock",
    "write_file",
    "written_beside",
]
