"""A camera: a process that reads one source, puts its images into slots and announces them."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from edgead.errors import DeviceError, FrameError, one_line
from edgead.line.channel import Channel, Message
from edgead.line.child import ALIVE, made_of, run, say
from edgead.line.loop import Loop
from edgead.line.ring import Ring
from edgead.types import Grab, Source


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Make the source, say so, and read it until told to stop; it's opened when told to."""
    source: Source = made_of("sources", start["source"], start["options"])
    channel.send({"is": "made"})
    Camera(channel, source, Ring(*start["ring"]), start["free"]).run()


class Camera(Loop):
    """Reads a source; where that fails it's closed, and opened again after a pause that grows.

    Args:
        free: the slots that may be written into.
    """

    def __init__(self, channel: Channel, source: Source, ring: Ring, free: list[int]) -> None:
        super().__init__(channel)
        self._source, self._ring = source, ring
        self._free = deque(free)
        self._epoch = 0
        self._again: float | None = None  # when it's to be opened; None: when told to
        self._alive = 0.0

    def _turn(self) -> None:
        wait = 0.0 if self._is_open else ALIVE / 2
        for message in self._channel.receive(wait):
            self._hear(message)
        now = time.monotonic()
        if now - self._alive >= ALIVE:
            self._alive = now
            self._channel.send({"is": "alive"})
        if self._is_open:
            self._read()
        elif self._again is not None and now >= self._again:
            self._open()

    def _hear(self, message: Message) -> None:
        if message["is"] == "free":
            self._free.append(message["slot"])
        elif message["is"] == "open":
            self._epoch = message["epoch"]
            self._close()
            self._again = 0.0
        elif message["is"] == "stop":
            self._stopped = True

    def _open(self) -> None:
        try:
            self._source.open()
        except Exception as error:
            self._failed(error)
            return
        self._is_open = True
        self._pauses.up(time.monotonic())
        self._channel.send({"is": "open", "epoch": self._epoch})

    def _read(self) -> None:
        try:
            grab = self._source.read(ALIVE / 2)
        except Exception as error:
            self._failed(error)
            return
        if grab is None:
            return
        grabbed = time.monotonic_ns()
        try:
            told = _told(grab)
        except (AttributeError, TypeError, ValueError) as error:  # it's no Grab, or holds no numbers
            self._failed(error)
            return
        self._announce(told | {"grabbed": grabbed}, grab.image)

    def _announce(self, told: Message, image: NDArray[Any] | None) -> None:
        if told["problem"] is None and image is None:
            told["problem"] = "the source gives neither an image nor why not"
        if told["problem"] is None and image is not None:
            for message in [] if self._free else self._channel.receive():
                self._hear(message)
            if not self._free:
                told |= {"problem": "no slot is free", "overrun": True}
            else:
                try:
                    self._ring.write(self._free[0], image)
                    told |= {"slot": self._free.popleft(), "shape": list(image.shape)}
                    told |= {"dtype": image.dtype.name}
                except FrameError as error:
                    told["problem"] = str(error)
        say(self._channel, told)

    def _failed(self, error: Exception) -> None:
        why = one_line(error, "message" if isinstance(error, DeviceError) else "named")
        self._channel.send({"is": "lost", "why": why})  # first: a driver may take seconds to let go
        self._close()
        self._again = time.monotonic() + self._pauses.failed(time.monotonic())

    def _close(self) -> None:
        self._is_open = False
        with suppress(Exception):
            self._source.close()


def _told(grab: Grab) -> Message:
    """What is announced of an image beside itself, as JSON values: NumPy's numbers are none."""
    numbers = {"frame_id": grab.frame_id, "camera_ns": grab.camera_ns, "encoder": grab.encoder}
    plain = {name: None if number is None else int(number) for name, number in numbers.items()}
    problem = None if grab.problem is None else str(grab.problem)[:500]
    depth = None if grab.depth is None else int(grab.depth)
    return {"is": "shot", "slot": None, "problem": problem, "depth": depth, **plain}


__all__ = ["Camera", "main", "work"]
