"""Compiled graphs in the user's cache, so that the next start needn't compile.

An entry's name is the hash of the model's files, the engine's version, the device and what the graph was
compiled for: any of them another, and it's another entry. OpenVINO's are one file each; TensorRT wants a
folder, which it fills by itself. The oldest go when there are more than ``ENTRIES`` of a kind.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgead.cache import Entry, folder_of

ENTRIES = 8
"""Compiled graphs kept; one takes about what its model takes."""
MAX_BYTES = 1 << 34

_MARKER = "edgead-entry"
"""A file that tells a folder of ours from another's."""
_NAME = re.compile("[0-9a-f]{32}")
_log = logging.getLogger(__name__)


def graph_entry(model: Sequence[str], facts: Sequence[str]) -> Entry:
    """Return what is kept of a model's compiled graph, or may be.

    Args:
        model: the digests of the bytes that are compiled, ``ModelBytes.digests``.
        facts: everything else that a compiled graph depends on.
    """
    return Entry("compiled", _digest(model, facts), ENTRIES, MAX_BYTES)


def engine_folder(model: Sequence[str], facts: Sequence[str]) -> Path | None:
    """Return the folder for a model's engine, made if need be; None where there can't be one.

    Args:
        model, facts: as for ``graph_entry``.
    """
    place = folder_of("tensorrt")
    if place is None:
        return None
    folder = place / _digest(model, facts)
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / _MARKER).touch()
        os.utime(folder)
        others = sorted(filter(_is_ours, place.iterdir()), key=lambda o: o.stat().st_mtime, reverse=True)
    except OSError as error:
        _log.warning("can't keep compiled graphs in %s (%s)", place, error)
        return None
    for old in others[ENTRIES:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def engine_files(folder: Path) -> list[Path]:
    """What an engine has put into its folder."""
    return sorted(file for file in folder.iterdir() if file.name != _MARKER)


def _is_ours(folder: Path) -> bool:
    return (
        _NAME.fullmatch(folder.name) is not None and not folder.is_symlink() and (folder / _MARKER).is_file()
    )


def _digest(model: Sequence[str], facts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join((*facts, *model)).encode()).hexdigest()[:32]


__all__ = ["ENTRIES", "engine_files", "engine_folder", "graph_entry"]
