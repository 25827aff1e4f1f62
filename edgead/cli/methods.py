"""``edgead methods``: what can be fitted, and the options of one of them."""

from __future__ import annotations

import dataclasses

import click

from edgead.cli.completion import complete_names
from edgead.cli.output import json_option, print_entries, print_json, print_table
from edgead.types import Method


@click.command("methods")
@click.argument("name", required=False, shell_complete=complete_names("methods"))
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the methods, or the options of one.

    Give an option of the method NAME to fit as `-o key=value`.
    """
    from edgead.options import describe_options, show
    from edgead.plugins import registry

    if name is None:
        print_entries(registry().entries("methods"), as_json)
        return
    method = registry().get("methods", name)()
    scorer = registry().get("scorers", method.scorer)
    options = describe_options(scorer.Options, method.options)
    if as_json:
        print_json(
            {**dataclasses.asdict(method), "options": [dataclasses.asdict(option) for option in options]}
        )
        return
    print_table([
        ("method", method.name),
        ("backbone", method.backbone),
        ("scorer", method.scorer),
        ("post-processor", method.postprocessor),
        ("paper", method.paper),
    ])  # fmt: skip
    for preset, values in method.presets.items():
        words = " ".join(f"-o {key}={show(value)}" for key, value in values.items())
        click.echo(f"\n  --preset {preset}: {words or 'the defaults'}")
        if told := preset_words(method, preset):
            click.echo(click.wrap_text(told, 100, "     ", "     "))
    for option in options:
        click.echo(f"\n  -o {option.name}={option.default}  ({option.type})")
        click.echo(click.wrap_text(option.help, 100, "     ", "     "))


def preset_words(method: Method, preset: str) -> str:
    """Beside its options: a preset's input, its backbone, and what is to be known; "" for nothing."""
    size = method.preset_sizes.get(preset)
    parts = [
        "" if size is None else f"--size {size[0]}x{size[1]}",
        f"--backbone {method.preset_backbones[preset]}" if preset in method.preset_backbones else "",
        method.preset_notes.get(preset, ""),
    ]
    return ", ".join(part for part in parts if part)
