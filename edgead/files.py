"""Writing so that nobody ever sees half a file or half a folder, however the writer ends.

Everything is written beside its place, under a hidden name, and renamed into it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.errors import OutputError
from edgead.leftovers import (
    is_leftover,
    lock,
    new_name,
    remove_leftovers,
    remove_leftovers_once,
    scratch_lies_in,
    unlock,
)

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
if sys.platform == "win32":
    READ = READ_NO_LINK = os.O_RDONLY | os.O_BINARY
    _NEW |= os.O_BINARY
else:
    READ = os.O_RDONLY | os.O_NONBLOCK
    READ_NO_LINK = READ | os.O_NOFOLLOW
"""Flags to open what may be anything: without waiting for a pipe's writer, and without following a link."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
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


def write_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all; an older one stays until the new one is complete.

    What killed writers left in its folder is removed, the first time that this process writes there.

    Args:
        mode: the file's rights, of which the process's umask takes some away.

    Raises:
        OutputError: it can't be written.
    """
    path = Path(path)
    remove_leftovers_once(path.parent)
    with written_beside(path, data, mode) as written:
        written.replace(path)


@contextmanager
def written_beside(path: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    """Yield a whole file beside its place; what its name still holds at the block's end is removed.

    Raises:
        OutputError: it can't be written, or the block raises an OSError.
    """
    with output_errors(path):
        beside, descriptor = _new_file(path, mode)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, descriptor)  # and with it goes the lock
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                if os.name == "nt":  # where no open file can be renamed
                    stack.close()
                yield beside
            finally:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)


def _new_file(path: Path, mode: int) -> tuple[Path, int]:
    for _ in range(10):
        beside = new_name(path)
        descriptor = os.open(beside, _NEW, mode)
        try:
            lock(beside, descriptor)
            return beside, descriptor
        except OSError:  # another writer took it for abandoned before it was locked
            os.close(descriptor)
    raise OSError(errno.EBUSY, "other writers are in the way")


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


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return what a regular file holds; of one that says it's empty, nothing is asked.

    A pipe, a device, or one of the system's own files, such as ``/proc/kmsg``, might be waited for for ever,
    and opening a device alone may do something.

    Raises:
        OSError: it can't be read, isn't a regular file, or is over the limit; ``strerror`` says so.
        ValueError: no file can have this name.
    """
    _check_plain(path.stat(), most_bytes)
    with os.fdopen(os.open(path, READ), "rb") as stream:
        status = os.fstat(stream.fileno())  # another file may have taken the name since
        _check_plain(status, most_bytes)
        return stream.read(status.st_size) if status.st_size else b""


def _check_plain(status: os.stat_result, most_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if status.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes is over the limit of {most_bytes:,}")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a regular file of any size, in lower-case hex; raises OSError."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(file, READ), "rb") as stream:
        _check_plain(os.fstat(stream.fileno()), sys.maxsize)
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

    A killed writer can't remove its own, so the next writer in the same folder does; see
    ``edgead.leftovers``. Scratch of the block lies in it.

    Raises:
        OSError: the folder can't be made.
    """
    remove_leftovers(final.parent, final)
    made: list[Path] = []  # named before it's there, so that an interrupt leaves none behind
    held = None
    try:
        folder, held = _new_folder(final, made)
        with scratch_lies_in(folder):
            yield folder
    finally:
        for each in made:
            shutil.rmtree(each, ignore_errors=True)
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


def _new_folder(final: Path, made: list[Path]) -> tuple[Path, int | None]:
    for _ in range(10):
        made.append(folder := new_name(final))
        try:
            folder.mkdir()
        except FileExistsError:  # it's another's
            made.pop()
            raise
        try:
            return folder, lock(folder)
        except OSError:  # another writer took it for abandoned before it was locked
            continue
    raise OSError(errno.EBUSY, "other writers are in the way")


__all__ = [
    "READ",
    "READ_NO_LINK",
    "exists",
    "is_file",
    "is_folder",
    "is_leftover",
    "output_errors",
    "read_plain",
    "remove_leftovers",
    "renameat2",
    "sha256_of",
    "staging_folder",
    "swap_into_place",
    "sync",
    "write_file",
    "written_beside",
]
