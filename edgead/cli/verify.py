"""``edgead verify``: is this bundle whole and unchanged?"""

from __future__ import annotations

import click

from edgead.cli.arguments import find_bundle
from edgead.errors import BundleError


@click.command("verify")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")
def command(bundles: tuple[str, ...]) -> None:
    """Check every file of each BUNDLE against its manifest; nothing of it is run."""
    from edgead.bundle import read_bundle

    faults = []
    for text in bundles:
        try:
            found = read_bundle(find_bundle(text))
        except BundleError as error:
            faults.append(error)
            if len(bundles) > 1:
                click.echo(f"BAD  {error}")
            continue
        files = found.manifest.files
        click.echo(f"ok   {found.path}: {len(files)} files, {sum(file.bytes for file in files):,} bytes")
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise BundleError(f"{len(faults)} of {len(bundles)} bundles can't be trusted")
