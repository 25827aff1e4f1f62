"""``edgead verify``: is this bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import engine_option
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json
from edgead.cli.trust_options import trust_of, trust_options
from edgead.errors import BundleError, ParityError

if TYPE_CHECKING:
    from edgead.trust import Trust


@click.command("verify")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", shell_complete=complete_paths)
@click.option(
    "--on-device",
    is_flag=True,
    help="Also run the parity check here: this device's engine against exact arithmetic.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Images for --on-device besides those in the bundle, which must hold an ONNX model.",
)
@click.option(
    "--try",
    "try_in_child",
    is_flag=True,
    help="First open the model and run it once in a process of its own, with limits on time and memory.",
)
@engine_option
@trust_options("--key")
@json_option
def command(
    bundles: tuple[str, ...],
    on_device: bool,
    images: Path | None,
    try_in_child: bool,
    engine: str | None,
    keys: tuple[Path, ...],
    line: str | None,
    as_json: bool,
) -> None:
    """Check each BUNDLE's files against its manifest, and its signature where one is demanded.

    A signature is demanded with --key, and on a device that sets EDGEAD_TRUST. A model must be whole, of the
    kind that its name says, and within bounds.

    Without --try and --on-device nothing in a bundle is run. Try a stranger's bundle first: what its model
    breaks, or takes, is then its own process's.
    """
    if images is not None and not on_device:
        raise click.UsageError("--images is for --on-device: add it, or leave both out")
    if engine is not None and not on_device and not try_in_child:
        raise click.UsageError("--engine is for --on-device and --try: add one, or leave it out")
    trust = trust_of("--key", keys, line)
    faults: list[BundleError | ParityError] = []
    records = []
    for text in bundles:
        record: dict[str, Any] = {"bundle": text, "ok": True}
        records.append(record)
        try:
            show = (lambda line: None) if as_json else click.echo
            _check(text, record, on_device, images, try_in_child, engine, trust, show)
        except (BundleError, ParityError) as error:
            faults.append(error)
            record |= {"ok": False, "error": str(error), "kind": type(error).__name__}
            if len(bundles) > 1 and not as_json:
                click.echo(f"BAD  {error}")
    if as_json:
        print_json(records)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise BundleError(f"{len(faults)} of {len(bundles)} bundles can't be trusted")


def _check(
    text: str,
    record: dict[str, Any],
    on_device: bool,
    images: Path | None,
    try_in_child: bool,
    engine: str | None,
    trust: Trust | None,
    say: Callable[[str], None],
) -> None:
    """Check one bundle, and put what is found into the record as well."""
    from edgead.bundle import read_bundle
    from edgead.device.verify import check_on_device, require
    from edgead.manifest.sealing import SEALED
    from edgead.manifest.strict import plain
    from edgead.names import shown
    from edgead.notices import Notice, count
    from edgead.notices import say as told

    found = read_bundle(find_bundle(text), trust=trust, tell=False, models=True)
    files = found.manifest.files
    record |= {"bundle": str(found.path), "files": len(files), "bytes": sum(file.bytes for file in files)}
    record["manifest_sha256"] = found.digest
    say(f"ok   {shown(found.path)}: {count(record['files'], 'file')}, {record['bytes']:,} bytes")
    say(f"ok   manifest: SHA-256 {found.digest}")
    record["has_digest"] = found.manifest.format >= SEALED
    if not record["has_digest"]:
        record["notices"] = [Notice("no-digest").record()]
        say(f"note: {told(Notice('no-digest'))}")
    if found.signed:
        said = found.signed
        record["signed"] = {"key": said.key.id, **plain(said.statement)}
        say(f"ok   {said}")
    elif found.signatures:
        record["unchecked_signatures"] = len(found.signatures)
        say(f"note: {count(len(found.signatures), 'signature')} unchecked: --key FILE checks them")
    if found.revision:
        record["revision"] = found.revision.record()
        say(f"ok   {count(len(found.revisions), 'revision')}: {shown(told(found.revision.notice()))}")
    if found.taught:
        record["taught"] = found.taught
        say(f"note: {told(found.taught_notice)}")
    if found.unchecked:
        record["unchecked"] = list(found.unchecked)
        say(f"note: {shown(told(found.notices[-1]))}")
    if try_in_child:
        from edgead.device.trial import try_bundle

        trial = try_bundle(found, engine)
        record["trial"] = dataclasses.asdict(trial)
        say(f"ok   {shown(str(trial))}")
    if on_device:
        runs_on, parities = check_on_device(found, images, engine)
        record |= {"runs_on": runs_on, "parity": [dataclasses.asdict(parity) for parity in parities]}
        require(found, runs_on, parities)
        for line in (runs_on, *map(str, parities)):
            say(f"ok   {line}")
