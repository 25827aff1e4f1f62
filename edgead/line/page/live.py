"""The newest image of each camera, from the files that the recorder leaves: image, map and what was said.

A browser is told a picture's number and asks for that one; the image, its map and its regions always belong
together.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.files import read_plain

MOST_JSON = 1 << 18
MOST_IMAGE = 32 << 20
KEPT = 3
"""Pictures of each camera that can still be asked for."""


@dataclass(frozen=True)
class Shown:
    """One live picture.

    Attributes:
        number: counts up.
        facts: what the recorder says of it.
        image: JPEG.
        map: PNG, 128 at the threshold; None where nothing judged it.
    """

    number: int
    facts: dict[str, Any]
    image: bytes
    map: bytes | None


@dataclass
class _Camera:
    seen: tuple[int, int] | None = None
    count: int = 0
    shown: OrderedDict[int, Shown] = field(default_factory=OrderedDict)


class Live:
    """Looks at the recorder's files.

    Args:
        folder: where they are, or None where there's no recorder.
        cameras: their names.
    """

    def __init__(self, folder: Path | None, cameras: list[str]) -> None:
        self._folder = folder
        self._cameras = {name: _Camera() for name in cameras}

    def look(self) -> bool:
        """Take in what is new; whether anything is. Reads files."""
        return any([self._look(name, camera) for name, camera in self._cameras.items()])

    def newest(self, camera: str) -> Shown | None:
        """A camera's newest picture."""
        shown = self._cameras[camera].shown
        return next(reversed(shown.values())) if shown else None

    def get(self, camera: str, number: int) -> Shown | None:
        """A picture by its number, while it's kept."""
        return self._cameras[camera].shown.get(number)

    def _look(self, name: str, camera: _Camera) -> bool:
        if self._folder is None:
            return False
        file = self._folder / f"{name}.json"
        try:
            seen = _stamp(file)
            if seen == camera.seen:
                return False
            facts = json.loads(read_plain(file, MOST_JSON))
            image = read_plain(self._folder / f"{name}.jpg", MOST_IMAGE)
            if _stamp(file) != seen or not isinstance(facts, dict):  # another one came meanwhile
                return False
        except (OSError, ValueError, RecursionError):
            return False
        try:
            coloured: bytes | None = read_plain(self._folder / f"{name}.map.png", MOST_IMAGE)
            if _stamp(file) != seen:
                return False
        except (OSError, ValueError):
            coloured = None
        camera.seen = seen
        camera.count += 1
        camera.shown[camera.count] = Shown(camera.count, facts, image, coloured)
        while len(camera.shown) > KEPT:
            camera.shown.popitem(last=False)
        return True


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_ino


__all__ = ["Live", "Shown"]
