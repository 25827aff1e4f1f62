"""``edgead keys``: the keys that bundles are signed with."""

from __future__ import annotations

from pathlib import Path

import click

from edgead.cli.output import json_option, print_json, typed
from edgead.cli.trust_options import passphrase_of, passphrase_option


@click.group("keys")
def command() -> None:
    """Make the keys that `edgead sign` signs with and devices trust."""


@command.command("new")
@click.argument("name", required=False)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Write the two files here (default: the current folder).",
)
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase, and encrypt the private key by it.")
@passphrase_option
@json_option
def new(name: str | None, out: Path, passphrase: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a pair of Ed25519 keys, NAME.key and NAME.pub; NAME is `edgead` if not given.

    NAME.key is private: keep it where bundles are signed, and nowhere else. NAME.pub goes to the devices.
    """
    from edgead.errors import OptionError
    from edgead.names import shown
    from edgead.trust.keys import PRIVATE, PUBLIC, make_keys

    name = "edgead" if name is None else name
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise OptionError(f"{shown(name)!r} is no name of a key: give a plain one, and the folder by --out")
    private, public = out / f"{name}{PRIVATE}", out / f"{name}{PUBLIC}"
    made = make_keys(private, public, passphrase_of(passphrase_file, passphrase, confirm=True))
    if as_json:
        print_json({"private": str(private), "public": str(public), "id": made.id})
        return
    click.echo(shown(f"{private}: private, for you alone"))
    click.echo(shown(f"{public}: public, for devices (key {made.id[:16]})"))
    click.echo(f"next: {typed('edgead', 'sign', 'BUNDLE', '--key', private)}")
