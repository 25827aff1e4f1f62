"""The bundle, a folder that is read with suspicion and written in one step.

Reading checks everything before anything is used, the cheap and dangerous things first: manifest, paths,
links, listing, sizes, hashes. Writing goes to a folder beside and is renamed into place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import (
    BundleError,
    BundleNotFoundError,
    ExtraFileError,
    FileSizeError,
    HashMismatchError,
    LinkError,
    ManifestError,
    MissingFileError,
    OutputError,
    UnsafePathError,
)
from edgead.files import output_errors, sha256_of, staging_folder, swap_into_place, sync
from edgead.manifest import MAX_MANIFEST_BYTES, FileRecord, Manifest

MANIFEST = "manifest.json"
MAX_FILES = 4096
MAX_FILE_BYTES = 2 << 30
MAX_TOTAL_BYTES = 4 << 30
MAX_PATH = 240
"""Longest path inside a bundle, in characters."""

LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that macOS and Windows leave in any folder that is looked at, besides macOS's ``._NAME``."""
MAX_LITTER_BYTES = 1 << 20
"""Largest of them that is overlooked."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed its checks.

    Attributes:
        path: the folder.
        manifest: what it says about itself.
    """

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Return the path of a listed file; raises MissingFileError for any other."""
        if all(record.path != name for record in self.manifest.files):
            raise MissingFileError(f"{self.path}: the bundle lists no file {name!r}; export it again")
        return self.path.joinpath(*name.split("/"))


# ---------------------------------------------------------------- reading


def read_bundle(path: Path, verify: bool = True) -> Bundle:
    """Check a bundle and return it; nothing in it is opened by an engine before.

    Args:
        path: the folder, which may itself be reached through a link.
        verify: False leaves the hashes out, for a bundle that was verified a moment ago.

    Raises:
        BundleError: the subclass says which check failed; the message starts with the path.
    """
    path = Path(path)
    try:
        manifest = _read_manifest(path)
        _check_listed(manifest, path)
        sizes = _walk(path, {record.path for record in manifest.files})
        for record in manifest.files:
            if record.path not in sizes:
                raise MissingFileError(f"{path}: file '{record.path}' is missing; copy the bundle again")
        for record in manifest.files:
            if sizes[record.path] != record.bytes:
                raise FileSizeError(
                    f"{path}: file '{record.path}' has {sizes[record.path]} bytes, the manifest says "
                    f"{record.bytes}; copy the bundle again"
                )
        bundle = Bundle(path, manifest)
        for record in manifest.files if verify else ():
            if sha256_of(bundle.file(record.path)) != record.sha256:
                raise HashMismatchError(
                    f"{path}: file '{record.path}' was changed (another SHA-256); export the bundle again"
                )
    except OSError as error:
        reason = error.strerror or error
        raise BundleError(f"{path}: the bundle can't be read ({reason}); check the path and rights") from None
    return bundle


def _read_manifest(path: Path) -> Manifest:
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
        return Manifest.from_json(data)
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from None


def _check_listed(manifest: Manifest, path: Path) -> None:
    if len(manifest.files) > MAX_FILES:
        raise FileSizeError(f"{path}: {len(manifest.files)} files are over the limit of {MAX_FILES}")
    for record in manifest.files:
        if not _is_plain(record.path):
            raise UnsafePathError(f"{path}: the listed path {record.path!r} is unsafe; don't use this bundle")
        if record.bytes > MAX_FILE_BYTES:
            raise FileSizeError(f"{path}: file '{record.path}' is over the limit of {MAX_FILE_BYTES} bytes")
    total = sum(record.bytes for record in manifest.files)
    if total > MAX_TOTAL_BYTES:
        raise FileSizeError(f"{path}: {total} bytes in all are over the limit of {MAX_TOTAL_BYTES}")
    if all(record.path != manifest.model for record in manifest.files):
        raise ManifestError(f"{path}: manifest field 'model' names {manifest.model!r}, which isn't listed")


def _is_plain(name: str) -> bool:
    """True for a relative path of plain names: no root, drive, '..', hidden name or odd character."""
    return (
        0 < len(name) <= MAX_PATH
        and name != MANIFEST
        and all(_PLAIN_NAME.fullmatch(part) is not None for part in name.split("/"))
    )


def _is_litter(name: str) -> bool:
    return name in LITTER or name.startswith("._")


def _walk(root: Path, listed: set[str] | None) -> dict[str, int]:
    """Return path and size of every file but the manifest, following nothing.

    Given a listing, anything outside it ends the walk at once, so its cost is bounded by the listing's. Only
    what a file browser leaves is overlooked, as far as it's a plain, small file and there isn't much of it.
    """
    folders = {"/".join(name.split("/")[:i]) for name in listed or () for i in range(1, name.count("/") + 1)}
    sizes: dict[str, int] = {}
    overlooked = 0
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            mode = entry.stat(follow_symlinks=False)
            is_folder = stat.S_ISDIR(mode.st_mode)
            if not (is_folder or stat.S_ISREG(mode.st_mode)):
                raise LinkError(
                    f"{root}: {name!r} is a link or special file; a bundle holds plain files only"
                )
            if listed is not None and name not in listed and not is_folder and _is_litter(entry.name):
                overlooked += 1
                if overlooked <= MAX_FILES and mode.st_size <= MAX_LITTER_BYTES:
                    continue
            if listed is not None and name != MANIFEST and name not in (folders if is_folder else listed):
                raise ExtraFileError(f"{root}: {name!r} isn't in the manifest; remove it or export again")
            if is_folder:
                waiting.append(name)
            elif name != MANIFEST:
                sizes[name] = mode.st_size
    return sizes


# ---------------------------------------------------------------- writing


@dataclass(frozen=True)
class Staging:
    """A bundle in the making: write files into ``folder``, then call ``finish`` once.

    Attributes:
        folder: a new, empty folder beside ``final``.
        final: where the bundle will be.
        overwrite: whether it may replace an older bundle.
    """

    folder: Path
    final: Path
    overwrite: bool

    def finish(self, manifest: Manifest) -> Bundle:
        """List and hash the files, add the manifest and put the bundle in its place.

        Args:
            manifest: complete but for ``files``, which is filled in here.

        Raises:
            BundleError: the bundle wouldn't be readable, for instance a link or an odd name in it.
            OutputError: it can't be written, or something else is in the way by now.
        """
        with output_errors(self.final):
            try:
                _remove_litter(self.folder)
                _remove_empty_folders(self.folder)
                manifest = dataclasses.replace(manifest, files=_list_files(self.folder))
                (self.folder / MANIFEST).write_bytes(manifest.to_json().encode())
                read_bundle(self.folder, verify=False)
            except BundleError as error:
                reason = str(error).removeprefix(f"{self.folder}: ")
                raise type(error)(f"{self.final}: {reason}") from None
            for folder, _, names in os.walk(self.folder):
                for name in (*names, ""):
                    sync(Path(folder) / name)
            _check_replaceable(self.final, self.overwrite)
            swap_into_place(self.folder, self.final)
            sync(self.final.parent)
        return Bundle(self.final, manifest)


def _list_files(root: Path) -> tuple[FileRecord, ...]:
    sizes = _walk(root, None)
    return tuple(FileRecord(name, sizes[name], sha256_of(root / name)) for name in sorted(sizes))


def _remove_litter(root: Path) -> None:
    """What a file browser left while the bundle was in the making doesn't become a part of it."""
    for folder, _, names in os.walk(root):
        for name in filter(_is_litter, names):
            (Path(folder) / name).unlink()


def _remove_empty_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        if Path(folder) != root and not any(Path(folder).iterdir()):
            Path(folder).rmdir()


@contextmanager
def write_bundle(path: Path, overwrite: bool = True) -> Iterator[Staging]:
    """Make a bundle so that under ``path`` there is only ever the old one, none, or the whole new one.

    ``with write_bundle(path) as staging:`` write files into ``staging.folder``, then call
    ``staging.finish(manifest)``. An exception, Ctrl-C or a block that ends without ``finish`` leaves
    ``path`` as it was.

    Args:
        path: where the bundle will be; its parent must exist. Only a bundle is ever replaced.
        overwrite: False refuses to replace even a bundle.

    Raises:
        OutputError: the place can't be written, or holds something that isn't a bundle.
    """
    path = Path(path) if Path(path).name not in ("", "..") else Path(path).absolute().resolve()
    with contextlib.ExitStack() as stack:
        with output_errors(path):
            _check_replaceable(path, overwrite)
            folder = stack.enter_context(staging_folder(path))
        with output_errors(path, inside=folder):
            yield Staging(folder, path, overwrite)


def _check_replaceable(path: Path, overwrite: bool) -> None:
    advice = "remove it or choose another path"
    if path.is_symlink():
        raise OutputError(f"{path}: a link is in the way; {advice}")
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: a file is in the way; {advice}")
    if not any(path.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"{path}: already exists; {advice}")
    try:
        manifest = _read_manifest(path)
        _walk(path, {record.path for record in manifest.files})
    except BundleError as error:
        reason = str(error).removeprefix(f"{path}: ").partition(";")[0]
        raise OutputError(f"{path}: more than a bundle is in the way ({reason}); {advice}") from None


__all__ = [
    "MANIFEST",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "Bundle",
    "Staging",
    "read_bundle",
    "write_bundle",
]
