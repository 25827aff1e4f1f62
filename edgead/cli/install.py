"""``edgead install``: put a bundle in its place on a device, in one step."""

from __future__ import annotations

from pathlib import Path

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import engine_option
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json, show_notices, typed
from edgead.cli.slots import slots_option
from edgead.cli.trust_options import trust_of, trust_options


@click.command("install")
@click.argument("bundle", shell_complete=complete_paths)
@slots_option
@trust_options("--trust")
@click.option(
    "--good-after",
    metavar="N",
    type=click.IntRange(0),
    help="Frames to judge before it's good, 0 for good at once (default 100).",
)
@click.option(
    "--most-starts",
    metavar="N",
    type=click.IntRange(0),
    help="Starts on trial, after which the next one goes back (default 3).",
)
@engine_option
@json_option
def command(
    bundle: str,
    folder: Path,
    keys: tuple[Path, ...],
    line: str | None,
    good_after: int | None,
    most_starts: int | None,
    engine: str | None,
    as_json: bool,
) -> None:
    """Copy BUNDLE into a slot of its own, check and try it on this device, and make it the current one.

    \b
    edgead install part.edgead --slots /var/lib/edgead/slots --trust /etc/edgead/qa.pub
    edgead run /var/lib/edgead/slots/current SOURCE

    Its files, its signature and its own images' scores on this device are checked before anything changes;
    the bundle before is kept for `edgead rollback`. It's on trial until `edgead run` has judged N frames with
    it in one go; where that never happens, the folder goes back by itself at a later start.
    """
    from edgead.cli.slots import record
    from edgead.names import shown
    from edgead.slots import GOOD_AFTER, MOST_STARTS, Slots
    from edgead.slots.folder import short
    from edgead.slots.looking import notices_of

    slots = Slots(folder, trust=trust_of("--trust", keys, line))
    before = slots.current()
    now = slots.install(
        find_bundle(bundle),
        engine=engine,
        good_after=GOOD_AFTER if good_after is None else good_after,
        most_starts=MOST_STARTS if most_starts is None else most_starts,
    )
    fresh = before is None or before.name != now.name
    if as_json:
        print_json({"installed": fresh, **record(slots)})
        return
    show_notices(notices_of("current", now))
    if not fresh:
        click.echo(shown(f"{folder}: this bundle is current already, so nothing was done"))
        return
    signed = (
        "" if now.serial is None else f", serial {now.serial}{f' for line {now.line}' if now.line else ''}"
    )
    trial = ", on trial" if now.state == "trial" else ""
    click.echo(shown(f"{folder}: {short(now.name)} is current{trial}{signed}"))
    previous = slots.previous()
    if previous is None:
        click.echo("there's nothing before it to go back to")
    else:
        back = typed("edgead", "rollback", "--slots", folder)
        click.echo(shown(f"before it: {short(previous.name)}; back: {back}"))
