"""Converted backbones, kept in the user's cache folder under the hash of what they were made from.

See ``edgead.cache``: a reader sees a whole entry or none, two writers at once are harmless, and an entry that
isn't whole is not an error but a miss. Deleting the folder is always safe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgead.cache import SUFFIX, Entry, cache_folder
from edgead_plugins.backbones.weights import MAX_BYTES

KIND = "backbones"


def place(key: str = "") -> str:
    """Where the content of a key is, or all of them, for messages."""
    folder = cache_folder() or Path()
    return str(folder / KIND / (key + SUFFIX if key else ""))


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of facts (JSON values); their order doesn't matter."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load(key: str) -> bytes | None:
    """Return the content kept under ``key``, or None where there is none or it isn't whole."""
    content = _entry(key).read()
    return None if content is None else content.tobytes()


def store(key: str, content: bytes) -> None:
    """Keep ``content`` under ``key``; where that can't be done, warn and go on without."""
    _entry(key).write(content)


def _entry(key: str) -> Entry:
    return Entry(KIND, key, most=None, most_bytes=MAX_BYTES)
