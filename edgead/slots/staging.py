"""A bundle's copy for a slot: whole, checked and tried on this device before anything points to it."""

from __future__ import annotations

import os
from pathlib import Path

from edgead.bundle import MANIFEST, Bundle, read_bundle
from edgead.bundle.revisions import name_of
from edgead.bundle.taught import FOLDER
from edgead.errors import BundleError, EdgeadError, InputError, ParityError, SelfTestError
from edgead.files import READ_NO_LINK, output_errors, sync
from edgead.names import shown
from edgead.trust import Trust

_BLOCK = 1 << 20


def contents(bundle: Bundle) -> list[str]:
    """Every file that is the bundle's: what nothing of it speaks of is left out."""
    return [
        MANIFEST,
        *(file.path for file in bundle.manifest.files),
        *(name_of(revision.number) for revision in bundle.revisions),
        *(f"{FOLDER}/{name}" for name in sorted(bundle.lessons.files)),
        *bundle.signatures,
    ]


def staged(source: Path, folder: Path, trust: Trust | None, engine: str | None) -> Bundle:
    """Copy a bundle, check the copy, let this device judge its probes, and force it onto the disk.

    Args:
        folder: an empty one.
        trust: what its signature must be like.
        engine: another engine than the bundle's own, or None.

    Raises:
        BundleError: the bundle, or its signature, can't be trusted.
        InputError: it isn't compiled.
        SelfTestError: it has no probes, or this device scores one of them otherwise.
        EngineError: this device can't run it.
        OutputError: the copy can't be written.
    """
    seen = read_bundle(source, verify=False)
    if seen.manifest.kind != "compiled":
        raise InputError(
            f"{shown(source)}: a fitted bundle, which no device runs: export it, and install that"
        )
    for name in contents(seen):
        _copy(source, folder, name, source.joinpath(name))
    try:
        copy = read_bundle(folder, trust=trust, demanded=trust is not None)
        self_tested(copy, engine)
    except EdgeadError as error:
        if not str(error).startswith(f"{folder}: "):
            raise
        raise type(error)(f"{shown(source)}: {str(error).removeprefix(f'{folder}: ')}") from None
    with output_errors(folder.parent):
        for place, _, names in os.walk(folder):
            for name in (*names, ""):
                sync(Path(place) / name)
    return copy


def self_tested(bundle: Bundle, engine: str | None) -> None:
    """Let this device judge the bundle's probes; raises SelfTestError where one isn't as recorded."""
    if not bundle.manifest.probes:
        raise SelfTestError(
            f"{bundle.path}: it carries no images to test itself with on this device: export it again"
        )
    from edgead.device.verify import check_on_device, require  # which a runner's start doesn't need

    runs_on, parities = check_on_device(bundle, None, engine)
    try:
        require(bundle, runs_on, parities)
    except ParityError as error:
        raise SelfTestError(str(error)) from None


def _copy(source: Path, folder: Path, name: str, file: Path) -> None:
    """Copy a plain file, as far as its size was when it was opened."""
    to = folder / name
    try:
        descriptor = os.open(file, READ_NO_LINK)
    except OSError as error:
        raise BundleError(
            f"{shown(source)}: {name!r} can't be read ({error.strerror}); check the path and rights"
        ) from None
    with os.fdopen(descriptor, "rb") as reader, output_errors(folder.parent):
        left = os.fstat(descriptor).st_size
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as writer:
            while left > 0 and (block := reader.read(min(left, _BLOCK))):
                writer.write(block)
                left -= len(block)


__all__ = ["contents", "self_tested", "staged"]
