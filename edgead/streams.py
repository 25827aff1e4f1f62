"""Videos, cameras and network streams through OpenCV, and whether a video was read to its end.

A decoder ends quietly: of a video that was cut while it was copied, or that has a hole, the frames that are
left come as if they were all. So the frames read are compared with what the file states:

* AVI, MP4 and MOV list their frames; fewer than listed is damage. A few encoders list one or two too many,
  so that few, missing at the very end, are a note.
* Matroska, WebM and the rest state how long they last, which makes a number at an even rate. Frames that
  stop before the stated end, or that leave a hole in an even rate, are damage; a rate that varies is not.
* What states nothing, a live stream or a file that its writer didn't close, can't be compared. Of an MPEG
  program or transport stream the length is worked out from what is left: holes show, a cut end doesn't.

A damaged frame that the decoder patches up with what it has isn't noticed.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import cv2

from edgead.errors import ImageError
from edgead.files import READ, is_file
from edgead.images import quiet_opencv
from edgead.names import shown
from edgead.types import Image

TOLERATED = 2
"""Frames that a whole file may list too many."""
EVEN = 0.9
"""Share of the frames that must follow at the stated distance for a rate to count as even."""
TIMEOUT_MS = 10_000
"""How long a network camera may be silent, when it's opened and between two frames."""
PATIENCE = 64
"""Damaged packets in a row after which a video file counts as ended, if it doesn't state more frames."""

_PACKETS = 4
"""Packets in a row whose first byte tells a transport stream."""
_START = 204 * _PACKETS
"""Bytes of a file that tell its kind."""
_SCHEME = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt|rtp|mms|mmsh)://", re.IGNORECASE)
_CAMERA = re.compile(r"(?:camera:)?(\d{1,4})", re.IGNORECASE)
_SECRET = re.compile(r"pass|pwd|secret|token|key|auth|sig|credential", re.IGNORECASE)


# ---------------------------------------------------------------- addresses


def is_url(source: str) -> bool:
    """Return whether this is a network stream's address, ``rtsp://...`` for instance."""
    return _SCHEME.match(source) is not None


def camera_number(source: str) -> int | None:
    """Return the number in ``0`` or ``camera:0``, or None."""
    match = _CAMERA.fullmatch(source)
    return int(match.group(1)) if match else None


def is_device(source: str) -> bool:
    """Return whether this is a device file such as ``/dev/video0``."""
    try:
        return source.startswith("/dev/") and Path(source).is_char_device()
    except (OSError, ValueError):
        return False


def public(address: str) -> str:
    """Return an address as it may be printed: without the password, and without secrets of its query.

    Example:
        >>> public("rtsp://admin:1234@10.0.0.5:554/main?token=abc&channel=1")
        'rtsp://admin:***@10.0.0.5:554/main?token=***&channel=1'
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address, for instance: then nothing of it is sure
        return f"{address.partition('://')[0]}://***"
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{':***' if colon else ''}{at}{host}"
    query = parts.query
    if _SECRET.search(query):
        pairs = parse_qsl(query, keep_blank_values=True)
        hidden = [(name, "***" if _SECRET.search(name) else value) for name, value in pairs]
        query = urlencode(hidden, safe="*", quote_via=quote)
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))


# ---------------------------------------------------------------- reading


@dataclass
class Stream:
    """What was read of a stream so far, and what it states of itself.

    Attributes:
        listed: whether the container lists its frames, so that ``stated`` is a count and no estimate.
        stated: the number of frames that the file states, or None where it states none.
        rate: stated frames a second, or None.
        read: frames read.
        estimated: whether ``stated`` is only worked out from the times of the frames that are there.
        skipped: damaged packets between frames that were read.
        patience: damaged packets in a row after which it counts as ended, if it doesn't state more frames.
        last, longest: the last frame's time, and the longest step from frame to frame, in ms.
        even: how many of the steps are as long as the stated rate makes them.
    """

    listed: bool
    stated: int | None
    rate: float | None
    estimated: bool = False
    read: int = 0
    skipped: int = 0
    patience: int = PATIENCE
    last: float = 0.0
    longest: float = 0.0
    even: int = 0

    def took(self, time: float) -> None:
        """Count a frame of this time, in ms from the start."""
        if self.read and self.rate:
            step, distance = time - self.last, 1000 / self.rate
            self.longest = max(self.longest, step)
            self.even += abs(step - distance) < 0.25 * distance
        self.last = time
        self.read += 1

    def damage(self) -> str | None:
        """Say in a few words how the video is cut or has a hole, or None where it's whole."""
        missing = 0 if self.stated is None else self.stated - self.read
        counts = f"it states {self.stated:,} frames, {self.read:,} could be read" if self.stated else ""
        if self.skipped:
            return counts or f"{self.skipped:,} damaged pieces between the frames"
        if missing <= 0 or (self.listed and missing <= TOLERATED):
            return None
        if self.listed or not (self.read and self.rate and self.stated):
            return counts
        distance = 1000 / self.rate
        if self.stated * distance - (self.last + distance) > (TOLERATED + 0.5) * distance:
            return f"{counts}, up to {self.last / 1000:.2f} s of {self.stated / self.rate:.2f} s"
        if self.longest > 1.5 * distance and self.even >= EVEN * (self.read - 1):
            return f"{counts}, with a hole of {self.longest / 1000:.2f} s"
        return None

    def doubt(self) -> str | None:
        """Say why the video can't be told to be whole, or that it's as good as whole; None where it is."""
        if self.stated is None:
            return "it states no number of frames, so nobody can tell whether it is whole"
        if self.estimated:
            return "it doesn't state where it ends, so nobody can tell whether it is whole"
        if self.read < self.stated and self.damage() is None:
            why = "some encoders count one too many" if self.listed else "its frame rate varies"
            return f"it states {self.stated:,} frames, {self.read:,} were read; {why}"
        return None


def open_file(path: str) -> tuple[cv2.VideoCapture, Stream]:
    """Open a video file; the capture isn't opened where nothing can read it.

    Raises:
        edgead.errors.ImageError: the name isn't UTF-8, which OpenCV can't take.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ImageError(f"{shown(path)}: the video's name isn't UTF-8; rename it") from None
    if (
        is_file(Path(path)) and not Path(path).stat().st_size
    ):  # one of the system's own might be read for ever
        raise ImageError(f"{shown(path)}: the file is empty (0 bytes); copy the video again")
    with _ffmpeg(OPENCV_FFMPEG_CAPTURE_OPTIONS="fflags;discardcorrupt"):  # half a frame at a cut is no frame
        capture = cv2.VideoCapture(path)
    start = _start_of(path)
    return capture, dataclasses.replace(
        _stated(capture, _lists_frames(start)), estimated=_is_mpeg_stream(start)
    )


def open_live(source: str | int) -> tuple[cv2.VideoCapture, Stream]:
    """Open a camera by number or device file, or a network stream by its address."""
    if not (isinstance(source, str) and is_url(source)):
        with _ffmpeg():
            capture = cv2.VideoCapture(source)
        return capture, Stream(listed=False, stated=None, rate=None, patience=0)
    timeouts = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS),
    ]
    with _ffmpeg():
        if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends():
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, timeouts)
        else:  # a Jetson's own OpenCV has GStreamer alone
            capture = cv2.VideoCapture(source)
    return capture, dataclasses.replace(_stated(capture, False), patience=0)


def images(capture: cv2.VideoCapture, stream: Stream) -> Iterator[Image]:
    """Yield the frames, (H, W, 3) uint8 BGR, and keep count in ``stream``; the capture is released after.

    A damaged packet ends OpenCV's reading but not the file, so after one it's tried again; of a camera and a
    network stream, the first failure is the end.
    """
    try:
        failures = 0
        while True:
            there, image = capture.read()
            if there:
                stream.took(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
                stream.skipped += failures
                failures = 0
                yield image
                continue
            failures += 1
            left = stream.stated - stream.read if stream.stated and stream.patience else 0
            if failures > max(stream.patience, left):
                return
    finally:
        capture.release()


def _stated(capture: cv2.VideoCapture, listed: bool) -> Stream:
    count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    # An unknown duration comes as a huge negative number, an unset one as 0.
    stated = int(count) if math.isfinite(count) and 0 < count < 1e9 else None
    return Stream(listed, stated, float(rate) if math.isfinite(rate) and 0 < rate < 1e5 else None)


def _start_of(path: str) -> bytes:
    try:
        with os.fdopen(os.open(path, READ), "rb") as file:  # a pipe may have taken the name
            return file.read(_START)
    except OSError:
        return b""


def _is_mpeg_stream(start: bytes) -> bool:
    """Tell by content an MPEG program stream or transport stream, of plain, Blu-ray's and DVB's packets."""
    return start.startswith(b"\0\0\1\xba") or any(
        len(places := start[first::length][:_PACKETS]) == _PACKETS and set(places) == {0x47}
        for first, length in ((0, 188), (4, 192), (0, 204))
    )


def _lists_frames(start: bytes) -> bool:
    """Tell by content whether the container has an index of its frames."""
    return start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide") or (
        start[:4] == b"RIFF" and start[8:12] == b"AVI "
    )


@contextmanager
def _ffmpeg(**options: str) -> Iterator[None]:
    """Open with FFmpeg's own words off; an option that the user has set in the environment stays."""
    options = {"OPENCV_FFMPEG_LOGLEVEL": "-8", **options}  # -8: quiet
    added = [name for name in options if name not in os.environ]
    os.environ.update({name: options[name] for name in added})
    try:
        with quiet_opencv():
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)


__all__ = [
    "Stream",
    "camera_number",
    "images",
    "is_device",
    "is_url",
    "open_file",
    "open_live",
    "public",
]
