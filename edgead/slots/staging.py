"""A bundle's copy for a slot: whole, checked and tried on this device before anything points to it."""

from __future__ import annotations

import os
from pathlib import Path

from edgead.bundle import MANIFEST, Bundle, read_bundle
from edgead.bundle.folder import open_folder
from edgead.bundle.listing import MAX_REVISION_BYTES
from edgead.bundle.loaded import read_listed, unreadable
from edgead.bundle.reading import subject_of
from edgead.bundle.revisions import name_of
from edgead.bundle.taught import FOLDER, MAX_LESSON_BYTES
from edgead.errors import EdgeadError, InputError, ParityError, SelfTestError
from edgead.files import output_errors, sync
from edgead.manifest import MAX_MANIFEST_BYTES
from edgead.names import shown
from edgead.slots.place import FILE_MODE, FOLDER_MODE
from edgead.trust import Trust, accept
from edgead.trust.statement import MAX_SIGNATURE_BYTES


def contents(bundle: Bundle) -> dict[str, int]:
    """Every file that is the bundle's beside the listed ones, and its most bytes.

    What nothing of the bundle speaks of is left out.
    """
    listed = (file for lesson in bundle.lessons.all for file in (lesson.array, lesson.picture))
    lessons = {file.path: file.bytes for file in listed if file is not None}
    return {
        MANIFEST: MAX_MANIFEST_BYTES,
        **{name_of(revision.number): MAX_REVISION_BYTES for revision in bundle.revisions},
        **{f"{FOLDER}/{name}": lessons.get(name, MAX_LESSON_BYTES) for name in bundle.lessons.files},
        **dict.fromkeys(bundle.signatures, MAX_SIGNATURE_BYTES),
    }


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
    if trust is not None:  # before anything is copied, the copy's is what counts
        accept(subject_of(seen), trust)
    _copy(seen, folder)
    try:
        copy = read_bundle(folder, trust=trust, demanded=trust is not None, tell=False)
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


def _copy(bundle: Bundle, to: Path) -> None:
    """Copy a bundle as it is read: each file opened once, no more of it than listed, and that is written."""
    to.chmod(to.stat().st_mode & FOLDER_MODE)
    try:
        with open_folder(bundle.path) as folder:
            for name, most in contents(bundle).items():
                _write(to, name, folder.read(name, most))
            for record in bundle.manifest.files:
                _write(to, record.path, read_listed(folder, record))
    except OSError as error:
        raise unreadable(bundle.path, error) from None


def _write(to: Path, name: str, content: bytes) -> None:
    with output_errors(to.parent):
        file = to.joinpath(*name.split("/"))
        for place in reversed([each for each in file.parents if to in each.parents]):
            place.mkdir(FOLDER_MODE, exist_ok=True)
        with open(file, "xb", opener=lambda path, flags: os.open(path, flags, FILE_MODE)) as writer:
            writer.write(content)


__all__ = ["contents", "self_tested", "staged"]
