"""``edgead verify``: is this bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.arguments import find_bundle
from edgead.cli.completion import complete_paths
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
    help="Run the parity check here too: this device's engine against exact arithmetic, the same graph.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Images for --on-device besides those in the bundle.",
)
def command(bundles: tuple[str, ...], on_device: bool, images: Path | None) -> None:
    """Check each BUNDLE's files against its manifest.

    Nothing of a bundle is run without --on-device.
    """
    from edgead.bundle import read_bundle

    if images is not None and not on_device:
        raise click.UsageError("--images is for --on-device: add it, or leave both out")
    faults: list[BundleError | ParityError] = []
    for text in bundles:
        try:
            found = read_bundle(find_bundle(text))
            files = found.manifest.files
            click.echo(f"ok   {found.path}: {len(files)} files, {sum(file.bytes for file in files):,} bytes")
            if on_device:
                for line in _check_on_device(found, images):
                    click.echo(line)
        except (BundleError, ParityError) as error:
            faults.append(error)
            if len(bundles) > 1:
                click.echo(f"BAD  {error}")
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise BundleError(f"{len(faults)} of {len(bundles)} bundles can't be trusted")


def _check_on_device(bundle: Bundle, images: Path | None) -> list[str]:
    """What this machine's engine makes of the bundle's probes, and of the user's images, in a line each."""
    from edgead.runtime.proof import replay, told
    from edgead.runtime.session import open_session

    manifest = bundle.manifest
    here = open_session(bundle.file(manifest.model), manifest.engine, precision=manifest.engine_precision)
    runs_on: str = getattr(here, "runs_on", f"{here.engine} on {here.device}")
    if not manifest.probes and images is None:
        raise InputError(f"{bundle.path}: it carries no images: give some good ones with --images")
    found = [replay(bundle, here)] if manifest.probes else []
    if images is not None:
        found.append(_on_images(bundle, here, images))
    for parity in found:
        if not parity.passed:
            raise ParityError(f"{bundle.path}: {told(parity, runs_on)}")
    return [f"ok   {runs_on}", *(f"ok   {parity}" for parity in found)]


def _on_images(bundle: Bundle, here: Session, images: Path) -> Parity:
    """The same graph in exact arithmetic, on the user's images and changes of them."""
    from edgead.images import list_images, read_image
    from edgead.resize import ResizeRule
    from edgead.runtime.exact import ExactSession
    from edgead.runtime.parity import check_parity, probe_images

    manifest, file = bundle.manifest, bundle.file(bundle.manifest.model)
    if file.suffix != ".onnx":
        raise InputError(
            f"{bundle.path}: --images compares ONNX graphs, this one is {file.suffix[1:]}: leave it out, the "
            "bundle's own images are enough"
        )
    rule = ResizeRule(manifest.input.size, manifest.input.resize)
    depth = manifest.input.depth if manifest.input.depth > 8 else None
    good = [rule.apply(read_image(image, depth)) for image in list_images(images)]
    probes = probe_images(good, rule, manifest.method.seed)
    return check_parity(here, ExactSession(file), probes, manifest.threshold, manifest.precision)
