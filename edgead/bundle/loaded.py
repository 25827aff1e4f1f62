"""A bundle that passed its checks, and its files' content: only ever the bytes that its hashes are of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgead import sbom
from edgead.bundle.folder import OpenFolder, open_folder
from edgead.bundle.revisions import Revision
from edgead.bundle.taught import FOLDER, Lessons, read_file
from edgead.errors import (
    BundleError,
    CompileError,
    FileSizeError,
    HashMismatchError,
    MissingFileError,
    ModelFormatError,
)
from edgead.manifest import FileRecord, Manifest
from edgead.manifest.sealing import SEALED
from edgead.modelfile import check_model
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.trust import Accepted, Trust

NAMED = 3
"""Unchecked files that a notice names."""


@dataclass(frozen=True, repr=False)
class Bundle:
    """A bundle that passed its checks.

    Attributes:
        path: the folder.
        manifest: what it says about itself, with the thresholds of the newest revision.
        unchecked: the files in ``RESERVED`` folders, which no hash covers and this version doesn't use.
        revisions: of the thresholds, since the bundle was exported.
        lessons: what it was taught on the device; see ``edgead.bundle.taught``.
        digest: SHA-256 of ``manifest.json``, lower-case hex: it has every listed file's, and so stands
            for the whole bundle as it was exported. Revisions and lessons are bound to it.
        signatures: the files of its signatures, which nothing but ``signed`` says anything about.
        signed: the signature that was accepted; None where none was demanded.
        held: content that was kept while it was checked, by the path in the bundle.
    """

    path: Path
    manifest: Manifest
    unchecked: tuple[str, ...] = ()
    revisions: tuple[Revision, ...] = ()
    lessons: Lessons = field(default_factory=Lessons)
    digest: str = ""
    signatures: tuple[str, ...] = field(default=(), compare=False)
    signed: Accepted | None = field(default=None, compare=False)
    held: Mapping[str, bytes] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        told = self.manifest
        what = f"{told.method.name} {told.precision} for {told.target}"
        revised = f", {say(self.revision.notice())}" if self.revision else ""
        return shown(f"Bundle({self.path}: {what}, threshold {told.threshold.score:.6g}{revised})")

    @property
    def revision(self) -> Revision | None:
        """The revision that the thresholds are of; None where they're as exported."""
        return self.revisions[-1] if self.revisions else None

    @property
    def trust(self) -> Trust | None:
        """What was demanded of its signature when it was read, to read it again by."""
        return None if self.signed is None else self.signed.trust

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What whoever uses the bundle should know: the manifest's, and what lies beside it."""
        undigested = () if self.manifest.format >= SEALED else (Notice("no-digest"),)
        revised = (self.revision.notice(),) if self.revision else ()
        taught = (self.taught_notice,) if self.taught else ()
        return (*self.manifest.notices, *undigested, *revised, *taught, *self._unchecked_notices())

    def _unchecked_notices(self) -> tuple[Notice, ...]:
        if not self.unchecked:
            return ()
        more = f" and {len(self.unchecked) - NAMED} more" if len(self.unchecked) > NAMED else ""
        values = {"files": len(self.unchecked), "names": ", ".join(self.unchecked[:NAMED]) + more}
        return (Notice("unchecked-files", values),)

    @property
    def taught(self) -> int:
        """How many lessons count: what it was taught and wasn't undone."""
        return len(self.lessons.active)

    @property
    def taught_notice(self) -> Notice:
        """What it was taught, in figures."""
        kinds = [lesson.kind for lesson in self.lessons.active]
        values = {"false_alarms": kinds.count("false-alarm"), "missed": kinds.count("missed")}
        return Notice("taught", {"lessons": len(kinds), **values})

    @property
    def outdated(self) -> tuple[Notice, ...]:
        """What whoever revised or taught a signed bundle should know."""
        if not self.signatures:
            return ()
        return (Notice("signature-outdated", {"signatures": len(self.signatures)}),)

    def file(self, name: str) -> Path:
        """Return the path of a listed file, for another program; raises MissingFileError for any other.

        What lies there may be another file by now; ``read`` gives what the manifest's hash is of.
        """
        self._record(name)
        return self.path.joinpath(*name.split("/"))

    def read(self, name: str) -> bytes:
        """Return a listed file's content: what was kept, or else it's read again and checked again.

        Raises:
            MissingFileError: no such file is listed.
            FileSizeError, HashMismatchError: it's another by now.
            UnsafeModelError: it's a model that no engine should see.
            BundleError: it can't be read.
        """
        record = self._record(name)
        if name in self.held:
            return self.held[name]
        with _reading(self.path), open_folder(self.path) as folder:
            return read_listed(folder, record)

    def read_taught(self, listed: FileRecord | None) -> bytes:
        """Return the content of a file that a lesson lists, likewise; empty where it lists none.

        Raises:
            ChangedLessonError: it's another by now.
            BundleError: it can't be read.
        """
        if listed is None:
            return b""
        name = f"{FOLDER}/{listed.path}"
        if name in self.held:
            return self.held[name]
        with _reading(self.path), open_folder(self.path) as folder:
            return read_file(folder, listed)

    def without_held(self) -> Bundle:
        """The same without the content that was kept: what's needed later is read and checked again."""
        return replace(self, held={})

    def _record(self, name: str) -> FileRecord:
        for record in self.manifest.files:
            if record.path == name:
                return record
        raise MissingFileError(f"{self.path}: the bundle lists no file {name!r}; export it again")


def read_listed(folder: OpenFolder, record: FileRecord, is_model: bool = False) -> bytes:
    """Read a listed file once; raises as ``Bundle.read``.

    Args:
        is_model: raise ModelFormatError, too, where it isn't of the kind that its name says.
    """
    try:
        content = folder.read(record.path, record.bytes)
    except FileSizeError:
        content = None
    if content is None or len(content) != record.bytes:
        raise FileSizeError(
            f"{folder.path}: file '{record.path}' doesn't have the {record.bytes} bytes that the manifest "
            "says; copy the bundle again"
        )
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise HashMismatchError(
            f"{folder.path}: file '{record.path}' was changed (another SHA-256); copy the bundle "
            "again, or export it again"
        )
    try:
        check_model(record.path, content, f"{folder.path}: ", strict=is_model)
    except CompileError as error:
        raise ModelFormatError(f"{folder.path}: {error}") from None
    return content


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> BundleError:
    """The error of a bundle that the system can't read."""
    reason = error.strerror or error
    return BundleError(f"{path}: the bundle can't be read ({reason}); check the path and rights")


def model_files(manifest: Manifest) -> tuple[str, ...]:
    """The model's file, and then the listed files in its folder that an engine may want besides."""
    held_out, teaching, reference = manifest.held_out, manifest.teaching, manifest.reference
    others = {manifest.model, *(probe.file for probe in manifest.probes)}
    others |= {sbom.FILE, sbom.FITTED_FILE}
    others |= {record.file for record in (held_out, teaching) if record is not None and record.file}
    if reference is not None:
        others |= {*reference.forms.values(), *reference.calibration_forms.values()}
    folder = manifest.model.rpartition("/")[0]
    listed = [record.path for record in manifest.files if record.path.rpartition("/")[0] == folder]
    return (manifest.model, *(name for name in listed if name not in others))


__all__ = ["Bundle", "model_files", "read_listed", "unreadable"]
