"""``edgead plugins``: who is installed, what each registers, and what is wrong with it."""

from __future__ import annotations

import click

from edgead.cli.output import json_option, print_json, print_table


@click.command("plugins")
@json_option
def command(as_json: bool) -> None:
    """List the installed plugins, what they register and their problems."""
    from edgead.plugins import KINDS, registry

    found = registry()
    if as_json:
        print_json([
            {
                "distribution": plugin.distribution,
                "version": plugin.version,
                "entry_point": plugin.entry_point,
                "registers": {
                    kind: [entry.name for entry in plugin.registers if entry.kind == kind] for kind in KINDS
                },
                "problems": list(plugin.problems),
            }
            for plugin in found.plugins
        ])  # fmt: skip
        return
    if not found.plugins:
        click.echo("No plugin is installed, not even edgead's own: install edgead with `pip install .`")
        return
    rows = []
    for plugin in found.plugins:
        names = {kind: [e.name for e in plugin.registers if e.kind == kind] for kind in KINDS}
        told = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in names.items() if found)
        rows.append((plugin.distribution, plugin.version, plugin.entry_point, told or "nothing"))
    print_table(rows, ("distribution", "version", "entry point", "registers"))
    for problem in found.problems:
        click.echo(f"problem: {problem}")
