"""``edgead doctor``: what this machine and this environment can do."""

from __future__ import annotations

from collections.abc import Collection

import click

from edgead.cli.output import json_option, print_json, print_table


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Show what this machine can run; add it to a bug report.

    Shown are Python, packages, extras, engines, their devices, and the processor's arithmetic units.
    """
    import platform

    from edgead import machine, telemetry
    from edgead.cache import cache_folder, cache_problem
    from edgead.extras import EXTRAS
    from edgead.plugins import registry
    from edgead.version import __version__

    processor = machine.cpu()
    absent = machine.absent_packages()
    names = dict.fromkeys((*machine.CORE, *(name for packages in EXTRAS.values() for name in packages)))
    cache, no_cache = cache_folder(), cache_problem()
    versions = {name: machine.installed(name) for name in names}
    engines = machine.engine_devices()
    others = _of_plugins(engines)
    if as_json:
        print_json({
            "edgead": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpu": {"model": processor.model, "threads": processor.threads, "units": processor.units},
            "packages": versions,
            "extras": {extra: {"complete": not lacks, "missing": lacks} for extra, lacks in absent.items()},
            "engines": {
                name: {"devices": told} if isinstance(told, dict) else {"problem": told}
                for name, told in engines.items()
            }
            | {name: {"plugin": who, "problem": lacks} for name, who, lacks in others},
            "jetson": machine.jetson_line(),
            "telemetry": telemetry.sentence() if telemetry.started() else "off",
            "cache": cache and str(cache),
            "cache_problem": no_cache,
            "problems": list(registry().problems),
        })  # fmt: skip
        return
    units = processor.units
    known = "unknown" if units is None else ", ".join(n for n, there in units.items() if there) or "none"
    print_table([
        ("edgead", __version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        ("CPU", f"{processor.model}, {processor.threads} threads"),
        ("CPU units", known),
        ("cache", str(cache) if no_cache is None else f"none: {no_cache}"),
        ("telemetry", telemetry.sentence()),
    ])  # fmt: skip
    click.echo("\nPackages")
    print_table([(name, found or "-") for name, found in versions.items()], indent="  ")
    click.echo("\nExtras")
    print_table([(extra, _complete(extra, lacks)) for extra, lacks in absent.items()], indent="  ")
    click.echo("\nEngines and their devices")
    rows = []
    for engine, told in engines.items():
        devices = told.items() if isinstance(told, dict) else [("-", told)]
        rows += [(engine, *device) for device in devices]
    rows += [(name, "-", f"{lacks or 'ready'}; of {who}") for name, who, lacks in others]
    print_table(rows, indent="  ")
    click.echo(f"\nA bundle for --target jetson {machine.jetson_line()}")
    for problem in registry().problems:
        click.echo(f"\nproblem: {problem}")


def _of_plugins(own: Collection[str]) -> list[tuple[str, str, str | None]]:
    """Engines of plugins: name, distribution, and how to install what it lacks or why it can't be used."""
    from edgead.errors import EdgeadError
    from edgead.plugins import registry
    from edgead.runtime.engines import find_engine

    found: list[tuple[str, str, str | None]] = []
    for entry in registry().entries("engines"):
        if entry.name in own:
            continue
        try:
            lacks = find_engine(entry.name).lacks()
        except EdgeadError as error:
            lacks = str(error)
        found.append((entry.name, f"{entry.distribution} {entry.version}", lacks))
    return found


def _complete(extra: str, lacks: list[str]) -> str:
    from edgead.extras import install

    return f"lacks {', '.join(lacks)}: {install(extra)}" if lacks else "complete"
