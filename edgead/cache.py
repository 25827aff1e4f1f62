"""Where edgead keeps what it can make again, converted backbones and compiled graphs: deleting it is safe."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from edgead.files import write_file

REMEMBERED = 256
"""Small results kept of each kind; the oldest go."""

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return ``$EDGEAD_CACHE``, else ``edgead`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; it may not exist."""
    if chosen := os.environ.get("EDGEAD_CACHE"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return Path(home) / "edgead"


def remembered(kind: str, facts: Sequence[str]) -> Path | None:
    """Return the file that keeps a small result; it may not exist. None where the folder can't be believed.

    Args:
        kind: the folder's name: ``proven`` for instance.
        facts: everything that the result depends on.
    """
    folder = cache_folder() / kind
    if not _is_ours(folder):
        _log.warning("%s can be written by others: nothing is kept there, or believed", folder)
        return None
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return folder / f"{digest[:32]}.json"


def remember(file: Path, data: bytes) -> None:
    """Keep a small result; where that can't be done it's logged, and the result is made again next time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = sorted(file.parent.glob("*.json"), key=lambda other: other.stat().st_mtime)
        for old in kept[: max(0, len(kept) - REMEMBERED + 1)]:
            old.unlink(missing_ok=True)
        write_file(file, data)
    except Exception as error:  # a full disk, or a folder without rights
        _log.warning("nothing can be kept in %s (%s)", file.parent, error)


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can put something there; one that isn't there yet is made with such rights."""
    try:
        status = folder.stat()
    except OSError:
        return True
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
