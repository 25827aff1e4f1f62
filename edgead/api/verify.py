"""``edgead.verify``: is a bundle whole and unchanged, and does this device judge as the exporter's did?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.api.arguments import AnyBundle, AnyPath, optional, path_of
from edgead.api.notes import tell
from edgead.api.records import Verified
from edgead.bundle import Bundle, read_bundle
from edgead.errors import InputError, OptionError, ParityError
from edgead.extras import explained

if TYPE_CHECKING:
    from edgead.runtime.proof import Parity
    from edgead.runtime.session import Session


@explained("verifying")
def verify(bundle: AnyBundle, *, on_device: bool = False, images: AnyPath | None = None) -> Verified:
    """Check a bundle's files against its manifest, and what this device makes of it; as ``edgead verify``.

    Args:
        bundle: its path, ``NAME`` for ``./NAME.edgead``, or what a call returned; the files are read again.
        on_device: run the parity check here too: this device's engine against exact arithmetic. Without it
            nothing of the bundle is run.
        images: a folder of good images for ``on_device``, besides those in the bundle.

    Returns:
        What was found, all of it in order. Files that no hash covers are logged at WARNING.

    Raises:
        edgead.errors.BundleError: the subclass says which check failed.
        edgead.errors.ParityError: this device gives other numbers, or another verdict.
        edgead.errors.InputError: there are no images to check with, or these can't be used.
        edgead.errors.EngineError: the engine isn't there, or fails.
    """
    if images is not None and not on_device:
        raise OptionError("images are for on_device=True: add it, or leave both out")
    found = read_bundle(path_of(bundle))
    if found.unchecked:
        tell(found.notices[-1:])
    if not on_device:
        return Verified(found, None, ())
    runs_on, parities = check_on_device(found, optional(images))
    require(found, runs_on, parities)
    return Verified(found, runs_on, tuple(parities))


def check_on_device(bundle: Bundle, images: Path | None) -> tuple[str, list[Parity]]:
    """Return what runs the bundle here, and what that makes of its probes and of the user's images."""
    from edgead.runtime.proof import replay
    from edgead.runtime.session import open_session

    manifest = bundle.manifest
    if not manifest.probes and images is None:
        raise InputError(f"{bundle.path}: it carries no images: give some good ones with --images")
    here = open_session(bundle.file(manifest.model), manifest.engine, precision=manifest.engine_precision)
    found = [replay(bundle, here)] if manifest.probes else []
    if images is not None:
        found.append(_on_images(bundle, here, images))
    return getattr(here, "runs_on", f"{here.engine} on {here.device}"), found


def require(bundle: Bundle, runs_on: str, parities: Sequence[Parity]) -> None:
    """Raise ParityError where one of them didn't pass."""
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


__all__ = ["check_on_device", "require", "verify"]
