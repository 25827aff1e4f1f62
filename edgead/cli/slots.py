"""``edgead slots``: which bundles are installed on a device, and how they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgead.cli.output import json_option, print_json, print_table, show_notices

if TYPE_CHECKING:
    from edgead.notices import Notice
    from edgead.slots import Slots

F = TypeVar("F", bound=Callable[..., Any])


class _Folder(click.Path):
    """A path that isn't empty, as that of a variable that isn't set is: it would be the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("it's empty; give a folder", param, ctx)
        return super().convert(value, param, ctx)


def slots_option(function: F) -> F:
    """Add ``--slots``, passed on as ``folder``."""
    return click.option(
        "--slots",
        "folder",
        metavar="DIR",
        required=True,
        type=_Folder(path_type=Path),
        help="The folder of installed bundles.",
    )(function)


@click.command("slots")
@slots_option
@click.option("--good", is_flag=True, help="Mark the current bundle as good: it isn't on trial any more.")
@json_option
def command(folder: Path, good: bool, as_json: bool) -> None:
    """Show the bundle that is current, the one before, and the last time that the folder went back."""
    from edgead.names import shown
    from edgead.slots import Slots
    from edgead.slots.folder import short
    from edgead.slots.place import check_there

    slots = Slots(folder)
    check_there(slots.folder)
    if good:
        slots.good()
    if as_json:
        print_json(record(slots))
        return
    current, previous, back = slots.current(), slots.previous(), slots.went_back()
    if current is None:
        click.echo(
            shown(f"{folder}: nothing is installed; `edgead install BUNDLE --slots {folder}` does that")
        )
        return
    rows = []
    for word, slot in (("current", current), ("previous", previous)):
        if slot is not None:
            serial = "-" if slot.serial is None else str(slot.serial)
            rows.append(
                (
                    word,
                    short(slot.name),
                    slot.state,
                    str(slot.starts),
                    slot.installed or "-",
                    slot.line or "-",
                    serial,
                )
            )
    print_table(rows, ("slot", "bundle", "state", "starts on trial", "installed", "line", "serial"))
    show_notices(notices(slots))
    if back is not None:
        click.echo(shown(f"went back from {short(back.left)} to {short(back.to)} on {back.when}: {back.why}"))


def record(slots: Slots) -> dict[str, Any]:
    """The folder as JSON."""
    from edgead.manifest.strict import plain

    told_of = [notice.record() for notice in notices(slots)]
    found = {"current": slots.current(), "previous": slots.previous()}
    told = {
        name: None if slot is None else {**plain(slot), "path": str(slot.path)}
        for name, slot in found.items()
    }
    return {"slots": str(slots.folder), **told, "went_back": plain(slots.went_back()), "notices": told_of}


def notices(slots: Slots) -> list[Notice]:
    """What is so with the bundles that are installed, each once."""
    from edgead.slots.looking import notices_of

    found = {"current": slots.current(), "previous": slots.previous()}
    told: list[Notice] = []
    for which, slot in found.items():
        told += [] if slot is None else [each for each in notices_of(which, slot) if each not in told]
    return told


__all__ = ["command", "notices", "record", "slots_option"]
