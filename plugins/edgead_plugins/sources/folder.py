"""A folder as a line's source: its images replayed at a rate, or each one that comes in."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from edgead.errors import DeviceError, EdgeadError
from edgead.folders import SUFFIXES
from edgead.images import list_images, read_image
from edgead.options import Range, check_options
from edgead.types import Grab

LOOK = 0.02
"""Seconds between two looks into a watched folder."""


@dataclass(frozen=True)
class FolderOptions:
    """Which folder, and how."""

    path: str = "."
    """The folder; images directly in it count."""
    watch: bool = False
    """Take each image that comes into the folder from now on. Without it, replay those that are there."""
    rate: Annotated[float, Range(0.001, 10_000)] = 10.0
    """Images a second where they're replayed."""
    loop: bool = False
    """Begin again after the last where they're replayed."""
    depth: Annotated[int, Range(9, 16)] | None = None
    """Significant bits of 16-bit files."""

    def __post_init__(self) -> None:
        check_options(self)


class Folder:
    """A folder's images. What comes into a watched one is best renamed into it when it's whole; else an image
    is taken once its size stands still between two looks."""

    Options: ClassVar[type] = FolderOptions

    def __init__(self, options: FolderOptions | None = None) -> None:
        self.options = options or FolderOptions()
        self._folder = Path(self.options.path)
        self._is_open = False
        self._files: list[Path] = []
        self._next = self._start = 0.0
        self._count = 0
        self._seen: set[str] = set()
        self._growing: dict[str, int] = {}

    def open(self) -> None:
        """Look into the folder."""
        self.close()
        try:
            if self.options.watch:
                self._seen = set(self._names())
            else:
                self._files = list_images(self._folder)
        except EdgeadError as error:
            raise DeviceError(str(error)) from None
        except OSError as error:
            why = error.strerror
            raise DeviceError(f"{self._folder}: can't be used ({why}); give a folder of images") from None
        self._count, self._next, self._is_open = 0, time.monotonic(), True

    def read(self, timeout: float) -> Grab | None:
        """The next image, when its time has come or it has come in."""
        if not self._is_open:
            raise DeviceError(f"{self._folder}: isn't open")
        file = self._incoming(timeout) if self.options.watch else self._replayed(timeout)
        if file is None:
            return None
        self._count += 1
        try:
            return Grab(read_image(file, self.options.depth), frame_id=self._count)
        except EdgeadError as error:
            return Grab(None, frame_id=self._count, problem=str(error))

    def close(self) -> None:
        """Forget what was there."""
        self._is_open = False
        self._files, self._seen, self._growing = [], set(), {}

    def _replayed(self, timeout: float) -> Path | None:
        if self._count >= len(self._files) and not self.options.loop:
            time.sleep(timeout)
            return None
        left = self._next - time.monotonic()
        time.sleep(max(0.0, min(left, timeout)))
        if left > timeout:
            return None
        self._next += 1 / self.options.rate
        return self._files[self._count % len(self._files)]

    def _incoming(self, timeout: float) -> Path | None:
        until = time.monotonic() + timeout
        while True:
            try:
                found = self._whole()
            except OSError as error:
                raise DeviceError(f"{self._folder}: is gone ({error.strerror})") from None
            if found is not None or (left := until - time.monotonic()) <= 0:
                return found
            time.sleep(min(LOOK, left))

    def _whole(self) -> Path | None:
        """The oldest new file whose size was the same at the last look."""
        names = self._names()
        self._seen &= set(names)
        sizes = {name: size for name, (_, size) in names.items() if name not in self._seen}
        ready = [name for name, size in sizes.items() if size and self._growing.get(name) == size]
        self._growing = sizes
        if not ready:
            return None
        first = min(ready, key=lambda name: (names[name][0], name))
        self._seen.add(first)
        return self._folder / first

    def _names(self) -> dict[str, tuple[int, int]]:
        """Images in the folder: when each was changed, and its size."""
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if Path(entry.name).suffix.lower() in SUFFIXES and not entry.name.startswith("."):
                    try:
                        status = entry.stat()
                    except FileNotFoundError:  # renamed meanwhile
                        continue
                    found[entry.name] = (status.st_mtime_ns, status.st_size)
        return found


__all__ = ["Folder", "FolderOptions"]
