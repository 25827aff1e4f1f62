"""A GenICam camera as a source; what's peculiar to a vendor's software is its driver's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgead.errors import DeviceError, FrameError
from edgead.types import Grab, SeenCamera
from edgead_plugins.pixels import by_code, picture_of
from edgead_plugins.sources.camera_options import CameraOptions
from edgead_plugins.sources.configure import SOFTWARE_RATE, Features, configure
from edgead_plugins.sources.frame_ids import FrameIds

IDLE = 1.0
"""Seconds without an image after which a camera is asked whether it's still there."""


@dataclass(frozen=True, eq=False)
class Raw:
    """A buffer of a camera's.

    Attributes:
        data: its image's bytes; they're the camera's again at the driver's next ``take``.
        code: the pixel format's.
        width, height: in pixels.
        padding: bytes behind each row.
        frame_id: the camera's count as it says it, or None: it has none, or it's lost with the image.
        camera_ns, encoder: as ``edgead.types.Grab``.
        problem: why it can't be used, or None; nothing but the numbers is looked at then.
    """

    data: bytes | bytearray | memoryview | NDArray[Any] = b""
    code: int = 0
    width: int = 0
    height: int = 0
    padding: int = 0
    frame_id: int | None = None
    camera_ns: int | None = None
    encoder: int | None = None
    problem: str | None = None


class Driver(Protocol):
    """An open camera. What fails is a DeviceError."""

    @property
    def features(self) -> Features:
        """The camera's."""
        ...

    def start(self, buffers: int, encoder: str) -> None:
        """Begin to take images; ``encoder``: a chunk's feature, or empty."""
        ...

    def take(self, timeout: float) -> Raw | None:
        """The next buffer, whatever became of it; None where none came in so many seconds."""
        ...

    def check(self) -> None:
        """Raise DeviceError where the camera is gone; called where it's silent."""
        ...

    def close(self) -> None:
        """Let go of everything; also before ``start``. Never raises."""
        ...


class CameraSource:
    """What the sources of GenICam cameras have in common.

    Args:
        options: theirs.
        who: what it's called in messages, the source's name.
    """

    def __init__(self, options: CameraOptions, who: str) -> None:
        self.options = options
        self._who = who
        self._driver: Driver | None = None
        self._ids = FrameIds()
        self._next = self._heard = 0.0

    def cameras(self) -> Sequence[SeenCamera]:
        """Those that are there."""
        raise NotImplementedError

    def _connect(self) -> Driver:
        """Open the chosen camera."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the camera, set it as the options say, and begin."""
        self.close()
        driver = self._connect()
        try:
            configure(driver.features, self.options, self._who)
            driver.start(self.options.buffers, self.options.encoder)
        except BaseException:
            driver.close()
            raise
        self._driver, self._ids = driver, FrameIds()
        self._next = self._heard = time.monotonic()

    def read(self, timeout: float) -> Grab | None:
        """The next image, or why there's none; where the source triggers, it does it here."""
        if self._driver is None:
            raise DeviceError(f"{self._who}: isn't open; open it first")
        until = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            due = until
            if self.options.trigger == "software":
                if now >= self._next:
                    self._driver.features.run("TriggerSoftware")
                    self._next = max(self._next + 1 / (self.options.rate or SOFTWARE_RATE), now)
                due = min(until, self._next)
            raw = self._driver.take(max(0.0, due - now))
            now = time.monotonic()
            if raw is not None:
                self._heard = now
                return self._grab(raw)
            if now - self._heard >= IDLE:
                self._heard = now
                self._driver.check()
            if now >= until:
                return None

    def close(self) -> None:
        """Let go of the camera."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _grab(self, raw: Raw) -> Grab:
        if raw.frame_id is not None:
            number: int | None = self._ids.unwrapped(raw.frame_id)
        else:
            number = self._ids.following() if raw.problem is not None else None
        image = depth = None
        problem = raw.problem
        if problem is None:
            try:
                image, depth = self._picture(raw)
            except FrameError as error:
                problem = str(error)
        return Grab(image, number, raw.camera_ns, raw.encoder, problem, depth)

    def _picture(self, raw: Raw) -> tuple[NDArray[Any], int | None]:
        pixel_format = by_code(raw.code)
        if pixel_format is None:
            raise FrameError(f"its pixel format has the code {raw.code:#010x}, which isn't read")
        return picture_of(raw.data, pixel_format, raw.width, raw.height, raw.padding, self.options.depth)


__all__ = ["IDLE", "CameraSource", "Driver", "Raw"]
