"""Reading a bundle with suspicion: everything is checked before anything is used.

The cheap and dangerous things first: manifest, paths, links, listing, sizes, hashes. The folder is opened
once and each file in it once, so that what was checked is what's used; where another folder has taken its
name meanwhile, that one is read.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from edgead.bundle.folder import OpenFolder, open_folder
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
from edgead.bundle.loaded import Bundle, model_files, read_listed, unreadable
from edgead.bundle.revisions import read_revisions
from edgead.bundle.taught import FOLDER, Lessons, read_lessons
from edgead.errors import (
    BundleError,
    BundleNotFoundError,
    FileSizeError,
    ManifestError,
    MissingFileError,
    UnsafePathError,
)
from edgead.files import is_leftover
from edgead.manifest import MAX_MANIFEST_BYTES, Manifest
from edgead.manifest.sealing import SEALED
from edgead.names import shown
from edgead.notices import Notice
from edgead.trust import Subject, Trust, accept, device_trust, is_signature

EXCHANGES = 100
"""How often the folder may be exchanged for another before a reader gives up."""

T = TypeVar("T")
_log = logging.getLogger(__name__)
_told: set[str] = set()


def read_bundle(
    path: Path,
    verify: bool = True,
    hold: bool = False,
    trust: Trust | None = None,
    demanded: bool = True,
    tell: bool = True,
    models: bool = False,
) -> Bundle:
    """Check a bundle and return it; nothing in it is opened by an engine before.

    Args:
        path: the folder, which may itself be reached through a link.
        verify: False leaves the listed files unread and signatures out, for a bundle that was verified a
            moment ago; what is used of one is checked when it's used, by ``Bundle.read``.
        hold: keep the content that a detector takes, so that nothing is read twice. It's as large as the
            model: let go of it, see ``Bundle.without_held``.
        trust: what its signature must be like; what the device demands by ``EDGEAD_TRUST`` where None.
        demanded: False lets a bundle pass that the device would refuse for want of a signature, so that it
            can be looked at or signed; nothing of it may be used.
        tell: log at WARNING, once in a process, where the manifest carries no digest; False for a caller that
            shows ``Bundle.notices`` itself.
        models: refuse a model that isn't of the kind that its name says, as opening it would; no engine is
            needed for that.

    Raises:
        BundleError: the subclass says which check failed; the message starts with the path.
    """
    if not verify or not demanded:
        trust = None
    elif trust is None:
        trust = device_trust()
    found = _in_folder(Path(path), lambda folder: _read(folder, verify, hold, trust, models))
    if tell and verify and found.manifest.format < SEALED and found.digest not in _told:
        _told.add(found.digest)
        _log.warning("%s", shown(f"{found.path}: {Notice('no-digest')}"))
    return found


def subject_of(bundle: Bundle) -> Subject:
    """What a signature of a bundle has to be of."""
    revision = bundle.revision.digest if bundle.revision else ""
    lessons = bundle.lessons.all[-1].digest if bundle.lessons.all else ""
    return Subject(bundle.path, bundle.digest, revision, lessons, bundle.signatures)


def read_manifest(path: Path) -> Manifest:
    """Read a bundle's manifest alone, as it was exported; raises BundleError."""
    return _in_folder(Path(path), lambda folder: _read_manifest(folder)[0])


def _in_folder(path: Path, action: Callable[[OpenFolder], T]) -> T:
    """Do something with the folder; what fails is done again where another is under the name by then."""
    for turn in range(EXCHANGES):
        try:
            with open_folder(path) as folder:
                try:
                    return action(folder)
                except (BundleError, OSError):
                    if turn == EXCHANGES - 1 or folder.is_there():
                        raise
        except FileNotFoundError as error:
            if error.filename is not None and Path(error.filename) == path:
                raise _not_found(path, "no such bundle") from None
            raise unreadable(path, error) from None
        except NotADirectoryError:
            what = "a file, not a bundle folder" if path.exists() else "no such bundle"
            raise _not_found(path, what) from None
        except ValueError as error:  # a NUL in the path
            raise BundleNotFoundError(f"{path!r}: not a path ({error}); give a bundle folder") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise _not_found(path, "no such bundle, the name is too long") from None
            raise unreadable(path, error) from None
    raise AssertionError("the last turn returns or raises")


def _not_found(path: Path, what: str) -> BundleNotFoundError:
    return BundleNotFoundError(f"{path}: {what}; give the folder that fit or export wrote")


def _read(folder: OpenFolder, verify: bool, hold: bool, trust: Trust | None, models: bool) -> Bundle:
    path = folder.path
    manifest, digest = _read_manifest(folder)
    _check_listed(manifest, path)
    sizes = walk(folder, {record.path for record in manifest.files}, manifest.format > 1)
    for record in manifest.files:
        if record.path not in sizes:
            raise MissingFileError(f"{path}: file '{record.path}' is missing; copy the bundle again")
    for record in manifest.files:
        if sizes[record.path] != record.bytes:
            raise FileSizeError(
                f"{path}: file '{record.path}' has {sizes[record.path]} bytes, the manifest says "
                f"{record.bytes}; copy the bundle again"
            )
    revisions = read_revisions(folder, _of_revisions(sizes, manifest), digest)
    held: dict[str, bytes] = {}
    beside = _check_reserved(path, sizes, manifest)
    lessons = _read_taught(folder, beside, digest, held if hold else None)
    kept = tuple(name for name in beside if name.removeprefix(f"{FOLDER}/") not in lessons.files)
    signatures = tuple(filter(is_signature, kept)) if manifest.format > 1 else ()
    kept = tuple(name for name in kept if name not in signatures)
    if revisions:
        manifest = replace(manifest, thresholds=revisions[-1].thresholds)
    bundle = Bundle(path, manifest, kept, revisions, lessons, digest, signatures)
    if trust is not None:
        bundle = replace(bundle, signed=accept(subject_of(bundle), trust))
    used = _used(manifest) if hold else frozenset()
    opened = _opened(manifest) if models else frozenset()
    for record in manifest.files if verify else ():
        content = read_listed(folder, record, record.path in opened)
        if record.path in used:
            held[record.path] = content
    return replace(bundle, held=held)


def _opened(manifest: Manifest) -> frozenset[str]:
    """The files that are opened as models: by an engine, or by export."""
    reference = manifest.reference
    forms = () if reference is None else (reference.forms, reference.calibration_forms)
    return frozenset((manifest.model, *(name for each in forms for name in each.values())))


def _used(manifest: Manifest) -> frozenset[str]:
    """The files that a detector takes: the model and those beside it, the probes, and what teaching takes."""
    teaching = [manifest.teaching.file] if manifest.teaching is not None else []
    return frozenset(
        (
            *model_files(manifest),
            *(probe.file for probe in manifest.probes),
            *teaching,
        )
    )


def _read_manifest(folder: OpenFolder) -> tuple[Manifest, str]:
    """The manifest, and the SHA-256 of its file."""
    path = folder.path
    try:
        data = folder.read(MANIFEST, MAX_MANIFEST_BYTES)
    except FileSizeError:
        raise ManifestError(f"{path}: '{MANIFEST}' is over the limit of {MAX_MANIFEST_BYTES} bytes") from None
    except FileNotFoundError:
        raise BundleNotFoundError(f"{path}: no '{MANIFEST}' in this folder; give a bundle folder") from None
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


def _read_taught(
    folder: OpenFolder, beside: tuple[str, ...], digest: str, held: dict[str, bytes] | None
) -> Lessons:
    """What lies in ``taught/`` itself; folders in it are none of edgead's, and stay unchecked."""
    names = [name.removeprefix(f"{FOLDER}/") for name in beside if name.startswith(f"{FOLDER}/")]
    return read_lessons(folder, digest, [name for name in names if "/" not in name], held)


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


__all__ = ["read_bundle", "read_manifest", "subject_of"]
