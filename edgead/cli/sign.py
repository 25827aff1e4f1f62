"""``edgead sign``: say by a signature that a bundle may be used."""

from __future__ import annotations

from pathlib import Path

import click

from edgead.bundle_names import find_bundle
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json
from edgead.cli.trust_options import passphrase_of, passphrase_option


@click.command("sign")
@click.argument("bundle", shell_complete=complete_paths)
@click.option(
    "--key",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The private key, as `edgead keys new` makes one.",
)
@click.option(
    "--serial",
    metavar="N",
    type=click.IntRange(0, 1 << 53),
    help="Counts up for each line (default: as its last one for this line, one more after a change, or 1).",
)
@click.option("--line", metavar="TEXT", default="", help="The line that it's for (default: any).")
@click.option("--by", metavar="TEXT", default="", help="Who signs (default: the user's login name).")
@click.option(
    "--expires", metavar="DATE", help="Refuse it after this day or time in UTC, 2027-01-31 for instance."
)
@click.option(
    "--gate", "gates", metavar="TEXT", multiple=True, help="What it has passed; may be given several times."
)
@click.option("--passphrase", is_flag=True, help="Ask for the private key's passphrase.")
@passphrase_option
@json_option
def command(
    bundle: str,
    key: Path,
    serial: int | None,
    line: str,
    by: str,
    expires: str | None,
    gates: tuple[str, ...],
    passphrase: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Sign BUNDLE as it is, with the newest revision of its thresholds and what it was taught.

    The signature is one more file in BUNDLE's folder signatures/; all others stay as they are, so that a
    bundle is promoted by a further signature. A device that demands one refuses a lower serial number than
    the last it accepted for the line.
    """
    from edgead.bundle.signing import Claim, beside, sign_bundle
    from edgead.manifest.strict import plain
    from edgead.names import shown
    from edgead.notices import say
    from edgead.trust.demand import told

    claim = Claim(serial, line, by, expires, gates)
    found, signed = sign_bundle(find_bundle(bundle), key, claim, passphrase_of(passphrase_file, passphrase))
    doubt = beside(found, signed)
    if as_json:
        record = {"key": signed.key, "signature": signed.signature, **plain(signed.statement)}
        notices = [] if doubt is None else [doubt.record()]
        print_json({"path": str(found.path), **record, "notices": notices})
        return
    click.echo(shown(f"{found.path}: {told(signed.statement)}, key {signed.key[:16]}"))
    if found.revision:
        click.echo(f"note: signed with these thresholds: {shown(say(found.revision.notice()))}")
    if found.taught:
        click.echo(f"note: signed with what it was taught: {say(found.taught_notice)}")
    if doubt is not None:
        click.echo(f"note: {say(doubt)}")
