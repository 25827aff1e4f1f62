"""The folder of the slots on the disk: links that are exchanged in one step, one writer at a time, no litter.

``current`` and ``previous`` are links to slots beside them. Only ``current`` counts: what is previous to it
stands in the state file, so that one rename changes both.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.errors import SlotsBusyError, SlotStateError
from edgead.files import is_leftover, output_errors, sync
from edgead.names import shown
from edgead.slots.state import is_slot
from edgead.trust.floors import alone

if sys.platform != "win32":
    import fcntl

CURRENT, PREVIOUS, LOCK, SERIALS = "current", "previous", ".lock", "serials.json"
_POLL_SECONDS = 0.05


@contextmanager
def locked(folder: Path, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the folder's lock; the system drops it with the process.

    Raises:
        SlotsBusyError: another process holds it, for as long as this one waits.
        OutputError: the folder can't be written.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait_seconds
        while not _taken(folder, descriptor):
            if time.monotonic() >= until:
                raise SlotsBusyError(
                    f"{shown(folder)}: another process is installing or going back here: wait until it's "
                    "done, and do it again"
                )
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _taken(folder: Path, descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    with output_errors(folder):  # of a disk without locks, say
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def target(folder: Path, link: str) -> str | None:
    """The slot that a link names; None where there's no such link, or the slot is gone.

    Raises:
        SlotStateError: it's no link to a slot beside it.
    """
    path = folder / link
    try:
        name = os.readlink(path)  # noqa: PTH115 - the text, not a path
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise SlotStateError(f"{shown(path)}: not a link of edgead's; give another folder") from None
    if not is_slot(name):
        raise SlotStateError(f"{shown(path)}: leads to {shown(name)!r}, which is no slot; remove the link")
    return name if (folder / name).is_dir() else None


def leads(folder: Path, link: str, name: str | None) -> bool:
    """Whether a link names just this slot, or isn't there where None."""
    try:
        return os.readlink(folder / link) == name  # noqa: PTH115
    except OSError:
        return name is None and not os.path.lexists(folder / link)


def short(name: str) -> str:
    """A slot's name for people."""
    digest, dot, number = name.partition(".")
    return f"{digest[:16]}{dot}{number}"


def point(folder: Path, link: str, name: str | None) -> None:
    """Make a link name a slot, or remove it, in one step and onto the disk; raises OutputError."""
    path = folder / link
    with output_errors(path):
        if name is None:
            path.unlink(missing_ok=True)
        else:
            beside = folder / f".{link}.partial-{os.urandom(6).hex()}"
            beside.symlink_to(name, target_is_directory=True)
            beside.replace(path)
        sync(folder)


def sweep(folder: Path, kept: Container[str]) -> None:
    """Remove all slots but these, and what killed writers left; the folder's lock is held."""
    with output_errors(folder), alone(folder / SERIALS):  # nobody writes the numbers meanwhile
        for path in folder.iterdir():
            if not (is_leftover(path.name) or (is_slot(path.name) and path.name not in kept)):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


__all__ = ["CURRENT", "PREVIOUS", "SERIALS", "leads", "locked", "point", "short", "sweep", "target"]
