"""Parity on the device: does its engine judge as exact arithmetic does, on the bundle's own graph?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgead.bundle import Bundle
from edgead.device.lesson_costs import replay_lessons
from edgead.device.parity import check_parity, probe_images
from edgead.errors import FrameError, ImageError, InputError, ParityError
from edgead.images import list_images, read_image
from edgead.resize import FrameRule, ResizeRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import engine_of, open_session
from edgead.runtime.exact import ExactSession
from edgead.runtime.model_bytes import model_of
from edgead.runtime.proof import Parity, replay, told
from edgead.runtime.session import Session
from edgead.runtime.warming import warm_up
from edgead.types import Image
from edgead.window_rule import WindowRule, rule_of
from edgead.windows import cut


def check_on_device(bundle: Bundle, images: Path | None, engine: str | None) -> tuple[str, list[Parity]]:
    """Return what runs the bundle here, and what that makes of its probes and of the user's images.

    Args:
        images: a folder of good images besides the bundle's own, or None.
        engine: another engine than the bundle's own, or None.

    Raises:
        InputError: there are no images, or these can't be used.
        EngineError: the engine isn't there, or fails.
    """
    manifest = bundle.manifest
    if not manifest.probes and images is None:
        raise InputError(f"{bundle.path}: it carries no images: give some good ones with --images")
    teaching = manifest.teaching if bundle.taught else None
    outputs = () if teaching is None else (teaching.embedding, teaching.patch)
    options = EngineOptions(precision=manifest.engine_precision, outputs=outputs)
    here = open_session(model_of(bundle), engine_of(bundle, engine), options)
    warm_up(here, manifest.input.size, bundle.path, not manifest.probes)
    found = [replay(bundle, here)] if manifest.probes else []
    if images is not None:
        found.append(_on_images(bundle, here, images))
    if teaching is not None:
        _check_lessons(bundle, here)
    return here.runs_on, found


def _check_lessons(bundle: Bundle, here: Session) -> None:
    """Raise ParityError where a lesson no longer does what it was taken for."""
    changes = replay_lessons(bundle, here, bundle.manifest.threshold.score)
    if failing := [change.image for change in changes if change.after != change.wanted]:
        raise ParityError(
            f"{bundle.path}: what it was taught isn't so here ({', '.join(failing[:3])}): look at `edgead "
            "teach BUNDLE --list`, and undo or teach again"
        )


def require(bundle: Bundle, runs_on: str, parities: Sequence[Parity]) -> None:
    """Raise ParityError where one of them didn't pass."""
    for parity in parities:
        if not parity.passed:
            raise ParityError(f"{bundle.path}: {told(parity, runs_on)}")


def _on_images(bundle: Bundle, here: Session, images: Path) -> Parity:
    """The same graph in exact arithmetic, on the user's images and changes of them."""
    manifest, file = bundle.manifest, model_of(bundle)
    if file.suffix != ".onnx":
        raise InputError(
            f"{bundle.path}: --images compares ONNX graphs, this one is {file.suffix[1:]}: leave it out, the "
            "bundle's own images are enough"
        )
    rule = rule_of(bundle)
    depth = manifest.input.depth if manifest.input.depth > 8 else None
    good = [_input(image, rule, depth) for image in list_images(images, good=True)]
    probes = probe_images(good, ResizeRule(rule.size, manifest.input.resize), manifest.method.seed)
    return check_parity(here, ExactSession(file), probes, manifest.threshold, manifest.precision)


def _input(file: Path, rule: FrameRule, depth: int | None) -> Image:
    """What the model is given of an image; the window in its middle, where it's judged in windows."""
    try:
        image = rule.apply(read_image(file, depth))
        if isinstance(rule, WindowRule):
            places = rule.places(image.shape)
            image = cut(image, places[len(places) // 2], rule.size)
        return image
    except FrameError as error:  # of another aspect than the region of interest
        raise ImageError(f"{file}: {error}") from None


__all__ = ["check_on_device", "require"]
