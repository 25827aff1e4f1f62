"""What lies in a bundle's folder: which names it may have, and a walk that follows nothing."""

from __future__ import annotations

import errno
import os
import re
import stat

from edgead.bundle.folder import OpenFolder
from edgead.errors import ExtraFileError, FileSizeError, LinkError
from edgead.files import is_leftover

MANIFEST = "manifest.json"
MAX_FILES = 4096
MAX_FILE_BYTES = 2 << 30
MAX_TOTAL_BYTES = 4 << 30
MAX_PATH = 240
"""Longest path inside a bundle, in characters."""

RESERVED = ("signatures", "taught")
"""Folders that may lie beside the listed files from format 2 on: detached signatures, and what a device was
taught. The manifest doesn't list what is in them, so that a bundle's own bytes stay as they were."""
MAX_RESERVED_FILES, MAX_RESERVED_BYTES = 1024, 64 << 20

REVISIONS = "revisions"
"""The folder of the thresholds' revisions, beside the listed files; see ``edgead.bundle.revisions``."""
MAX_REVISIONS, MAX_REVISION_BYTES = 1000, 1 << 18

LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that macOS and Windows leave in any folder that is looked at, besides macOS's ``._NAME``."""
MAX_LITTER_BYTES = 1 << 20
"""Largest of them that is overlooked."""

_REVISION = re.compile(rf"{REVISIONS}/[0-9]{{4}}\.json")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


def is_plain(name: str) -> bool:
    """True for a relative path of plain names: no root, drive, '..', hidden name or odd character."""
    return (
        0 < len(name) <= MAX_PATH
        and name != MANIFEST
        and all(_PLAIN_NAME.fullmatch(part) is not None for part in name.split("/"))
    )


def is_reserved(name: str) -> bool:
    """Whether a path lies in a folder that a later version may use, see ``RESERVED``."""
    return name.partition("/")[0] in RESERVED


def is_revision(name: str) -> bool:
    """Whether a path is a revision's."""
    return _REVISION.fullmatch(name) is not None


def is_litter(name: str) -> bool:
    """Whether a file is one that a file browser leaves, see ``LITTER``."""
    return name in LITTER or name.startswith("._")


def walk(folder: OpenFolder, listed: set[str] | None, reserved: bool = False) -> dict[str, int]:
    """Return path and size of every file but the manifest, following nothing.

    Given a listing, anything outside it ends the walk at once, so its cost is bounded by the listing's. Only
    what a file browser leaves is overlooked, as far as it's a plain, small file and there isn't much of it.

    Args:
        reserved: whether the ``RESERVED`` folders and ``REVISIONS`` may be there; few files in them end the
            walk too.
    """
    folders = {"/".join(name.split("/")[:i]) for name in listed or () for i in range(1, name.count("/") + 1)}
    root = folder.path
    sizes: dict[str, int] = {}
    overlooked = kept = revisions = 0
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        for last, mode in folder.scan(prefix):
            name = f"{prefix}/{last}" if prefix else last
            if mode is None:
                if is_leftover(last):  # another process has just given it its own name
                    continue
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            is_folder = stat.S_ISDIR(mode.st_mode)
            if not (is_folder or stat.S_ISREG(mode.st_mode)):
                raise LinkError(
                    f"{root}: {name!r} is a link or special file; a bundle holds plain files only"
                )
            if listed is not None and name not in listed and not is_folder and is_litter(last):
                overlooked += 1
                if overlooked <= MAX_FILES and mode.st_size <= MAX_LITTER_BYTES:
                    continue
            if reserved and prefix == REVISIONS and not is_folder and is_leftover(last):
                overlooked += 1
                if overlooked <= MAX_FILES:
                    continue
            if reserved and ((name == REVISIONS and is_folder) or (is_revision(name) and not is_folder)):
                revisions += 1
                if revisions > 1 + MAX_REVISIONS:
                    raise FileSizeError(
                        f"{root}: more than {MAX_REVISIONS} revisions; export the bundle again"
                    )
            elif reserved and is_reserved(name) and (is_folder or "/" in name):
                kept += 1
                if kept > 2 * MAX_RESERVED_FILES:
                    raise FileSizeError(f"{root}: {prefix or name!r} holds too many files; remove them")
            elif listed is not None and name != MANIFEST and name not in (folders if is_folder else listed):
                raise ExtraFileError(f"{root}: {name!r} isn't in the manifest; remove it or export again")
            if is_folder:
                waiting.append(name)
            elif name != MANIFEST:
                sizes[name] = mode.st_size
    return sizes


__all__ = [
    "LITTER",
    "MANIFEST",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_LITTER_BYTES",
    "MAX_PATH",
    "MAX_RESERVED_BYTES",
    "MAX_RESERVED_FILES",
    "MAX_REVISIONS",
    "MAX_REVISION_BYTES",
    "MAX_TOTAL_BYTES",
    "RESERVED",
    "REVISIONS",
    "is_litter",
    "is_plain",
    "is_reserved",
    "is_revision",
    "walk",
]
