"""Compiled graphs in the user's cache, so that the next start needn't compile.

An entry is a folder whose name is the hash of the model's files, the engine's version, the device and what
the graph was compiled for: any of them another, and it's another entry. The engine fills it. The oldest go
when there are more than ``ENTRIES``; deleting all of them is always safe.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgead.cache import cache_folder

ENTRIES = 8
"""Compiled graphs kept; one takes about what its model takes."""

_log = logging.getLogger(__name__)


def entry(model: Sequence[str], facts: Sequence[str]) -> Path | None:
    """Return the folder for a model's compiled graph, made if need be; None where it can't be written.

    Args:
        model: the digests of the bytes that are compiled, ``ModelBytes.digests``.
        facts: everything else that a compiled graph depends on.
    """
    digest = hashlib.sha256("\n".join((*facts, *model)).encode())
    folder = cache_folder() / "compiled" / digest.hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.touch()
        others = sorted(folder.parent.iterdir(), key=lambda other: other.stat().st_mtime, reverse=True)
    except OSError as error:
        _log.warning("can't keep compiled graphs in %s (%s)", folder.parent, error)
        return None
    for old in others[ENTRIES:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder
