"""Manifests that say something else and are sealed all the same, as a stranger would seal them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def seal(value: dict[str, Any]) -> str:
    """A manifest's JSON as it's written; with a digest that is right where its format has one."""
    if value.get("format") in (1, 2):
        return json.dumps(value)
    return reseal(json.dumps({**value, "digest": ""}, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def reseal(text: str) -> str:
    """The same text with the digest that belongs to it: that of all but the digest's line."""
    first, line, rest = text.split("\n", 2)
    if not line.startswith('  "digest": "'):  # another field comes first: it's refused for that
        return text
    digest = hashlib.sha256(f"{first}\n{rest}".encode()).hexdigest()
    return f'{first}\n  "digest": "{digest}",\n{rest}'


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a bundle's manifest, and seal it again."""
    file = bundle / "manifest.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(seal(value), encoding="utf-8")
