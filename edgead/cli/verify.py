"""``edgead verify``: is this bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.arguments import find_bundle
from edgead.errors import BundleError, InputError, ParityError

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.resize import ResizeRule
    from edgead.types import Image


@click.command("verify")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--on-device",
    is_flag=True,
    help="Run the parity check here too: this device's engine against the CPU, the same graph.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Images for --on-device besides those in the bundle.",
)
def command(bundles: tuple[str, ...], on_device: bool, images: Path | None) -> None:
    """Check every file of each BUNDLE against its manifest; nothing of it is run without --on-device."""
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
                click.echo(_check_on_device(found, images))
        except (BundleError, ParityError) as error:
            faults.append(error)
            if len(bundles) > 1:
                click.echo(f"BAD  {error}")
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise BundleError(f"{len(faults)} of {len(bundles)} bundles can't be trusted")


def _check_on_device(bundle: Bundle, images: Path | None) -> str:
    """The parity of what a camera would get here with ONNX Runtime's CPU engine, in one or two lines."""
    from edgead.resize import ResizeRule
    from edgead.runtime.onnxruntime_session import ONNXRuntimeSession
    from edgead.workbench.parity import check_parity, probe_images

    manifest = bundle.manifest
    file = bundle.file(manifest.model)
    if file.suffix != ".onnx":
        raise InputError(f"{bundle.path}: --on-device compares ONNX graphs, this one is {file.suffix[1:]}")
    rule = ResizeRule(manifest.input.size, manifest.input.resize)
    probes = probe_images(_good_images(bundle, rule, images), rule, manifest.method.seed)
    here, reference = ONNXRuntimeSession(file), ONNXRuntimeSession(file, "CPU")
    parity = check_parity(here, reference, probes, manifest.threshold, manifest.precision)
    told = (
        f"score {parity.score:.2%}, map {parity.map:.2%} off the CPU's on {parity.probes} images, "
        f"{parity.tolerance:.2%} and {parity.map_tolerance:.2%} allowed, {parity.flips} verdicts flipped"
    )
    if not parity.passed:
        raise ParityError(f"{bundle.path}: {here.runs_on}: {told}; run it with --device CPU")
    return f"ok   {here.runs_on}\nok   {told}"


def _good_images(bundle: Bundle, rule: ResizeRule, images: Path | None) -> Sequence[Image]:
    from edgead.images import list_images, read_image

    carried = sorted(f.path for f in bundle.manifest.files if f.path.startswith("probes/"))
    found = [read_image(bundle.file(name)) for name in carried]
    if images is not None:
        found += [rule.apply(read_image(file)) for file in list_images(images)]
    if not found:
        raise InputError(f"{bundle.path}: it carries no images: give some good ones with --images")
    return found
