"""What a folder of slots says of itself, in one small file that is replaced as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgead.errors import ManifestError, SlotStateError
from edgead.files import output_errors, sync, write_file
from edgead.manifest.strict import UNNAMED, load, plain, read
from edgead.names import shown
from edgead.slots.place import FILE_MODE, read_file
from edgead.trust.floors import Mark
from edgead.undoing import put_back

STATE = "slots.json"
MAX_STATE_BYTES = 1 << 20
MOST = 1_000_000_000
"""Frames or starts, at most."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[1-9][0-9]{0,5})?")


@dataclass(frozen=True)
class SlotRecord:
    """One slot.

    Attributes:
        installed: when, UTC.
        before: the slot to go back to, or None.
        state: ``trial`` until it's marked good.
        starts: how often a runner began with it while it was on trial.
        good_after: frames judged in one run that mark it good.
        most_starts: starts on trial after which the next one goes back.
        signed: of its signature; None where none was demanded.
    """

    installed: str
    before: str | None
    state: Literal["trial", "good"]
    starts: int
    good_after: int
    most_starts: int
    signed: Mark | None


@dataclass(frozen=True)
class WentBack:
    """The last time that the folder went back: from which slot to which, when (UTC) and why."""

    left: str
    to: str
    when: str
    why: str


@dataclass(frozen=True)
class State:
    """The file.

    Attributes:
        slots: by name.
        went_back: the last time, or None.
        format: 1.
    """

    slots: Mapping[str, SlotRecord] = field(default_factory=dict)
    went_back: WentBack | None = None
    format: int = 1


def is_slot(name: str) -> bool:
    """Whether a folder's name is that of a slot: the bundle's digest, and a number from the second on."""
    return _NAME.fullmatch(name) is not None


def digest_of(name: str) -> str:
    """The bundle's digest that a slot's name begins with."""
    return name.partition(".")[0]


def read_state(folder: Path) -> State:
    """Read the file; an absent one says nothing yet.

    Raises:
        SlotStateError: it isn't as ``write_state`` writes it, or can't be read.
    """
    file = folder / STATE
    content = read_file(file, MAX_STATE_BYTES)
    if content is None:
        return State()
    try:
        if len(content) > MAX_STATE_BYTES:
            raise UNNAMED.error("is too large")
        state: State = read(State, load(content, UNNAMED), UNNAMED)
        _check(state)
    except ManifestError as error:
        raise SlotStateError(
            f"{shown(file)}: not what edgead keeps of its slots ({error}); remove it: the current slot "
            "stays, and what it would go back to is forgotten"
        ) from None
    return state


def write_state(folder: Path, state: State) -> None:
    """Write the file whole or not at all, and onto the disk; raises OutputError."""
    with state_put_back(folder, state):
        pass


@contextmanager
def state_put_back(folder: Path, state: State) -> Iterator[None]:
    """Write the file as ``write_state``; where the block raises, it's as it was before again."""
    text = json.dumps(plain(state), sort_keys=True, indent=1, ensure_ascii=False)
    with put_back(folder / STATE):
        write_file(folder / STATE, text.encode() + b"\n", FILE_MODE)
        with output_errors(folder):
            sync(folder)
        yield


def _check(state: State) -> None:
    names = {*state.slots, *(each.before for each in state.slots.values() if each.before is not None)}
    numbers = [n for each in state.slots.values() for n in (each.starts, each.good_after, each.most_starts)]
    if not (state.format == 1 and all(map(is_slot, names)) and all(0 <= n <= MOST for n in numbers)):
        raise UNNAMED.error("has a name or number that is out of range")


__all__ = [
    "MOST",
    "STATE",
    "SlotRecord",
    "State",
    "WentBack",
    "digest_of",
    "is_slot",
    "read_state",
    "state_put_back",
    "write_state",
]
