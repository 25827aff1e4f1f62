"""A line that runs holds a lock, so that it isn't run twice, and shows how its bundles are to whoever changes
them.

Both are small files beside the line's own, or in the folder that it names. The lock is the system's, which
says whose it is and drops it with the process; what the files hold is believed by nobody who acts on it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgead.errors import LineBusyError, OutputError
from edgead.files import READ_NO_LINK, output_errors, read_plain, write_file
from edgead.line.config import Line
from edgead.names import shown

if sys.platform != "win32":
    import fcntl

MOST_BYTES = 1 << 20
_MODE = 0o644
_LAYOUT = "hhqqi4x" if sys.platform.startswith("linux") else "qqihh"
"""Of the C structure ``flock`` on 64-bit Linux, and on macOS."""


def place_of(file: Path, line: Line) -> Path:
    """Where the files of a line lie, without their last letters.

    Args:
        file: the line's, which links may lead to.
    """
    real = Path(file).resolve()
    folder = line.path(line.table.state) if line.table.state else real.parent
    return folder / real.name


class Hold:
    """What a line that runs holds.

    Args:
        place: as ``place_of`` gives it.
    """

    def __init__(self, place: Path) -> None:
        self._status = place.with_name(f"{place.name}.status")
        self._told = ""

    def show(self, status: Mapping[str, Any]) -> None:
        """Have others see this; where the disk is full they don't, and the line goes on."""
        text = json.dumps({"pid": os.getpid(), **status}, indent=1)
        if text != self._told:
            with contextlib.suppress(OutputError, OSError):
                write_file(self._status, text.encode() + b"\n", _MODE)
                self._told = text

    def forget(self) -> None:
        """Nothing is to be seen any more."""
        with contextlib.suppress(OSError):
            self._status.unlink()


@contextmanager
def held(file: Path, line: Line) -> Iterator[Hold]:
    """Hold the lock of a line.

    Raises:
        LineBusyError: another process runs it.
        OutputError: the lock's file can't be written, or is a link or special file.
    """
    place = place_of(file, line)
    lock = place.with_name(f"{place.name}.lock")
    with output_errors(place.parent):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | READ_NO_LINK, _MODE)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise OutputError(f"{shown(lock)}: a link or special file; remove it") from None
            raise
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                why = f"can't be locked ({error.strerror}); name a folder on a local disk as state"
                raise OutputError(f"{shown(lock)}: {why}") from None
            who = f"as process {_holder(descriptor) or '?'}"
            raise LineBusyError(f"{shown(file)}: this line runs already, {who}: end that first") from None
        hold = Hold(place)
        try:
            yield hold
        finally:
            hold.forget()
    finally:
        os.close(
            descriptor
        )  # and with it the lock; the file stays, for a name that goes could be locked twice


def runs(file: Path, line: Line) -> int | None:
    """The process that runs a line, or None."""
    place = place_of(file, line)
    try:
        descriptor = os.open(place.with_name(f"{place.name}.lock"), READ_NO_LINK)
    except (OSError, ValueError):
        return None
    try:
        return _holder(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def status_of(file: Path, line: Line) -> dict[str, Any]:
    """What a line that runs shows of itself; nothing where that can't be read."""
    place = place_of(file, line)
    try:
        found = json.loads(read_plain(place.with_name(f"{place.name}.status"), MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def tell(process: int) -> str | None:
    """Tell a line to look for other bundles; why it can't be told, or None."""
    try:
        os.kill(process, signal.SIGHUP)
    except ProcessLookupError:
        return "it has just ended"
    except PermissionError:
        return "it's another user's"
    return None


def _holder(descriptor: int) -> int | None:
    """The process that holds the lock, as the system says."""
    linux = sys.platform.startswith("linux")
    whole = (fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0) if linux else (0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
    try:
        found = struct.unpack(_LAYOUT, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_LAYOUT, *whole)))
    except (OSError, struct.error):
        return None
    kind, process = (found[0], found[4]) if linux else (found[3], found[2])
    return process if kind != fcntl.F_UNLCK and process > 0 else None


__all__ = ["Hold", "held", "place_of", "runs", "status_of", "tell"]
