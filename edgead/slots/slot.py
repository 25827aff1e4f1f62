"""A slot, as what the folder says of itself tells of it: its state, and the one that it goes back to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgead.slots.state import SlotRecord, State


@dataclass(frozen=True)
class Slot:
    """An installed bundle.

    Attributes:
        name: its folder's.
        path: its folder, which stays the same when ``current`` leads elsewhere.
        state: ``trial`` until it's marked good.
        starts: how often a runner began with it while it was on trial.
        installed: when, UTC; empty where the folder has forgotten.
        line, serial: of the signature that was accepted; None where none was demanded.
    """

    name: str
    path: Path
    state: Literal["trial", "good"]
    starts: int
    installed: str
    line: str | None
    serial: int | None


def slot_of(folder: Path, state: State, name: str) -> Slot:
    """The slot of this name."""
    record = state.slots.get(name)
    path = folder / name
    if record is None:  # the state file was removed
        return Slot(name, path, "good", 0, "", None, None)
    signed = record.signed
    line, serial = (None, None) if signed is None else (signed.line, signed.serial)
    return Slot(name, path, record.state, record.starts, record.installed, line, serial)


def record_of(state: State, name: str | None) -> SlotRecord | None:
    """What is kept of a slot, or None."""
    return None if name is None else state.slots.get(name)


def before_of(folder: Path, state: State, name: str | None) -> str | None:
    """What is previous to a slot, where that is still there."""
    record = record_of(state, name)
    before = None if record is None else record.before
    return before if before is not None and before != name and (folder / before).is_dir() else None


def last_good(folder: Path, state: State, name: str | None) -> str | None:
    """What a new slot goes back to: this one, or the one before where this is on trial itself."""
    record = record_of(state, name)
    on_trial = record is not None and record.state == "trial"
    return (before_of(folder, state, name) if on_trial else None) or name


def free_name(folder: Path, digest: str) -> str:
    """The name of a new slot for a bundle: its digest, with a number where that is taken."""
    name, number = digest, 2
    while os.path.lexists(folder / name):
        name, number = f"{digest}.{number}", number + 1
    return name


__all__ = ["Slot", "before_of", "free_name", "last_good", "record_of", "slot_of"]
