"""``edgead schema``: what other programs read bundles by."""

from __future__ import annotations

import click

from edgead.schemas import NAMES, schema


@click.command("schema")
@click.argument("name", type=click.Choice(NAMES), metavar="|".join(NAMES))
def command(name: str) -> None:
    """Print the JSON Schema of a bundle's manifest.json, or of a signed statement in its signatures/."""
    click.echo(schema(name), nl=False)
