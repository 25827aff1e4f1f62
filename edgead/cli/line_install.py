"""``edgead line install`` and ``rollback``: another bundle for a line, which it takes while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import count_of
from edgead.cli.completion import complete_paths
from edgead.cli.line_argument import line_file
from edgead.cli.output import json_option, print_json

if TYPE_CHECKING:
    from edgead.line.installing import Answer
    from edgead.slots import Slot, Slots

WAIT = 120.0
MOST_NUMBER = 1_000_000_000


def _camera(function: Callable[..., Any]) -> Callable[..., Any]:
    text = "The camera whose bundle it is; not needed where all have the same."
    return click.option("--camera", metavar="NAME", help=text)(function)


def _wait(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--wait",
        "seconds",
        type=click.FloatRange(0, 86_400),
        default=WAIT,
        metavar="SECONDS",
        help="How long to wait for a line that runs to take it (default 120).",
    )(function)


@click.command("install")
@click.argument("bundle", shell_complete=complete_paths)
@line_file
@_camera
@click.option(
    "--good-after",
    metavar="N",
    type=count_of(0, MOST_NUMBER),
    help="Frames to judge before it's good, 0 for good at once (default 100).",
)
@_wait
@json_option
def install(
    bundle: str, file: Path, camera: str | None, good_after: int | None, seconds: float, as_json: bool
) -> int:
    """Put BUNDLE into the slots of a line, and have the line take it, if it runs.

    \b
    edgead line install /media/usb/part.edgead line.toml

    It's checked, as LINE.TOML's keys demand, and tried on this device before anything changes, as by `edgead
    install`; of a stick only the bundle is read. A line that runs tries it beside the one that judges, and
    goes back by itself where it's worse. The exit code is 4 where a line that runs didn't take it.
    """
    from edgead.line.config import read_line
    from edgead.line.installing import bundle_at, slots_for
    from edgead.names import shown
    from edgead.slots import GOOD_AFTER

    line = read_line(file)
    slots, cameras = slots_for(line, shown(file), camera)
    now = slots.install(bundle_at(bundle), good_after=GOOD_AFTER if good_after is None else good_after)
    return _told(file, slots, now, cameras, seconds, as_json)


@click.command("rollback")
@line_file
@_camera
@click.option("--why", metavar="TEXT", default="", help="Why, in a line; kept in the folder.")
@_wait
@json_option
def rollback(file: Path, camera: str | None, why: str, seconds: float, as_json: bool) -> int:
    """Go back to the bundle before in the slots of a line, and have the line do so, if it runs.

    A line that runs tries that one too before it judges. The exit code is 4 where it didn't take it.
    """
    from edgead.line.config import read_line
    from edgead.line.installing import slots_for
    from edgead.names import shown

    line = read_line(file)
    slots, cameras = slots_for(line, shown(file), camera)
    now = slots.rollback(shown(" ".join(why.split()))[:500] or "asked for")
    return _told(file, slots, now, cameras, seconds, as_json)


def _told(file: Path, slots: Slots, now: Slot, cameras: list[str], seconds: float, as_json: bool) -> int:
    """Have the line take what is current, and say what became of that."""
    from edgead.cli.slots import record, show
    from edgead.errors import GateError
    from edgead.line.config import read_line
    from edgead.line.installing import told
    from edgead.names import shown
    from edgead.slots.folder import short
    from edgead.slots.looking import notices_of

    line = read_line(file)
    if not as_json:
        show(notices_of("current", now))
        signed = "" if now.serial is None else f", serial {now.serial}"
        trial = ", on trial" if now.state == "trial" else ""
        click.echo(shown(f"{slots.folder}: {short(now.name)} is current{trial}{signed}"))
    answer = told(file, line, cameras, now.path, seconds)
    if as_json:
        found = {"process": answer.process, "took": answer.took, "phases": answer.phases, "why": answer.why}
        print_json({"cameras": cameras, "line": found, **record(slots)})
        return GateError.exit_code if answer.took is False else 0
    text = _words(line.table.name, cameras, answer)
    if answer.took is False:
        raise GateError(text)
    click.echo(shown(text))
    return 0


def _words(name: str, cameras: list[str], answer: Answer) -> str:
    whose = f"line {name}, process {answer.process},"
    of = f"camera {', '.join(cameras)}"
    if answer.process is None:
        return f"line {name} doesn't run: its next start takes it, for {of}"
    if answer.took:
        return f"{whose} has taken it: it judges now, for {of}"
    if answer.took is None:
        far = (
            ", ".join(f"{camera} {phase}" for camera, phase in (answer.phases or {}).items()) or "no word yet"
        )
        return f"{whose} hasn't taken it yet ({far}), and goes on trying: see what it prints"
    why = answer.why or "see what it prints"
    return f"{whose} didn't take it, and judges by the one before, for {of}: {why}"


__all__ = ["install", "rollback"]
