"""The recorder's threads for images: they encode, write and count; what is too much is dropped.

A file is written once its row is on the disk, so that no file is without one.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import OutputError, one_line
from edgead.files import write_file
from edgead.line.record.keeping import Gone, ImageRow, Keeping
from edgead.line.record.places import image_name, make_place, map_name
from edgead.line.record.writer import Kept

THREADS = 2
MOST_BYTES = 256 << 20
"""Of images that wait to be encoded; one waits however large it is."""
RESERVE = 256 << 20
"""Free bytes that are left to rows: images stop where less is free, or less than a tenth of a small disk."""
JPEG_QUALITY = 95


@dataclass
class Picture:
    """One image, copied out of its slot.

    Attributes:
        image: (H, W, 3) uint8 BGR, or (H, W) uint8 or uint16.
        map: (h, w) uint8, 128 at the threshold, or None.
    """

    image: NDArray[Any]
    map: NDArray[np.uint8] | None
    verdict: Mapping[str, Any]
    utc_ns: int
    kept: Kept


class Storing:
    """Keeps images in threads.

    Args:
        folder: the record's.
        format: png or jpeg.
        keeping: takes their rows.
        dropped: told of each image that isn't kept, and why; from any thread.
        stored: told of each that is, in bytes.
    """

    def __init__(
        self,
        folder: Path,
        format: Literal["png", "jpeg"],
        keeping: Keeping,
        dropped: Callable[[str], None],
        stored: Callable[[int], None],
    ) -> None:
        self._folder, self._format, self._keeping = folder, format, keeping
        self._dropped, self._stored = dropped, stored
        self._queue: queue.SimpleQueue[Picture | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._bytes = 0
        self._ends = False
        self._threads = [
            threading.Thread(target=self._work, name=f"edgead-images-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def has_room(self, size: int) -> bool:
        """Whether one more image of so many bytes may wait."""
        with self._lock:
            return self._bytes == 0 or self._bytes + size <= MOST_BYTES

    def put(self, picture: Picture) -> None:
        """Have an image kept; never waits."""
        with self._lock:
            self._bytes += picture.image.nbytes
        self._queue.put(picture)

    def close(self, seconds: float) -> None:
        """Keep what waits, as far as that goes in so many seconds."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(seconds / len(self._threads))
        self._ends = True

    def _work(self) -> None:
        be_modest()
        while (picture := self._queue.get()) is not None and not self._ends:
            try:
                self._store(picture)
            except Exception as error:  # an encoder's, a disk's: this image isn't kept
                self._dropped(one_line(error, "message" if isinstance(error, OutputError) else "named"))
            finally:
                with self._lock:
                    self._bytes -= picture.image.nbytes

    def _store(self, picture: Picture) -> None:
        if not has_space(self._folder):
            self._dropped("the disk is nearly full: what is free is left to verdicts")
            return
        jpeg = self._format == "jpeg" and picture.image.dtype == np.uint8
        data = encoded(picture.image, jpeg)
        coloured = b"" if picture.map is None else encoded(picture.map, False)
        verdict = picture.verdict
        name = image_name(
            verdict["camera"], verdict["run"], verdict["trigger"], picture.utc_ns, "jpg" if jpeg else "png"
        )
        size = len(data) + len(coloured)
        height, width = picture.image.shape[:2]
        row = ImageRow(verdict, picture.utc_ns, name, size, width, height, picture.kept)
        self._keeping.put(row)
        if not (row.done.wait(30.0) and row.ok):
            self._keeping.put(Gone(name))  # after it, if it comes yet
            self._dropped("the record can't be written")
            return
        path = self._folder / name
        try:
            make_place(self._folder, name)
            if coloured:
                write_file(self._folder / map_name(name), coloured)
            write_file(path, data)
        except (OSError, OutputError):
            for each in (path, self._folder / map_name(name)):
                with suppress(OSError):
                    each.unlink()
            self._keeping.put(Gone(name))
            raise
        self._stored(size)


def encoded(image: NDArray[Any], jpeg: bool) -> bytes:
    """An image as a file's bytes."""
    if jpeg:
        made, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    else:
        made, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not made:
        raise OutputError("an image can't be encoded; look at its size")
    return data.tobytes()


def has_space(folder: Path) -> bool:
    """Whether images may be written: some of the disk is left to rows."""
    usage = shutil.disk_usage(folder)
    return usage.free > min(RESERVE, usage.total // 10)


def be_modest() -> None:
    """Let this thread have less of the processor than those on a verdict's path."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


__all__ = ["Picture", "Storing", "be_modest", "encoded", "has_space"]
