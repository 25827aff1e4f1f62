"""A bundle's folder, opened once: what is read below it is reached from there and follows no link.

Whoever exchanges the folder's name for another's, or a part of the path to it, changes nothing for a reader
that has it open: it goes on in the folder that it began in, or notices at its end that this is no longer the
one under the name.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import FileSizeError, LinkError

if sys.platform == "win32":
    _BELOW = False
    _FOLDER = _NO_LINK = os.O_RDONLY
    _FILE = os.O_RDONLY | os.O_BINARY
else:
    _BELOW = os.open in os.supports_dir_fd and os.listdir in os.supports_fd
    """Whether the system opens a file below a folder that is open."""
    _NO_LINK = os.O_NOFOLLOW
    _FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    _FILE = os.O_RDONLY | os.O_CLOEXEC | _NO_LINK | os.O_NONBLOCK
    """Without a wait, so that a pipe that has taken a file's place is told and not waited for."""


@dataclass(frozen=True)
class OpenFolder:
    """A folder that is open for the length of ``open_folder``'s block.

    Attributes:
        path: where it was found.
        descriptor: None where the system has no such thing for folders.
    """

    path: Path
    descriptor: int | None

    def is_there(self) -> bool:
        """Whether it's still what its path leads to."""
        if self.descriptor is None:
            return True
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except OSError:
            return False

    def scan(self, below: str = "") -> Iterator[tuple[str, os.stat_result | None]]:
        """Names in it, or in a folder below it, in order, with what each is, links not followed.

        A name that is gone by the time that it's looked at comes with None.
        """
        with ExitStack() as stack:
            place = self._below(below, stack)
            for name in sorted(os.listdir(place)):  # noqa: PTH208 - of a descriptor
                try:
                    if isinstance(place, int):
                        yield name, os.stat(name, dir_fd=place, follow_symlinks=False)
                    else:
                        yield name, (place / name).lstat()
                except FileNotFoundError:
                    yield name, None

    def read(self, name: str, most: int) -> bytes:
        """Read a file, opening it once.

        Args:
            name: its path in the folder, with slashes.
            most: bytes.

        Raises:
            LinkError: a link, or no plain file, has taken its place.
            FileSizeError: it has more bytes.
            OSError: it can't be read.
        """
        parent, _, last = name.rpartition("/")
        with ExitStack() as stack:
            place = self._below(parent, stack)
            try:
                if isinstance(place, int):
                    descriptor = os.open(last, _FILE, dir_fd=place)
                else:
                    descriptor = os.open(place / last, _FILE)
            except OSError as error:
                raise self._link(name) if error.errno in (errno.ELOOP, errno.ENXIO) else error from None
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise self._link(name)
                content = file.read(min(most, status.st_size) + 1)
        if len(content) > most:
            raise FileSizeError(f"{self.path}: '{name}' is over the limit of {most} bytes")
        return content

    def _below(self, name: str, stack: ExitStack) -> int | Path:
        """A folder below, each step of the way opened by itself, so that none is a link."""
        if self.descriptor is None:
            return self.path / name
        place = self.descriptor
        for part in name.split("/") if name else ():
            try:
                place = os.open(part, _FOLDER | _NO_LINK, dir_fd=place)
            except OSError as error:
                raise self._link(name) if error.errno in (errno.ELOOP, errno.ENOTDIR) else error from None
            stack.callback(os.close, place)
        return place

    def _link(self, name: str) -> LinkError:
        return LinkError(f"{self.path}: '{name}' is a link or special file; a bundle holds plain files only")


@contextmanager
def open_folder(path: Path) -> Iterator[OpenFolder]:
    """Open a folder, which may itself be reached through a link.

    Raises:
        OSError: it isn't there, or no folder, or can't be opened.
    """
    if not _BELOW:
        yield OpenFolder(path, None)
        return
    descriptor = os.open(path, _FOLDER)
    try:
        yield OpenFolder(path, descriptor)
    finally:
        os.close(descriptor)


__all__ = ["OpenFolder", "open_folder"]
