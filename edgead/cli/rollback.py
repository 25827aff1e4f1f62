"""``edgead rollback``: go back to the bundle before, in one step."""

from __future__ import annotations

from pathlib import Path

import click

from edgead.cli.output import json_option, print_json
from edgead.cli.slots import slots_option
from edgead.cli.trust_options import trust_of, trust_options


@click.command("rollback")
@slots_option
@trust_options("--trust")
@click.option("--why", metavar="TEXT", default="", help="Why, in a line; kept in the folder.")
@json_option
def command(folder: Path, keys: tuple[Path, ...], line: str | None, why: str, as_json: bool) -> None:
    """Make the bundle before the current one current again; the other one is removed.

    Its files and its signature are checked. That a later serial number was accepted is no hindrance: going
    back is this device's own decision.
    """
    from edgead.cli.slots import record
    from edgead.names import shown
    from edgead.slots import Slots
    from edgead.slots.folder import short

    slots = Slots(folder, trust=trust_of("--trust", keys, line))
    now = slots.rollback(shown(" ".join(why.split()))[:500] or "asked for")
    if as_json:
        print_json(record(slots))
        return
    click.echo(shown(f"{folder}: {short(now.name)} is current again"))
