"""From a line's file to a line that runs: its bundles, from slots where they're installed in such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgead.errors import NoSlotError
from edgead.line.config import Line
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.hearing import Told
from edgead.line.hold import Hold
from edgead.line.supply import BundleSupply
from edgead.names import shown
from edgead.slots import Slots


def slots_of(line: Line) -> dict[str, Slots]:
    """The folders of slots that cameras have their bundles from, by camera; one for each folder."""
    found: dict[str, Slots] = {}
    made: dict[Path, Slots] = {}
    trust = [line.path(key) for key in line.table.keys] or None
    for camera in line.cameras:
        path = line.path(camera.table.bundle)
        slots = Slots.of(path / "current") or Slots.of(path)
        if slots is not None:
            folder = slots.folder
            found[camera.table.name] = made.setdefault(folder, Slots(folder, trust=trust))
    return found


def bundles_of(line: Line, slots: Mapping[str, Slots], starting: bool) -> dict[str, Path]:
    """The bundle's folder of each camera.

    Args:
        slots: as ``slots_of`` gives them.
        starting: whether a runner begins: slots on trial count it, see ``Slots.start``.

    Raises:
        NoSlotError, SlotStateError, SlotsRightsError, SlotsBusyError, OutputError: as ``Slots.start``.
    """
    found = {camera.table.name: line.path(camera.table.bundle) for camera in line.cameras}
    started: dict[Slots, Path] = {}
    for name, its in slots.items():
        if its not in started:
            slot = its.start() if starting else its.current()
            if slot is None:
                raise NoSlotError(
                    f"{shown(its.folder)}: nothing is installed here; `edgead install` does that"
                )
            started[its] = slot.path
        found[name] = started[its]
    return found


def line_to_run(line: Line, told: Callable[[Told], None], hold: Hold | None = None) -> Core:
    """A line that is ready to be run; slots on trial have counted a start.

    Args:
        told: takes what is to be logged; it must not wait.
        hold: where others see how its bundles are.

    Raises:
        EdgeadError: as ``bundles_of``.
    """
    slots = slots_of(line)
    bundles = bundles_of(line, slots, starting=True)
    supply = BundleSupply(line, slots, bundles, told, hold)

    def tell(what: Told) -> None:
        supply.hear(what)
        told(what)

    return Core(Plan(line, bundles), tell, supply)


__all__ = ["bundles_of", "line_to_run", "slots_of"]
