"""The last accepted serial number of each line, in a small file of the device's: what is older is a replay.

Going back to the bundle before is the device's own decision, and no replay: the file names the one statement
under the number that may be accepted again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgead.errors import ManifestError, OutputError, ReplayedError, TrustStateError
from edgead.files import output_errors, read_plain, sync, write_file
from edgead.manifest.strict import UNNAMED, load, plain, read
from edgead.names import shown
from edgead.private import why_not
from edgead.trust.statement import MAX_SERIAL, Statement
from edgead.undoing import put_back

if sys.platform != "win32":
    import fcntl

MAX_FLOORS_BYTES = 1 << 20
LOCK_SECONDS = 30.0
"""How long another writer is waited for."""


@dataclass(frozen=True)
class Floor:
    """What a device knows of a line.

    Attributes:
        serial: the last accepted.
        back_to: ``digest`` of the statement with a lower number that the device went back to, or None.
    """

    serial: int
    back_to: str | None = None


@dataclass(frozen=True)
class Mark:
    """What of a statement is kept: its line, serial number and digest."""

    line: str
    serial: int
    digest: str

    @staticmethod
    def of(said: Statement) -> Mark:
        """A statement's."""
        return Mark(said.line, said.serial, said.digest)


@dataclass(frozen=True)
class Floors:
    """The file's content.

    Attributes:
        lines: by the statement's line, empty for none.
        format: 1.
    """

    lines: Mapping[str, Floor] = field(default_factory=dict)
    format: int = 1


def check_floor(file: Path, said: Mark) -> None:
    """Raise ReplayedError where a later one was accepted before.

    Raises:
        TrustStateError: the file is damaged, or others can change it.
    """
    floor = _read(file).lines.get(said.line)
    if floor is not None and said.serial < floor.serial and said.digest != floor.back_to:
        line = f" for line {said.line!r}" if said.line else ""
        raise ReplayedError(
            f"serial {said.serial}{line} is under {floor.serial}, the last that this device accepted: sign "
            "with a higher one, or go back with `edgead rollback`"
        )


def raise_floor(file: Path, said: Mark) -> None:
    """Keep a statement's serial number as the last accepted one, unless it's what the device went back to.

    Raises:
        OutputError: the file can't be written: replays couldn't be told any more.
        TrustStateError: it's damaged, or others can change it.
    """
    floor = _read(file).lines.get(said.line)
    if floor is not None and (said.serial < floor.serial or floor == Floor(said.serial)):
        return
    with alone(file):
        lines = dict(_read(file).lines)
        now = lines.get(said.line)
        if now is None or said.serial >= now.serial:
            lines[said.line] = Floor(said.serial)
            _write(file, lines)


@contextmanager
def raised_floor(file: Path, said: Mark, current: Mark | None) -> Iterator[None]:
    """Keep a statement's number as the last accepted one before the block gives its bundle another's place.

    So no moment leaves the device open to a replay, and where the block raises, the number is as it was
    before. Killed in the block, the number stays, but the current bundle, whose is lower, is allowed:
    ``raise_floor`` ends that, once the new one has been loaded or has its place.

    Args:
        current: the current bundle's statement; None where there's none.

    Raises:
        OutputError, TrustStateError: as ``raise_floor``; the block isn't entered.
    """
    with alone(file):
        lines = dict(_read(file).lines)
        now = lines.get(said.line)
        lower = current is not None and current.line == said.line and current.serial < said.serial
        back_to = current.digest if current is not None and lower else now.back_to if now else None
        wanted = Floor(said.serial, back_to)
        if now is not None and (said.serial < now.serial or now == wanted):
            yield
            return
        with put_back(file):
            _write(file, {**lines, said.line: wanted})
            yield


@contextmanager
def allowed_back(file: Path, said: Mark) -> Iterator[None]:
    """Let a statement be accepted again though a later one was, unless the block raises.

    Raises:
        OutputError, TrustStateError: as ``raise_floor``; the block isn't entered.
    """
    with alone(file):
        lines = dict(_read(file).lines)
        now = lines.get(said.line)
        if now is None or said.serial >= now.serial or now.back_to == said.digest:
            yield
            return
        with put_back(file):
            _write(file, {**lines, said.line: Floor(now.serial, said.digest)})
            yield


def _read(file: Path) -> Floors:
    if why := why_not(file):  # whoever can write it can replay
        raise TrustStateError(f"{shown(file)}: its numbers can't be trusted, for {shown(why)}")
    try:
        content = read_plain(file, MAX_FLOORS_BYTES)
    except FileNotFoundError:
        return Floors()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrustStateError(f"{shown(file)}: can't be read ({reason}); check the path and rights") from None
    try:
        found: Floors = read(Floors, load(content, UNNAMED), UNNAMED)
        good = (0 <= each.serial <= MAX_SERIAL for each in found.lines.values())
        if found.format != 1 or not all(good):
            raise UNNAMED.error("has a format or serial number that is out of range")
    except ManifestError as error:
        raise TrustStateError(
            f"{shown(file)}: not the serial numbers that this device accepted ({error}); put the file back "
            "from a copy, or remove it to begin anew"
        ) from None
    return found


def _write(file: Path, lines: Mapping[str, Floor]) -> None:
    text = json.dumps(plain(Floors(lines)), sort_keys=True, indent=1, ensure_ascii=False)
    write_file(file, text.encode() + b"\n", 0o644)  # what a group may write isn't trusted
    with output_errors(file):
        sync(file.parent)


def _locked(file: Path, folder: int) -> bool:
    try:
        with output_errors(file):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OutputError as error:
        if isinstance(error.__cause__, BlockingIOError):
            return False
        raise
    return True


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no number gets lost between two writers.

    Raises:
        OutputError: the folder isn't there, or another process keeps the lock.
    """
    if sys.platform == "win32":
        yield
        return
    with output_errors(file):
        folder = os.open(file.absolute().parent, os.O_RDONLY)
    try:
        ends = time.monotonic() + LOCK_SECONDS
        while not _locked(file, folder):  # whoever may look into the folder can lock it, and keep it so
            if time.monotonic() > ends:
                raise OutputError(
                    f"{shown(file)}: can't be written, another process has held its folder's lock for "
                    f"{LOCK_SECONDS:g} s; end that (`fuser {shown(file.parent)}`), or `chmod go-rx` it"
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(folder)


__all__ = ["Floor", "Floors", "Mark", "allowed_back", "alone", "check_floor", "raise_floor", "raised_floor"]
