"""Where edgead keeps what it can make again: compiled graphs, converted backbones, proofs and speeds.

An entry is a file with a seal at its end, over its name and its content: one that was changed, cut or put
under another name is a miss, and made again. It's read once, so what was checked is what is used. Nothing is
kept, or believed, in a folder that others can write. Deleting the folder is always safe.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import one_line
from edgead.files import READ_NO_LINK, is_folder, write_file
from edgead.private import is_private_file, make_private, why_not

REMEMBERED = 256
"""Small results kept of each kind; the oldest go."""
SUFFIX = ".kept"

_MAGIC = b"edgead-cache 2 "
_SEAL_BYTES = len(_MAGIC) + 64 + 1
_NAME = re.compile(rf"[0-9a-f]{{32,64}}{re.escape(SUFFIX)}")
_log = logging.getLogger(__name__)
_said: set[str] = set()


def cache_folder() -> Path | None:
    """Return ``$EDGEAD_CACHE``, else ``edgead`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; it may not exist.

    None where this user has no home, so that there's no such place.
    """
    if chosen := os.environ.get("EDGEAD_CACHE"):
        if chosen.startswith("~"):  # where no shell has put the home in its place
            home, rest = _home(), chosen[1:]
            known = home is not None and (not rest or rest.startswith(os.sep))
            return home / rest.lstrip(os.sep) if home is not None and known else None
        return Path(chosen)
    wanted = os.environ.get("XDG_CACHE_HOME", "")
    if Path(wanted).is_absolute():  # the standard has others ignored
        return Path(wanted) / "edgead"
    home = _home()
    return None if home is None else home / ".cache" / "edgead"


def folder_of(kind: str) -> Path | None:
    """Return the cache's folder of a kind, made if need be; None where there's none to be trusted.

    Why is logged as a warning, once in a process.
    """
    root = cache_folder()
    if problem := _why_not_in(root, kind):
        _say_once(problem)
        return None
    assert root is not None  # else there's a problem
    folder = root / kind
    try:
        make_private(folder)
    except OSError as error:
        _say_once(_unwritable(folder, error))
        return None
    return folder


def cache_problem() -> str | None:
    """Why nothing can be kept in the cache as it is, and what to do about it; None where it can.

    It's tried with a file that has no name, so that nothing is left; no folder is made.
    """
    root = cache_folder()
    try:
        with os.scandir(root) if root is not None else nullcontext(()) as entries:
            kinds = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:  # not there yet, or told below
        kinds = []
    for kind in kinds or ("compiled",):
        if problem := _why_not_in(root, kind):
            return problem
        assert root is not None  # else there's a problem
        there = next(place for place in (root / kind, *(root / kind).parents) if os.path.lexists(place))
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"edgead")
        except OSError as error:
            return _unwritable(there, error)
    return None


def _why_not_in(root: Path | None, kind: str) -> str | None:
    """Why nothing is kept or believed in the cache's folder of a kind, as far as it can be seen."""
    if root is None:
        return "this user has no home folder to keep anything in; set EDGEAD_CACHE to a folder"
    home = _home()
    if home is not None and home in root.parents and not is_folder(home):  # as many a service's user has it
        return f"{home}, this user's home, isn't there, so nothing is kept; set EDGEAD_CACHE to a folder"
    if problem := why_not(root, own_folder=True) or why_not(root / kind, own_folder=True):
        return f"{problem}: nothing is kept there, or believed; see to it, or set EDGEAD_CACHE"
    return None


def _unwritable(folder: Path, error: OSError) -> str:
    return f"nothing can be kept in {folder} ({error.strerror}); set EDGEAD_CACHE to a folder"


@dataclass(frozen=True)
class Entry:
    """What is kept under a name, or may be. Nothing here raises: without a cache the work goes on.

    Attributes:
        kind: the folder's name: ``proven`` for instance.
        name: 32 to 64 hex digits, the hash of everything that the content depends on.
        most: entries kept of the kind, the oldest go; None: all are kept.
        most_bytes: a larger one isn't read.
    """

    kind: str
    name: str
    most: int | None = REMEMBERED
    most_bytes: int = 1 << 20

    def read(self) -> NDArray[np.uint8] | None:
        """Return the content, in memory of its own; None where there's none, or it isn't as written."""
        folder = folder_of(self.kind)
        if folder is None:
            return None
        file = folder / (self.name + SUFFIX)
        try:
            descriptor = os.open(file, READ_NO_LINK)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s can't be read (%s): it is made again", file, error.strerror)
            return None
        whole = np.empty(0, np.uint8)
        with suppress(OSError, MemoryError), os.fdopen(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(descriptor)
            if is_private_file(status) and _SEAL_BYTES <= status.st_size <= self.most_bytes + _SEAL_BYTES:
                whole = np.empty(status.st_size, np.uint8)
                done = 0
                while done < len(whole) and (n := stream.readinto(whole.data[done:])):
                    done += n
        content = whole[:-_SEAL_BYTES]
        if whole[-_SEAL_BYTES:].tobytes() != self._seal(content):
            _log.warning("%s isn't as it was written: it is made again", file)
            return None
        with suppress(OSError):
            os.utime(file)  # the oldest, which go, are those that weren't used for longest
        return content

    def write(self, content: bytes) -> bool:
        """Keep the content; where that can't be done it's logged, and it is made again next time."""
        folder = folder_of(self.kind)
        if folder is None:
            return False
        try:
            if self.most is not None:
                _evict(folder, self.most - 1, self.name + SUFFIX)
            array = np.frombuffer(content, np.uint8)
            write_file(folder / (self.name + SUFFIX), content + self._seal(array), 0o600)
        except Exception as error:  # a full disk, or a folder without rights
            cause = error.__cause__
            why = (isinstance(cause, OSError) and cause.strerror) or one_line(error, "message")
            _say_once(f"nothing can be kept in {folder} ({why})")
            return False
        return True

    def remove(self) -> None:
        """Forget what is kept."""
        if (folder := folder_of(self.kind)) is not None:
            with suppress(OSError):
                (folder / (self.name + SUFFIX)).unlink(missing_ok=True)

    def _seal(self, content: NDArray[np.uint8]) -> bytes:
        digest = hashlib.sha256(f"{self.kind}/{self.name}\n".encode())
        digest.update(content.data)
        return _MAGIC + digest.hexdigest().encode() + b"\n"


def remembered(kind: str, facts: Sequence[str]) -> Entry:
    """Return what is kept of a small result, or may be.

    Args:
        kind: the folder's name: ``proven`` for instance.
        facts: everything that the result depends on.
    """
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return Entry(kind, digest[:32])


def _home() -> Path | None:
    """The user's home: an absolute ``$HOME``, else what the system knows; never a ``~`` of its own."""
    home = os.environ.get("HOME", "")
    if os.name == "nt":
        home = os.path.expanduser("~")  # noqa: PTH111
    elif not Path(home).is_absolute():
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return Path(home) if Path(home).is_absolute() else None


def _evict(folder: Path, most: int, spared: str) -> None:
    """Remove the oldest entries; whatever else somebody has put here stays."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.name != spared and entry.is_file(follow_symlinks=False):
                found.append((entry.stat(follow_symlinks=False).st_mtime, Path(entry.path)))
    for _, file in sorted(found)[: max(0, len(found) - most)]:
        if _is_sealed(file):
            file.unlink(missing_ok=True)


def _is_sealed(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.seek(-_SEAL_BYTES, os.SEEK_END)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _say_once(why: str) -> None:
    """Say once in a process why there's no cache."""
    if why not in _said:
        _said.add(why)
        _log.warning("%s", why)


__all__ = ["REMEMBERED", "SUFFIX", "Entry", "cache_folder", "cache_problem", "folder_of", "remembered"]
