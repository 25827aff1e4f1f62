"""Revising a bundle's thresholds: a new revision beside the manifest, whole or not at all."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.adding import add_file, growing_folder
from edgead.bundle.listing import MAX_REVISION_BYTES, MAX_REVISIONS, REVISIONS
from edgead.bundle.loaded import Bundle
from edgead.bundle.reading import read_bundle, read_manifest
from edgead.bundle.revisions import LONGEST_NAME, LONGEST_REASON, Revision, name_of
from edgead.errors import InputError, OptionError, OutputError, UnsignedChangeError
from edgead.manifest import ThresholdRecord
from edgead.names import shown
from edgead.trust import device_trust


@dataclass(frozen=True)
class Note:
    """Who revises a bundle, why, and what the thresholds rest on; see ``Revision``.

    Texts are kept in one line; nobody named is who runs this process.

    Raises:
        OptionError: a text is too long.
    """

    by: str = ""
    why: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", _line(self.by) or login_name())
        object.__setattr__(self, "why", _line(self.why))
        for name, text, longest in (("by", self.by, LONGEST_NAME), ("why", self.why, LONGEST_REASON)):
            if len(text) > longest:
                raise OptionError(f"{name} has {len(text)} characters; {longest} are the most")


def login_name() -> str:
    """Who runs this process, as far as the system knows."""
    try:
        return _line(getpass.getuser())[:LONGEST_NAME] or "unknown"
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _line(text: str) -> str:
    return shown(" ".join(text.split()))


def add_revision(bundle: Bundle, changed: Mapping[str, ThresholdRecord], note: Note) -> Bundle:
    """Put new thresholds of some products in force; the others stay, also where they change meanwhile.

    Args:
        bundle: as it was read.
        changed: by product.

    Returns:
        The bundle as it is now.

    Raises:
        InputError: the bundle's format has no revisions, or it has as many as it may.
        OutputError: it can't be written, or another bundle is there by now.
        BundleError: it can't be trusted any more; ``UnsignedChangeError``: signatures are demanded here.
    """
    refuse_unsigned(bundle)
    while True:  # another writer may take the number
        now = _same(bundle)
        if _added(now, {**now.manifest.thresholds, **changed}, note):
            return read_bundle(bundle.path, verify=False)


def restore(bundle: Bundle, note: Note, number: int | None = None) -> Bundle:
    """Put the thresholds of an earlier revision in force again, by a revision that says so.

    Args:
        bundle: as it was read.
        number: which revision, 0 for the thresholds as exported; None for those before what is in force, so
            that each further call goes back one more.

    Returns:
        The bundle as it is now.

    Raises:
        InputError: there's nothing before, or no such revision, or as ``add_revision``.
        OutputError: as ``add_revision``, or another writer revised the bundle meanwhile.
    """
    refuse_unsigned(bundle)
    now = _same(bundle)
    if now.revisions != bundle.revisions:
        raise _overtaken(bundle.path)
    in_force = _meant(now, len(now.revisions))
    if number is None and not in_force:
        raise InputError(f"{now.path}: the thresholds are as exported, so there's nothing to undo")
    if number is not None and not 0 <= number <= len(now.revisions):
        raise InputError(
            f"{now.path}: no revision {number}: it has {len(now.revisions)}, and 0 is as exported; "
            "--revisions lists them"
        )
    meant = _meant(now, in_force - 1 if number is None else number)
    thresholds = now.revisions[meant - 1].thresholds if meant else read_manifest(now.path).thresholds
    if not _added(now, thresholds, note, meant):
        raise _overtaken(bundle.path)
    return read_bundle(bundle.path, verify=False)


def refuse_unsigned(bundle: Bundle) -> None:
    """Raise UnsignedChangeError where a signature is demanded: what is revised or taught here has none."""
    if bundle.signed is not None or device_trust() is not None:
        raise UnsignedChangeError(
            f"{shown(bundle.path)}: signatures are demanded here, so that a bundle that is revised or taught "
            "here would be refused: do it to a copy where none is demanded, sign that, and install it"
        )


def _meant(bundle: Bundle, number: int) -> int:
    """The revision, or 0, that a revision restores; itself where it's new."""
    while number and (restored := bundle.revisions[number - 1].restores) is not None:
        number = restored
    return number


def _same(bundle: Bundle) -> Bundle:
    """The bundle as it is by now, revised perhaps; raises OutputError where another took its place."""
    if bundle.manifest.format < 2:
        raise InputError(
            f"{bundle.path}: format {bundle.manifest.format} has no revisions; export the bundle again"
        )
    now = read_bundle(bundle.path, verify=False)
    if now.digest != bundle.digest:
        raise OutputError(f"{bundle.path}: another bundle is there by now; do it again with that")
    return now


def _added(
    now: Bundle, thresholds: Mapping[str, ThresholdRecord], note: Note, restores: int | None = None
) -> bool:
    """Write the next revision; False where another writer took its number."""
    number = len(now.revisions) + 1
    if number > MAX_REVISIONS:
        raise InputError(f"{now.path}: it has {MAX_REVISIONS} revisions, the most; export the bundle again")
    parent = now.revision.digest if now.revision else now.digest
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    revision = Revision(
        number, parent, dict(thresholds), note.by, when, note.why, dict(note.source), restores
    )
    content = revision.sealed().to_bytes()
    if len(content) > MAX_REVISION_BYTES:
        raise InputError(f"{now.path}: the revision would have over {MAX_REVISION_BYTES} bytes; give less")
    with growing_folder(now.path / REVISIONS):
        return add_file(now.path / name_of(number), content)


def _overtaken(path: Path) -> OutputError:
    return OutputError(f"{path}: somebody revised it meanwhile; look at --revisions, and do it again")


__all__ = ["Note", "add_revision", "login_name", "refuse_unsigned", "restore"]
