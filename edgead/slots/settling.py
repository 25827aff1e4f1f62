"""A folder of slots put in order: what a killed writer began is finished, and what it left is removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgead.errors import EdgeadError
from edgead.slots.folder import CURRENT, PREVIOUS, SERIALS, leads, point, sweep, target
from edgead.slots.place import check_numbers
from edgead.slots.slot import before_of, record_of
from edgead.slots.state import State, read_state, write_state
from edgead.trust import Trust, device_trust
from edgead.trust.floors import raise_floor

_log = logging.getLogger(__name__)


def demanded(folder: Path, given: Trust | None) -> Trust | None:
    """What is demanded of signatures: what the caller gave, or what the device demands.

    Without a file of its own for them, the accepted serial numbers are kept in the folder.
    """
    trust = given or device_trust()
    if trust is None or trust.state is not None:
        return trust
    return replace(trust, state=check_numbers(folder / SERIALS))


def tidied(folder: Path, given: Trust | None) -> None:
    """As ``settled``, after a change that stands: what can't be done now, the next writer does."""
    with left_for_later(folder):
        settled(folder, given)


def settled(folder: Path, given: Trust | None) -> State:
    """Finish what a killed writer began, remove what it left, and return what holds.

    The lock is held. What can't be removed or written is said; that the current bundle's number can't be kept
    is an error.
    """
    state, name = read_state(folder), target(folder, CURRENT)
    before = before_of(folder, state, name)
    kept = {each for each in (name, before) if each is not None}
    pruned = replace(state, slots={each: state.slots[each] for each in kept if each in state.slots})
    record = record_of(pruned, name)
    try:
        if record is not None and record.signed is not None:
            trust = demanded(folder, given)
            file = Path(trust.state) if trust and trust.state else check_numbers(folder / SERIALS)
            raise_floor(file, record.signed)
    finally:
        with left_for_later(folder):
            if not leads(folder, PREVIOUS, before):
                point(folder, PREVIOUS, before)
            sweep(folder, kept)
            if pruned != state:
                write_state(folder, pruned)
    return pruned


@contextmanager
def left_for_later(
    folder: Path, what: str = "what was left is removed by the next command"
) -> Iterator[None]:
    """Say what can't be written of what needn't be, and go on."""
    try:
        yield
    except (EdgeadError, OSError) as error:
        _log.warning("%s: %s (%s)", folder, what, error)


__all__ = ["demanded", "left_for_later", "settled", "tidied"]
