"""``edgead plugins``: who is installed; ``check`` tells whether it keeps its word, ``new`` begins one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import json_option, print_json, print_table, typed

if TYPE_CHECKING:
    from edgead.registry import Plugin
    from edgead.testing import Check, Result


@click.group("plugins", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the installed plugins, what they register and their problems.

    The environment variable EDGEAD_PLUGINS is a list, with commas between, of the distributions whose plugins
    may be used; without it all may. --no-plugins uses edgead's own alone.
    """
    if context.invoked_subcommand is not None:
        return
    from edgead.cli import VERBS
    from edgead.plugins import registry

    found = registry()
    taken = [
        f"{entry.distribution} {entry.version}: command '{entry.name}' is edgead's own; rename it"
        for plugin in found.plugins
        for entry in plugin.registers
        if entry.kind == "commands" and entry.name in VERBS
    ]
    if as_json:
        print_json([_record(plugin, taken) for plugin in found.plugins])
        return
    if not found.plugins:
        click.echo("No plugin is installed, not even edgead's own: install edgead with `pip install .`")
        return
    print_table([_row(plugin) for plugin in found.plugins], ("distribution", "version", "ms", "registers"))
    for problem in (*found.problems, *taken):
        click.echo(f"problem: {problem}")
    for notice in (notice for plugin in found.plugins for notice in plugin.notices):
        click.echo(f"notice: {notice}")


def _record(plugin: Plugin, taken: Sequence[str]) -> dict[str, Any]:
    from edgead.plugins import KINDS

    mine = [text for text in taken if text.startswith(f"{plugin.distribution} ") and plugin.module == ""]
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "module": plugin.module,
        "registers": {kind: [e.name for e in plugin.registers if e.kind == kind] for kind in KINDS},
        "load_ms": round(plugin.load_seconds * 1e3, 1),
        "switched_off": plugin.switched_off,
        "problems": [*plugin.problems, *mine],
        "notices": list(plugin.notices),
    }


def _row(plugin: Plugin) -> tuple[str, ...]:
    from edgead.plugins import KINDS

    names = {kind: [e.name for e in plugin.registers if e.kind == kind] for kind in KINDS}
    told = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in names.items() if found)
    if plugin.switched_off:
        told = "switched off"
    return plugin.distribution, plugin.version, f"{plugin.load_seconds * 1e3:.1f}", told or "nothing"


@command.command("check")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-o",
    "--option",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the method, as for fit, to shorten a training for instance; or of the source or sink.",
)
@click.option("--backbone", metavar="NAME", help="Backbone instead of the method's own.")
@click.option(
    "--weights", metavar="FILE", type=click.Path(path_type=Path), help="The backbone's weights file."
)
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Good images for a method instead of generated ones; an example for a layout.",
)
@click.option("--only", multiple=True, metavar="CHECK", help="Only the checks of this name; may be repeated.")
@json_option
def check(
    names: tuple[str, ...],
    option: tuple[str, ...],
    backbone: str | None,
    weights: Path | None,
    folder: Path | None,
    only: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check that what NAME registers behaves as a built-in does.

    NAME is a distribution, edgead-mine, or a registered name of any kind: a method, a target, an engine, a
    backbone as NAME:ARGUMENT. Methods are fitted on a few generated images and run on both engines. The exit
    code is 6 if a check fails.
    """
    from edgead.errors import PluginError, UnknownNameError
    from edgead.plugins import registry
    from edgead.testing import checks

    found = checks(
        *names,
        options=dict.fromkeys(
            [n for k in ("methods", "sources", "sinks") for n in registry().names(k)], option
        ),
        folders=dict.fromkeys([n for kind in ("methods", "layouts") for n in registry().names(kind)], folder)
        if folder
        else {},
        backbone=backbone,
        weights=weights,
    )
    for name in only:
        if name not in (known := {each.name for each in found}):
            raise UnknownNameError("check", name, known)
    results = []
    for each in found:
        if only and each.name not in only:
            continue
        results.append((each, each.run()))
        if not as_json:
            _print(*results[-1])
    counts = {o: sum(r.outcome == o for _, r in results) for o in ("passed", "failed", "expected", "skipped")}
    if as_json:
        print_json({
            "checks": [
                {"check": str(check), "says": check.says, "outcome": r.outcome, "message": r.message}
                for check, r in results
            ],
            **counts,
        })  # fmt: skip
    else:
        click.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
    return PluginError.exit_code if counts["failed"] else 0


def _print(each: Check, result: Result) -> None:
    """A line as soon as it's known: a check may take seconds."""
    click.echo(f"{result.outcome:8}  {each}")
    if result.message:
        click.echo(click.wrap_text(result.message, 110, "          ", "          "))


@command.command("new")
@click.argument("name")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Its folder (default ./edgead-NAME)."
)
def new(name: str, out: Path | None) -> None:
    """Write a plugin to start from: a method NAME in a distribution edgead-NAME.

    It's complete: a scorer and a method, tests with the conformance kit, a README and a pyproject.toml.
    """
    from edgead.testing.template import PREFIX, write_plugin

    folder, files = write_plugin(name, out)
    for file in files:
        click.echo(str(file))
    click.echo(
        f"\nNext: {typed('cd', folder)} && pip install -e '.[test]' && "
        f"edgead plugins check {PREFIX}{name.removeprefix(PREFIX)} && pytest"
    )
