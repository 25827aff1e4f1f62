"""Reading a bundle with suspicion: everything is checked before anything is used.

The cheap and dangerous things first: manifest, paths, links, listing, sizes, hashes.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgead.bundle.listing import (
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_RESERVED_BYTES,
    MAX_RESERVED_FILES,
    MAX_TOTAL_BYTES,
    RESERVED,
    REVISIONS,
    is_plain,
    is_reserved,
    is_revision,
    walk,
)
from edgead.bundle.revisions import Revision, read_revisions
from edgead.bundle.taught import FOLDER, Lessons, read_lessons
from edgead.errors import (
    BundleError,
    BundleNotFoundError,
    FileSizeError,
    HashMismatchError,
    LinkError,
    ManifestError,
    MissingFileError,
    UnsafePathError,
)
from edgead.files import is_leftover, sha256_of
from edgead.manifest import MAX_MANIFEST_BYTES, Manifest
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.trust import Accepted, Subject, Trust, accept, device_trust, is_signature

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
        signatures: the files of its signatures, which nothing but ``signed`` says anything about.
        signed: the signature that was accepted; None where none was demanded.
    """

    path: Path
    manifest: Manifest
    unchecked: tuple[str, ...] = ()
    revisions: tuple[Revision, ...] = ()
    lessons: Lessons = field(default_factory=Lessons)
    signatures: tuple[str, ...] = field(default=(), compare=False)
    signed: Accepted | None = field(default=None, compare=False)

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
        revised = (self.revision.notice(),) if self.revision else ()
        taught = (self.taught_notice,) if self.taught else ()
        return (*self.manifest.notices, *revised, *taught, *self._unchecked_notices())

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

    def file(self, name: str) -> Path:
        """Return the path of a listed file; raises MissingFileError for any other."""
        if all(record.path != name for record in self.manifest.files):
            raise MissingFileError(f"{self.path}: the bundle lists no file {name!r}; export it again")
        return self.path.joinpath(*name.split("/"))


def read_bundle(
    path: Path, verify: bool = True, *, trust: Trust | None = None, demanded: bool = True
) -> Bundle:
    """Check a bundle and return it; nothing in it is opened by an engine before.

    Args:
        path: the folder, which may itself be reached through a link.
        verify: False leaves hashes and signatures out, for a bundle that was verified a moment ago.
        trust: what its signature must be like; what the device demands by ``EDGEAD_TRUST`` where None.
        demanded: False lets a bundle pass that the device would refuse for want of a signature, so that it
            can be looked at or signed; nothing of it may be used.

    Raises:
        BundleError: the subclass says which check failed; the message starts with the path.
    """
    path = Path(path)
    try:
        manifest, digest = _read_manifest(path)
        _check_listed(manifest, path)
        sizes = walk(path, {record.path for record in manifest.files}, manifest.format > 1)
        for record in manifest.files:
            if record.path not in sizes:
                raise MissingFileError(f"{path}: file '{record.path}' is missing; copy the bundle again")
        for record in manifest.files:
            if sizes[record.path] != record.bytes:
                raise FileSizeError(
                    f"{path}: file '{record.path}' has {sizes[record.path]} bytes, the manifest says "
                    f"{record.bytes}; copy the bundle again"
                )
        revisions = read_revisions(path, _of_revisions(sizes, manifest), digest)
        if revisions:
            manifest = replace(manifest, thresholds=revisions[-1].thresholds)
        beside = _check_reserved(path, sizes, manifest)
        lessons = _read_taught(path, beside, digest)
        kept = tuple(name for name in beside if name.removeprefix(f"{FOLDER}/") not in lessons.files)
        signatures = tuple(filter(is_signature, kept)) if manifest.format > 1 else ()
        kept = tuple(name for name in kept if name not in signatures)
        bundle = Bundle(path, manifest, kept, revisions, lessons, signatures)
        if verify and demanded:
            bundle = _trusted(bundle, digest, trust or device_trust())
        for record in manifest.files if verify else ():
            if sha256_of(bundle.file(record.path)) != record.sha256:
                raise HashMismatchError(
                    f"{path}: file '{record.path}' was changed (another SHA-256); export the bundle again"
                )
    except OSError as error:
        reason = error.strerror or error
        raise BundleError(f"{path}: the bundle can't be read ({reason}); check the path and rights") from None
    return bundle


def subject_of(bundle: Bundle, digest: str) -> Subject:
    """What a signature of a bundle has to be of; ``digest`` is the SHA-256 of its manifest's file."""
    revision = bundle.revision.digest if bundle.revision else ""
    lessons = bundle.lessons.all[-1].digest if bundle.lessons.all else ""
    return Subject(bundle.path, digest, revision, lessons, bundle.signatures)


def digest_of(bundle: Bundle) -> str:
    """SHA-256 of a bundle's ``manifest.json`` as it was read, lower-case hex."""
    return bundle.lessons.bundle or sha256_of(bundle.path / MANIFEST)


def _trusted(bundle: Bundle, digest: str, trust: Trust | None) -> Bundle:
    """The bundle with the signature that will do; raises TrustError where none does and one is demanded."""
    return bundle if trust is None else replace(bundle, signed=accept(subject_of(bundle, digest), trust))


def read_manifest(path: Path) -> Manifest:
    """Read a bundle's manifest alone, as it was exported; raises BundleError."""
    return _read_manifest(path)[0]


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    """The manifest, and the SHA-256 of its file."""
    file = path / MANIFEST
    try:
        if not path.is_dir():
            what = "a file, not a bundle folder" if path.exists() else "no such bundle"
            raise BundleNotFoundError(f"{path}: {what}; give the folder that fit or export wrote")
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise LinkError(
                f"{path}: '{MANIFEST}' is a link or special file; a bundle holds plain files only"
            )
        if status.st_size > MAX_MANIFEST_BYTES:
            raise ManifestError(f"{path}: '{MANIFEST}' is over the limit of {MAX_MANIFEST_BYTES} bytes")
        data = file.read_bytes()
    except FileNotFoundError:
        raise BundleNotFoundError(f"{path}: no '{MANIFEST}' in this folder; give a bundle folder") from None
    except ValueError as error:  # a NUL in the path
        raise BundleNotFoundError(f"{path!r}: not a path ({error}); give a bundle folder") from None
    try:
        return Manifest.from_json(data), hashlib.sha256(data).hexdigest()
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from None


def _check_listed(manifest: Manifest, path: Path) -> None:
    if len(manifest.files) > MAX_FILES:
        raise FileSizeError(f"{path}: {len(manifest.files)} files are over the limit of {MAX_FILES}")
    for record in manifest.files:
        if not is_plain(record.path):
            raise UnsafePathError(f"{path}: the listed path {record.path!r} is unsafe; don't use this bundle")
        if manifest.format > 1 and (is_reserved(record.path) or record.path.startswith(f"{REVISIONS}/")):
            raise ManifestError(f"{path}: manifest field 'files' lists {record.path!r} in a reserved folder")
        if record.bytes > MAX_FILE_BYTES:
            raise FileSizeError(f"{path}: file '{record.path}' is over the limit of {MAX_FILE_BYTES} bytes")
    total = sum(record.bytes for record in manifest.files)
    if total > MAX_TOTAL_BYTES:
        raise FileSizeError(f"{path}: {total} bytes in all are over the limit of {MAX_TOTAL_BYTES}")
    if all(record.path != manifest.model for record in manifest.files):
        raise ManifestError(f"{path}: manifest field 'model' names {manifest.model!r}, which isn't listed")


def _of_revisions(sizes: Mapping[str, int], manifest: Manifest) -> dict[str, int]:
    """The revisions' files among those that were found; the first format may list such names as its own."""
    return {name: size for name, size in sizes.items() if manifest.format > 1 and is_revision(name)}


def _read_taught(path: Path, beside: tuple[str, ...], digest: str) -> Lessons:
    """What lies in ``taught/`` itself; folders in it are none of edgead's, and stay unchecked."""
    names = [name.removeprefix(f"{FOLDER}/") for name in beside if name.startswith(f"{FOLDER}/")]
    return read_lessons(path, digest, [name for name in names if "/" not in name])


def _check_reserved(path: Path, sizes: dict[str, int], manifest: Manifest) -> tuple[str, ...]:
    """The names in reserved folders, few enough, small enough and plain."""
    listed = {record.path for record in manifest.files}
    found = sorted(n for n in sizes if n not in listed and not is_revision(n) and not _is_left(n))
    for name in found:
        if not is_plain(name):
            raise UnsafePathError(f"{path}: the name {name!r} is unsafe; remove the file")
    if len(found) > MAX_RESERVED_FILES or sum(sizes[name] for name in found) > MAX_RESERVED_BYTES:
        raise FileSizeError(
            f"{path}: {' and '.join(RESERVED)} hold more than {MAX_RESERVED_FILES} files or "
            f"{MAX_RESERVED_BYTES} bytes; remove what isn't a signature or taught"
        )
    return tuple(found)


def _is_left(name: str) -> bool:
    """What a killed writer left in a reserved folder is nothing of the bundle's; the next one removes it."""
    return is_reserved(name) and is_leftover(name.rpartition("/")[2])


__all__ = ["Bundle", "digest_of", "read_bundle", "read_manifest", "subject_of"]
