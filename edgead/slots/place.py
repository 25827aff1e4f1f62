"""What a folder of slots must be like before it is believed, and its files, none of them a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from edgead.errors import NoSlotError, SlotsRightsError, SlotStateError, TrustStateError
from edgead.files import READ_NO_LINK, is_folder
from edgead.names import shown
from edgead.private import why_not

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Rights of what is made here, whatever the umask: what a group may write isn't believed."""


def check_there(folder: Path) -> None:
    """Raise NoSlotError where there's no such folder."""
    if not is_folder(folder):
        raise NoSlotError(
            f"{shown(folder)}: no such folder of slots, so nothing is installed; `edgead install` makes one"
        )


def check_rights(folder: Path) -> None:
    """Refuse a folder that others can change: whoever writes in it says what a line runs.

    Raises:
        SlotsRightsError: it, or one above it, is another user's, or can be written by others.
    """
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            return
    except FileNotFoundError:  # those above it count
        pass
    except (OSError, ValueError):  # told by whoever reads or writes in it
        return
    if why := why_not(folder):
        raise SlotsRightsError(
            f"{shown(folder)}: others can change what is installed here, for {shown(why)}; mend that, and "
            "install again what you aren't sure of"
        )


def read_file(file: Path, most_bytes: int) -> bytes | None:
    """What a plain file holds, ``most_bytes`` and one more at most; None where there's none.

    Raises:
        SlotStateError: it's a link or special file, or can't be read.
    """
    try:
        with os.fdopen(os.open(file, READ_NO_LINK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise _special(file)
            return stream.read(most_bytes + 1)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ELOOP, errno.ENXIO):
            raise _special(file) from None
        reason = getattr(error, "strerror", None) or error
        raise SlotStateError(f"{shown(file)}: can't be read ({reason}); check the path and rights") from None


def open_lock(file: Path) -> int:
    """Open the lock's file, which is made where there's none, and never anything else.

    Raises:
        SlotStateError: it's a link or special file.
        OSError: it can't be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | READ_NO_LINK
    try:
        descriptor = os.open(file, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _special(file) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _special(file)
    return descriptor


def check_numbers(file: Path) -> Path:
    """The folder's own file of accepted numbers; raises TrustStateError for a link or special file."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            raise TrustStateError(
                f"{shown(file)}: a link or special file, not the serial numbers that this device accepted; "
                "put the file back from a copy, or remove it to begin anew"
            )
    except (OSError, ValueError):  # not there yet, or told by whoever reads it
        pass
    return file


def _special(file: Path) -> SlotStateError:
    return SlotStateError(f"{shown(file)}: a link or special file, which edgead doesn't write; remove it")


__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "check_numbers",
    "check_rights",
    "check_there",
    "open_lock",
    "read_file",
]
