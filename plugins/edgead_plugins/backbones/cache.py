"""Converted backbones, kept in the user's cache folder under the hash of what they were made from.

One file an entry: a first line with the content's SHA-256, then the content. It's written beside and
renamed, so a reader sees a whole entry or none, and two writers at once are harmless: both write the same.
An entry that isn't whole is not an error but a miss. Deleting the folder is always safe.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgead.cache import cache_folder
from edgead_plugins.backbones.weights import MAX_BYTES

_MAGIC = b"edgead-cache 1 "
_log = logging.getLogger(__name__)


def folder() -> Path:
    """Return the folder in the user's cache."""
    return cache_folder() / "backbones"


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of facts (JSON values); their order doesn't matter."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load(key: str) -> bytes | None:
    """Return the content kept under ``key``, or None where there is none or it isn't whole."""
    path = folder() / key
    try:
        if path.stat().st_size > MAX_BYTES + 1024:
            return None
        entry = path.read_bytes()
    except OSError:
        return None
    head, _, content = entry.partition(b"\n")
    if head != _head(content):
        _log.warning("the cached backbone %s is damaged and will be converted again", path)
        return None
    return content


def store(key: str, content: bytes) -> None:
    """Keep ``content`` under ``key``; where the folder can't be written, warn and go on without."""
    temporary = None
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".writing-")
        with os.fdopen(handle, "wb") as file:
            file.write(_head(content) + b"\n")
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder() / key)  # noqa: PTH105 - a plain rename over the old entry
        temporary = None
    except OSError as error:
        _log.warning(
            "can't keep the converted backbone in %s (%s): it will be converted again", folder(), error
        )
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _head(content: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(content).hexdigest().encode()
