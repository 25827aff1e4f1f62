"""A virtual camera over a virtual belt, which loses packets, goes away and breaks where a script says.

What part an image shows is written in its first row, so that a mixed-up image shows.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, ClassVar

import numpy as np

from edgead.errors import DeviceError, EdgeadError
from edgead.images import list_images, read_image
from edgead.line.broken import break_down
from edgead.line.faults import Fault, of_word
from edgead.options import Range
from edgead.types import Grab, Image
from edgead_plugins.belt import SECOND, Belt, BeltOptions, read_start

EXPOSURE = 2_000_000
"""Ns from a trigger to its image."""
OPTIONS_SIDE = Range(16, 16_384)


@dataclass(frozen=True)
class GeneratedOptions(BeltOptions):
    """The belt, and what the camera sees on it."""

    width: Annotated[int, OPTIONS_SIDE] = 64
    """Pixels in a row."""
    height: Annotated[int, OPTIONS_SIDE] = 48
    """Rows."""
    defects: Annotated[float, Range(0, 1)] = 0.1
    """Share of parts with a defect, a bright square."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """Which parts these are, and the noise."""
    images: str = ""
    """A folder whose images are shown in turn instead."""


class Generated:
    """The camera. It counts the triggers that reach it, from the belt's start, whether it's open or not."""

    Options: ClassVar[type] = GeneratedOptions

    def __init__(self, options: GeneratedOptions | None = None) -> None:
        self.options = options or GeneratedOptions()
        self._faults = {fault.part: fault for fault in map(of_word, self.options.faults)}
        self._belt: Belt | None = None
        self._part = 0
        self._is_open = False
        self._came = 0  # when it was opened, ns
        self._gone_until = 0
        self._coming: deque[tuple[int, Grab]] = deque()  # exposed, and when each arrives
        self._log: IO[str] | None = None
        self._noise: Image | None = None
        self._pictures: list[Image] = []

    def open(self) -> None:
        """Begin with the next part that comes."""
        self.close()
        if time.monotonic_ns() < self._gone_until:
            raise DeviceError("the virtual camera is away, as its fault script says")
        try:
            if self.options.images and not self._pictures:
                self._pictures = [read_image(file) for file in list_images(Path(self.options.images))]
            if self.options.log:
                self._log = Path(self.options.log).open("a")  # noqa: SIM115
        except (OSError, EdgeadError) as error:
            raise DeviceError(f"the virtual camera can't open a file: {error}") from error
        self._came, self._is_open = time.monotonic_ns(), True
        if self._belt is None and not self.options.belt:
            self._start(self._came)
        elif self._belt is not None:
            self._part = self._belt.next_after(self._came)

    def read(self, timeout: float) -> Grab | None:
        """The next image, when it's there."""
        if not self._is_open:
            raise DeviceError("the virtual camera isn't open")
        until = time.monotonic_ns() + round(timeout * SECOND)
        if self._belt is None and (started := read_start(Path(self.options.belt))) is not None:
            self._start(started)
        while True:
            now = time.monotonic_ns()
            self._expose(now)
            if self._coming and self._coming[0][0] <= now:
                return self._coming.popleft()[1]
            times = [self._coming[0][0]] if self._coming else []
            if self._belt is not None and (at := self._belt.at(self._part)) is not None:
                times.append(at)
            if now >= until:
                return None
            time.sleep((min([*times, until]) - now) / SECOND if min([*times, until]) > now else 0)

    def close(self) -> None:
        """Drop what is under way."""
        self._is_open = False
        self._coming.clear()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _start(self, start: int) -> None:
        self._belt = Belt(self.options.rate, self.options.parts, self._faults.values(), start)
        self._part = self._belt.next_after(self._came - 1)

    def _expose(self, now: int) -> None:
        """Take the parts that have come."""
        while self._belt is not None and (at := self._belt.at(self._part)) is not None and at <= now:
            part, self._part = self._part, self._part + 1
            self._take(part, at, self._faults.get(part))

    def _take(self, part: int, at: int, fault: Fault | None) -> None:
        what = "" if fault is None else fault.what
        if what == "camera-missed":
            return
        number = self._number(part)
        if fault is not None and what == "camera-gone":
            self._gone_until = at + round(fault.seconds * SECOND)
            raise DeviceError("the virtual camera went away, as its fault script says")
        if what in ("camera-hang", "camera-exit", "camera-crash", "camera-stop"):
            break_down(what.removeprefix("camera-"))
        if self._log is not None:
            self._log.write(json.dumps({"part": part, "number": number, "at": at, "what": what}) + "\n")
            self._log.flush()
        arrives = at + EXPOSURE
        if fault is not None and what == "camera-slow":
            arrives += round(fault.seconds * SECOND)
        if self._coming:  # one after the other, as over a cable
            arrives = max(arrives, self._coming[-1][0])
        if any(f.what == "camera-gap" and f.part <= part < f.part + f.count for f in self._faults.values()):
            return
        lost = "3 of 40 packets are missing" if what == "camera-lost" else None
        image = None if lost else self._image(part)
        self._coming.append((arrives, Grab(image, number, at, 100 * part, lost)))
        if what == "camera-ghost":
            half = round(SECOND / self.options.rate / 2)
            self._coming.append((arrives + half, Grab(self._image(part), number + 1, at + half, 100 * part)))

    def _number(self, part: int) -> int:
        """The camera's count: a trigger that didn't reach it isn't in it, and one that nothing sent is."""
        before = [fault.what for fault in self._faults.values() if fault.part < part]
        return part - before.count("camera-missed") + before.count("camera-ghost")

    def _image(self, part: int) -> Image:
        if self._pictures:
            return self._pictures[part % len(self._pictures)]
        defect = bool(np.random.default_rng([self.options.seed, part]).random() < self.options.defects)
        if self._noise is None:
            side = (self.options.height, self.options.width, 3)
            self._noise = np.random.default_rng(self.options.seed).integers(60, 70, side, np.uint8)
        image = np.roll(self._noise, 7 * part, axis=0)  # drawing it anew takes longer than the exposure
        if defect:
            image[8:16, 8:16] = 250
        image[0, :8] = np.frombuffer(part.to_bytes(8, "big"), np.uint8)[:, None]
        image[1, 0] = 255 * defect
        return image


__all__ = ["Generated", "GeneratedOptions"]
