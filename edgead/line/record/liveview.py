"""The newest image of each camera for the page: files that are replaced, and written again for each image.

The description goes first and comes last, so whoever finds the same one before and after reading the others
has what belongs together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.line.record.places import LIVE
from edgead.line.record.storing import be_modest, encoded, has_space

WIDTH = 960


@dataclass
class LiveImage:
    """One image, copied out of its slot; as ``storing.Picture``."""

    image: NDArray[Any]
    map: NDArray[np.uint8] | None
    verdict: Mapping[str, Any]
    utc_ns: int


class LiveView:
    """Writes them in a thread; where it doesn't keep up, the newest wins.

    Args:
        folder: the record's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / LIVE
        self._newest: dict[str, LiveImage] = {}
        self._bits: dict[str, int] = {}
        self._ready = threading.Condition()
        threading.Thread(target=self._work, name="edgead-live", daemon=True).start()

    def put(self, image: LiveImage) -> None:
        """Have an image shown; never waits."""
        with self._ready:
            self._newest[image.verdict["camera"]] = image
            self._ready.notify()

    def _work(self) -> None:
        be_modest()
        while True:
            with self._ready:
                while not self._newest:
                    self._ready.wait()
                camera, image = self._newest.popitem()
            with suppress(Exception):  # a full disk: the next one may be shown
                self._show(camera, image)

    def _show(self, camera: str, live: LiveImage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        files = {name: self._folder / f"{camera}.{name}" for name in ("json", "jpg", "map.png")}
        files["json"].unlink(missing_ok=True)
        if not has_space(self._folder):
            return
        height, width = live.image.shape[:2]
        small = self._small(camera, live.image)
        _replace(files["jpg"], encoded(small, jpeg=True))
        if live.map is None:
            files["map.png"].unlink(missing_ok=True)
        else:
            _replace(files["map.png"], encoded(live.map, jpeg=False))
        said = live.verdict
        told = {name: said[name] for name in ("run", "trigger", "part", "camera", "decision", "why", "score",
                                              "threshold", "regions", "bundle")}  # fmt: skip
        size = {"width": width, "height": height, "shown": [small.shape[1], small.shape[0]]}
        document = {**told, "size": size, "utc_ns": live.utc_ns, "map": live.map is not None}
        _replace(files["json"], json.dumps(document).encode())

    def _small(self, camera: str, image: NDArray[Any]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        if width > WIDTH:
            size = WIDTH, max(1, round(height * WIDTH / width))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if image.dtype == np.uint16:  # by the most bits that this camera has used, so that it doesn't flicker
            bits = max(8, self._bits.get(camera, 8), int(image.max()).bit_length())
            self._bits[camera] = bits
            image = image >> (bits - 8)
        return image.astype(np.uint8, copy=False)


def _replace(file: Path, data: bytes) -> None:
    """Whole or not at all for whoever reads; not for ever, so that no disk is waited for."""
    beside = file.with_name(f".{file.name}.part")
    beside.unlink(missing_ok=True)  # whatever it is: a link would lead elsewhere
    with beside.open("xb") as opened:
        opened.write(data)
    beside.replace(file)


__all__ = ["WIDTH", "LiveImage", "LiveView"]
