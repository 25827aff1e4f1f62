"""What OpenCV reads: V4L2 cameras, network streams, and video files.

OpenCV counts no triggers and tells of nothing that was lost before it: it's good for a camera that isn't
triggered one by one, and for a file in a trial.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DeviceError, ImageError, OptionError, cut
from edgead.files import is_file
from edgead.names import shown
from edgead.options import Range, check_options
from edgead.streams import Stream, camera_number, is_url, open_file, open_live, public
from edgead.types import Grab, SeenCamera

STILL = 2.0
"""Seconds that the end of reading is waited for when it's closed."""
_DEVICES = "/sys/class/video4linux"


@dataclass(frozen=True)
class OpenCVOptions:
    """Which camera, stream or file, and how."""

    device: str = "0"
    """A camera's number or /dev/video file, an address rtsp://..., or a video file."""
    width: Annotated[int, Range(1, 1 << 16)] | None = None
    """Pixels of a row, of a camera."""
    height: Annotated[int, Range(1, 1 << 16)] | None = None
    """Rows, of a camera."""
    fourcc: str = ""
    """How a camera sends its images, MJPG or YUYV for instance; as it's set, if empty."""
    rate: Annotated[float, Range(0.001, 10_000)] | None = None
    """Images a second: what a camera is set to; how fast a file is replayed, its own rate if not given."""
    exposure: Annotated[float, Range(-1_000_000, 1_000_000)] | None = None
    """A camera's exposure, in its driver's unit, 0.1 ms with V4L2; its automatic is switched off."""
    gain: Annotated[float, Range(-1_000_000, 1_000_000)] | None = None
    """A camera's gain, in its driver's unit."""
    loop: bool = False
    """Begin a file again after its last image."""
    buffers: Annotated[int, Range(1, 1024)] = 4
    """Images that may wait until they're read; what comes beside is said as a problem."""

    def __post_init__(self) -> None:
        check_options(self)
        if self.fourcc and len(self.fourcc) != 4:
            raise OptionError(
                f"option 'fourcc' takes four characters, MJPG for instance, not '{cut(self.fourcc)}'"
            )


class OpenCV:
    """A camera, stream or file by OpenCV. It's read in a thread, since reading can't be given up in time."""

    Options: ClassVar[type] = OpenCVOptions

    def __init__(self, options: OpenCVOptions | None = None) -> None:
        self.options = options or OpenCVOptions()
        device = self.options.device
        number = camera_number(device)
        self._name = public(device) if is_url(device) else shown(device)
        is_device = device.startswith("/dev/") and not is_file(Path(device))  # /dev/shm holds files
        self._live = number is not None or is_url(device) or is_device
        self._source: str | int = device if number is None else number
        self._reader: _Reader | None = None

    def cameras(self) -> Sequence[SeenCamera]:
        """The system's video devices; not every one of them gives images."""
        found = []
        for folder in sorted(Path(_DEVICES).glob("video*"), key=lambda each: (len(each.name), each.name)):
            with suppress(OSError):
                name = (folder / "name").read_text("utf-8", "replace").strip()[:100]
                device = f"/dev/{folder.name}"
                found.append(SeenCamera(name or device, {"device": device}, {"device": device}))
        return found

    def open(self) -> None:
        """Open it, and begin to read."""
        self.close()
        if not self._live and not is_file(Path(self.options.device)):
            raise DeviceError(
                f"{self._name}: no such camera or file; see `edgead line cameras`, or check the path"
            )
        try:
            capture, stream = open_live(self._source) if self._live else open_file(self.options.device)
        except ImageError as error:
            raise DeviceError(str(error)) from None
        if not capture.isOpened():
            capture.release()
            raise DeviceError(
                f"{self._name}: can't be opened; see `edgead line cameras`, its cable or its address"
            )
        try:
            if self._live and not is_url(self.options.device):
                self._set(capture)
        except BaseException:
            capture.release()
            raise
        kind = _Live if self._live else _File
        self._reader = kind(capture, stream, self.options, self._name)

    def read(self, timeout: float) -> Grab | None:
        """The next image."""
        if self._reader is None:
            raise DeviceError(f"{self._name}: isn't open; open it first")
        return self._reader.next(timeout)

    def close(self) -> None:
        """Let go of it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _set(self, capture: Any) -> None:
        """Set a camera; what it doesn't take is refused."""
        wanted: list[tuple[str, int, float | None]] = [
            ("fourcc", cv2.CAP_PROP_FOURCC, _code(self.options.fourcc)),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, self.options.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, self.options.height),
            ("rate", cv2.CAP_PROP_FPS, self.options.rate),
            ("automatic exposure", cv2.CAP_PROP_AUTO_EXPOSURE, None if self.options.exposure is None else 1),
            ("exposure", cv2.CAP_PROP_EXPOSURE, self.options.exposure),
            ("gain", cv2.CAP_PROP_GAIN, self.options.gain),
        ]
        for name, key, value in wanted:
            if value is None:
                continue
            capture.set(key, value)
            became = capture.get(key)
            if abs(became - value) > 0.01 * abs(value) + 1e-6:
                raise DeviceError(
                    f"{self._name}: it made {became:g} of its {name} {value:g}: give what it takes, which "
                    "`v4l2-ctl --list-formats-ext --list-ctrls` shows"
                )


class _Reader:
    """Reads in a thread. What it has waits in a queue that is bounded, None at its end."""

    def __init__(self, capture: Any, stream: Stream, options: OpenCVOptions, name: str) -> None:
        self._capture, self._stream, self._options, self._name = capture, stream, options, name
        self._queue: queue.Queue[Grab | None] = queue.Queue(options.buffers)
        self._stop = threading.Event()
        self._lost = self._told = 0  # counted by the thread, and by whoever reads
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="edgead-opencv", daemon=True)
        self._thread.start()

    def next(self, timeout: float) -> Grab | None:
        """What waits, in so many seconds."""
        if self._told < self._lost:  # said before what comes later
            self._told += 1
            return Grab(None, problem="images came faster than they were taken; lower rate")
        if self._ended:
            return self._end(timeout)
        try:
            grab = self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if grab is None:
            self._ended = True
            return self._end(0)
        return grab

    def close(self) -> None:
        """End reading; where it hangs, it ends when it can."""
        self._stop.set()
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join(STILL)

    def _work(self) -> None:
        try:
            self._read()
        finally:
            self._capture.release()
            self._give(None)

    def _read(self) -> None:
        raise NotImplementedError

    def _end(self, timeout: float) -> Grab | None:
        raise NotImplementedError

    def _give(self, grab: Grab | None) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._queue.put(grab, timeout=0.1)
                return


class _Live(_Reader):
    """A camera, or a stream."""

    def _read(self) -> None:
        while not self._stop.is_set():
            there, image = self._capture.read()
            if not there:
                return
            try:
                self._queue.put_nowait(Grab(_fit(image)))
            except queue.Full:
                self._lost += 1

    def _end(self, timeout: float) -> Grab | None:
        raise DeviceError(f"{self._name}: gives no more images; see its cable, power or network")


class _File(_Reader):
    """A video file, replayed."""

    def _read(self) -> None:
        every = 1 / (self._options.rate or self._stream.rate or 25.0)
        due, count = time.monotonic(), 0
        while not self._stop.is_set():
            there, image = self._capture.read()
            if not there:
                damage = self._stream.damage()
                if damage or not self._stream.read:
                    why = damage or "no image of it can be read"
                    self._give(Grab(None, count + 1, problem=f"the video is cut short or damaged: {why}"))
                    return
                if not self._options.loop:
                    return
                self._capture.release()
                self._capture, self._stream = open_file(self._options.device)
                continue
            self._stream.took(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)))
            count += 1
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            due += every
            self._give(Grab(_fit(image), count))

    def _end(self, timeout: float) -> Grab | None:
        time.sleep(timeout)
        return None


def _fit(image: NDArray[Any]) -> NDArray[Any]:
    """Mono as (H, W); what OpenCV makes of a camera of 16 bits stays as it is."""
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else np.asarray(image)


def _code(fourcc: str) -> float | None:
    return float(cv2.VideoWriter.fourcc(*fourcc)) if fourcc else None


__all__ = ["STILL", "OpenCV", "OpenCVOptions"]
