"""``edgead verify``: is this bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import engine_option, find_bundle
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json
from edgead.errors import BundleError, InputError, ParityError

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.runtime.proof import Parity
    from edgead.runtime.session import Session


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
    help="Images for --on-device besides those in the bundle.",
)
@engine_option
@json_option
def command(
    bundles: tuple[str, ...], on_device: bool, images: Path | None, engine: str | None, as_json: bool
) -> None:
    """Check each BUNDLE's files against its manifest.

    Without --on-device nothing in a bundle is run.
    """
    if images is not None and not on_device:
        raise click.UsageError("--images is for --on-device: add it, or leave both out")
    if engine is not None and not on_device:
        raise click.UsageError("--engine is for --on-device: add it, or leave both out")
    here = partial(_on_device, images=images, engine=engine) if on_device else None
    faults: list[BundleError | ParityError] = []
    records = []
    for text in bundles:
        record: dict[str, Any] = {"bundle": text, "ok": True}
        records.append(record)
        try:
            _check(text, record, here, (lambda line: None) if as_json else click.echo)
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
    on_device: Callable[[Bundle], tuple[str, list[Parity]]] | None,
    say: Callable[[str], None],
) -> None:
    """Check one bundle, and put what is found into the record as well."""
    from edgead.bundle import read_bundle
    from edgead.names import shown
    from edgead.notices import count
    from edgead.notices import say as told

    found = read_bundle(find_bundle(text))
    files = found.manifest.files
    record |= {"bundle": str(found.path), "files": len(files), "bytes": sum(file.bytes for file in files)}
    say(f"ok   {found.path}: {count(record['files'], 'file')}, {record['bytes']:,} bytes")
    if found.unchecked:
        record["unchecked"] = list(found.unchecked)
        say(f"note: {shown(told(found.notices[-1]))}")
    if on_device is not None:
        runs_on, parities = on_device(found)
        record |= {"runs_on": runs_on, "parity": [dataclasses.asdict(parity) for parity in parities]}
        _require(found, runs_on, parities)
        for line in (runs_on, *map(str, parities)):
            say(f"ok   {line}")


def _on_device(bundle: Bundle, images: Path | None, engine: str | None) -> tuple[str, list[Parity]]:
    """What runs the bundle here, and what that makes of its probes and of the user's images."""
    from edgead.runtime.engine_options import EngineOptions
    from edgead.runtime.engines import engine_of, open_session
    from edgead.runtime.proof import replay

    manifest = bundle.manifest
    if not manifest.probes and images is None:
        raise InputError(f"{bundle.path}: it carries no images: give some good ones with --images")
    options = EngineOptions(precision=manifest.engine_precision)
    here = open_session(bundle.file(manifest.model), engine_of(bundle, engine), options)
    found = [replay(bundle, here)] if manifest.probes else []
    if images is not None:
        found.append(_on_images(bundle, here, images))
    return here.runs_on, found


def _require(bundle: Bundle, runs_on: str, parities: Sequence[Parity]) -> None:
    from edgead.runtime.proof import told

    for parity in parities:
        if not parity.passed:
            raise ParityError(f"{bundle.path}: {told(parity, runs_on)}")


def _on_images(bundle: Bundle, here: Session, images: Path) -> Parity:
    """The same graph in exact arithmetic, on the user's images and changes of them."""
    from edgead.device.parity import check_parity, probe_images
    from edgead.images import list_images, read_image
    from edgead.resize import ResizeRule
    from edgead.runtime.exact import ExactSession

    manifest, file = bundle.manifest, bundle.file(bundle.manifest.model)
    if file.suffix != ".onnx":
        raise InputError(
            f"{bundle.path}: --images compares ONNX graphs, this one is {file.suffix[1:]}: leave it out, the "
            "bundle's own images are enough"
        )
    rule = ResizeRule(manifest.input.size, manifest.input.resize)
    depth = manifest.input.depth if manifest.input.depth > 8 else None
    good = [rule.apply(read_image(image, depth)) for image in list_images(images, good=True)]
    probes = probe_images(good, rule, manifest.method.seed)
    return check_parity(here, ExactSession(file), probes, manifest.threshold, manifest.precision)
