"""The folder of the slots on the disk: links that are exchanged in one step, one writer at a time, no litter.

``current`` and ``previous`` are links to slots beside them. Only ``current`` counts: what is previous to it
stands in the state file, so that one rename changes both.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.errors import OutputError, SlotsBusyError, SlotStateError
from edgead.files import is_leftover, output_errors, sync
from edgead.leftovers import new_name
from edgead.names import shown
from edgead.slots.place import FOLDER_MODE, check_rights, open_lock
from edgead.slots.state import is_slot
from edgead.trust.floors import alone

if sys.platform != "win32":
    import fcntl

CURRENT, PREVIOUS, LOCK, SERIALS = "current", "previous", ".lock", "serials.json"
_POLL_SECONDS = 0.05

_log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the folder's lock; the system drops it with the process.

    A folder that wasn't there is made, and removed again where the block raises and left nothing in it, as
    is the lock's file.

    Raises:
        SlotsBusyError: another process holds it, for as long as this one waits.
        SlotsRightsError: others can change the folder.
        SlotStateError: the lock's file is a link or special file.
        OutputError: the folder can't be written.
    """
    check_rights(folder)
    made = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        with output_errors(folder):
            for each in (*reversed(made), folder):
                each.mkdir(FOLDER_MODE, exist_ok=True)
            descriptor = open_lock(folder / LOCK)
    except BaseException:
        _unmade(made)
        raise
    try:
        until = time.monotonic() + wait_seconds
        while not _taken(folder, descriptor):
            if time.monotonic() >= until:
                raise SlotsBusyError(
                    f"{shown(folder)}: another process is installing or going back here: wait until it's "
                    "done, and do it again"
                )
            time.sleep(_POLL_SECONDS)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                if os.listdir(folder) == [LOCK]:  # noqa: PTH208 - names alone
                    _remove(folder / LOCK)
                    _unmade(made)
            raise
    finally:
        os.close(descriptor)


def _unmade(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # something is in it, or it wasn't made
            folder.rmdir()


def _taken(folder: Path, descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    with output_errors(folder):  # of a disk without locks, say
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:  # who held it may have removed it
            return os.path.samestat(os.fstat(descriptor), (folder / LOCK).lstat())
        except FileNotFoundError:
            return False


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
    """Make a link name a slot, or remove it, in one step and onto the disk.

    Raises:
        OutputError: it can't be done, and the link is as it was before.
    """
    with pointed(folder, link, name):
        pass


@contextmanager
def pointed(folder: Path, link: str, name: str | None) -> Iterator[None]:
    """Do as ``point``; where the block raises, the link is as it was before again."""
    path = folder / link
    with contextlib.ExitStack() as stack:
        with output_errors(path):  # both are there before anything changes: a full disk takes neither later
            before = _beside(stack, path, os.readlink(path)) if path.is_symlink() else None  # noqa: PTH115
            after = None if name is None else _beside(stack, path, name)
        try:
            with output_errors(path):
                _turn(path, after)
                sync(folder)
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                _turn(path, before)
                sync(folder)
            raise


def make_current(folder: Path, name: str) -> None:
    """Make a slot the current one: done when this returns, undone when it raises OutputError."""
    try:
        point(folder, CURRENT, name)
    except OutputError as error:
        if not leads(folder, CURRENT, name):
            raise
        _log.warning("%s (it's done all the same, for it can't be undone either)", error)


def _beside(stack: contextlib.ExitStack, path: Path, name: str) -> Path:
    """A link under a hidden name, which is removed at the end where it's still there."""
    beside = new_name(path)
    beside.symlink_to(name, target_is_directory=True)
    stack.callback(_remove, beside)
    return beside


def _turn(path: Path, beside: Path | None) -> None:
    if beside is None:
        path.unlink(missing_ok=True)
    else:
        beside.replace(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def placed(new: Path, slot: Path) -> Iterator[None]:
    """Give a whole folder its name as a slot; where the block raises, it's under its old name again.

    Raises:
        OutputError: it can't be done.
    """
    try:
        with output_errors(slot.parent):
            new.rename(slot)
            sync(slot.parent)
        yield
    except BaseException:
        if not leads(slot.parent, CURRENT, slot.name):
            try:
                slot.rename(new)
            except OSError:
                shutil.rmtree(slot, ignore_errors=True)
        raise


def sweep(folder: Path, kept: Container[str]) -> None:
    """Remove all slots but these, and what killed writers left; the folder's lock is held."""
    with output_errors(folder), alone(folder / SERIALS):  # nobody writes the numbers meanwhile
        for path in folder.iterdir():
            if not (is_leftover(path.name) or (is_slot(path.name) and path.name not in kept)):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _remove(path)


__all__ = [
    "CURRENT",
    "PREVIOUS",
    "SERIALS",
    "leads",
    "locked",
    "make_current",
    "placed",
    "point",
    "pointed",
    "short",
    "sweep",
    "target",
]
