"""Pictures for browsers: kept images as they are or small, and anomaly maps in colours.

Blocking, so called from a thread; one at a time, since each takes a core.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.files import read_plain
from edgead.heatmap import heatmap
from edgead.imagefile import read_header
from edgead.imagefile.damage import DamagedFile

SMALL = 240
"""Pixels of a small picture's longer side, at most."""
MOST_BYTES = 96 << 20
MOST_PIXELS = 1 << 26
KEPT = 200
AT_THRESHOLD = 128
"""A map's value where the threshold is."""
OPACITY = 0.65


class Pictures:
    """Makes them, and keeps the last small ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._small: OrderedDict[Path, bytes] = OrderedDict()

    def whole(self, file: Path) -> tuple[bytes, str] | None:
        """A kept image's file and its media type, or None where it can't be shown."""
        try:
            data = read_plain(file, MOST_BYTES)
        except (OSError, ValueError):
            return None
        kinds = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
        return next(((data, kind) for head, kind in kinds if data.startswith(head)), None)

    def small(self, file: Path) -> bytes | None:
        """A kept image as a small JPEG, or None where it can't be shown."""
        with self._lock:
            if file in self._small:
                self._small.move_to_end(file)
                return self._small[file]
            image = _decoded(file)
            if image is None:
                return None
            scale = min(1.0, SMALL / max(image.shape[:2]))
            size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
            made, data = cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            if not made:
                return None
            self._small[file] = data.tobytes()
            while len(self._small) > KEPT:
                self._small.popitem(last=False)
            return self._small[file]

    def coloured(self, data: bytes) -> bytes | None:
        """A map as colours that grow opaque towards the threshold: PNG with transparency."""
        with self._lock:
            kept = _decode(data, cv2.IMREAD_GRAYSCALE)
            if kept is None:
                return None
            share = kept.astype(np.float32) / AT_THRESHOLD  # of the threshold
            colours = heatmap(share.astype(np.float32), 0.5, 1.5)
            veil = np.clip((share - 0.5) / 0.5, 0, 1) * (255 * OPACITY)
            made, png = cv2.imencode(
                ".png", np.dstack([colours, veil.astype(np.uint8)]), [cv2.IMWRITE_PNG_COMPRESSION, 1]
            )
            return png.tobytes() if made else None

    def coloured_file(self, file: Path) -> bytes | None:
        """The same of a file."""
        try:
            return self.coloured(read_plain(file, MOST_BYTES))
        except (OSError, ValueError):
            return None


def _decoded(file: Path) -> NDArray[np.uint8] | None:
    try:
        return _decode(read_plain(file, MOST_BYTES), cv2.IMREAD_COLOR)
    except (OSError, ValueError):
        return None


def _decode(data: bytes, how: int) -> NDArray[np.uint8] | None:
    """Decode what says beforehand that it isn't too large."""
    try:
        height, width = read_header(data).size
        if height * width > MOST_PIXELS:
            return None
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except (DamagedFile, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


__all__ = ["Pictures"]
