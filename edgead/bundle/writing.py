"""Writing a bundle in one step: into a folder beside, which is checked and renamed into place."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgead.bundle.folder import open_folder
from edgead.bundle.listing import MANIFEST, is_litter, is_revision, walk
from edgead.bundle.loaded import Bundle
from edgead.bundle.reading import read_bundle, read_manifest
from edgead.errors import BundleError, OutputError
from edgead.files import output_errors, sha256_of, staging_folder, swap_into_place, sync
from edgead.manifest import FORMAT, FileRecord, Manifest


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
                listed = _list_files(self.folder)
                manifest = dataclasses.replace(manifest, files=listed, format=FORMAT)
                content = manifest.to_json().encode()
                (self.folder / MANIFEST).write_bytes(content)
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
        return Bundle(self.final, manifest, digest=hashlib.sha256(content).hexdigest())


def _list_files(root: Path) -> tuple[FileRecord, ...]:
    with open_folder(root) as folder:
        sizes = walk(folder, None)
    return tuple(FileRecord(name, sizes[name], sha256_of(root / name)) for name in sorted(sizes))


def _remove_litter(root: Path) -> None:
    """What a file browser left while the bundle was in the making doesn't become a part of it."""
    for folder, _, names in os.walk(root):
        for name in filter(is_litter, names):
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


REPLACED_MEANWHILE = 100
"""How often what lies there is looked at again, because other writers replace it."""


def _check_replaceable(path: Path, overwrite: bool) -> None:
    """Raise ``OutputError`` where something is in the way that mustn't be replaced."""
    for _ in range(REPLACED_MEANWHILE):
        before = _identity(path)
        try:
            _check(path, overwrite)
        except (FileNotFoundError, OutputError):
            if _identity(path) == before:
                raise
            # another writer has put its own there while this one looked at what it removed
        else:
            return
    _check(path, overwrite)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check(path: Path, overwrite: bool) -> None:
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
        manifest = read_manifest(path)
        with open_folder(path) as folder:
            sizes = walk(folder, {record.path for record in manifest.files}, manifest.format > 1)
        if any(name.startswith("taught/") for name in sizes):
            raise OutputError(f"{path}: the bundle there holds what a device was taught; {advice}")
        if manifest.format > 1 and any(map(is_revision, sizes)):
            raise OutputError(f"{path}: the bundle there holds thresholds that were revised; {advice}")
    except BundleError as error:
        reason = str(error).removeprefix(f"{path}: ").partition(";")[0]
        raise OutputError(f"{path}: more than a bundle is in the way ({reason}); {advice}") from None


__all__ = ["Staging", "write_bundle"]
