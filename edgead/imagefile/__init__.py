"""What an image file says about itself: its kind, its size before any decoding, its pages, and whether it is
whole.

Decoders are lenient: a half-transferred JPEG comes back as a half-grey picture with at most a warning. In a
folder of good images that would be learned as normal, so a file is checked here first, as far as its kind
allows: a PNG has checksums, a JPEG and a compressed TIFF fall out of step where they're damaged. Pixels that
are stored as they are (BMP, an uncompressed TIFF) and WebP's have nothing to tell damage by.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edgead.imagefile import jpeg, png, tiff
from edgead.imagefile.damage import DamagedFile
from edgead.types import Size

T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """What the file says of itself.

    Attributes:
        kind: PNG, JPEG, BMP, TIFF or WebP, by content and not by name.
        size: (height, width) as stored, before any rotation that EXIF asks for.
        pages: pictures in the file: a TIFF's pages, an animation's frames.
    """

    kind: str
    size: Size
    pages: int = 1


def read_header(data: bytes) -> Header:
    """Return what a whole image file says of itself. Nothing is decoded.

    Raises:
        DamagedFile: the content is of no known kind, cut short or damaged.
    """
    start = data[:16]
    for kind, magic, read in _KINDS:
        if start.startswith(magic):
            return Header(kind, *_whole(kind, read, data))
    raise DamagedFile("the content is not a PNG, JPEG, BMP, TIFF or WebP image")


def check_content(kind: str, data: bytes) -> None:
    """Check what's inside a file that ``read_header`` read, and whose size is within limits.

    Raises:
        DamagedFile: a decoder would have to guess at a part of the picture.
        edgead.errors.MissingDependencyError: a JPEG, and simplejpeg isn't installed.
    """
    check = {"JPEG": jpeg.check, "PNG": png.check, "TIFF": tiff.check}.get(kind)
    if check is not None:
        _whole(kind, check, data)


def essential(kind: str, data: bytes) -> bytes:
    """Return the file without what no pixel depends on, and what a decoder only complains about."""
    return png.essential(data) if kind == "PNG" else data


def _whole(kind: str, read: Callable[[bytes], T], data: bytes) -> T:
    try:
        return read(data)
    except (struct.error, IndexError, OverflowError):  # an offset beyond the end
        raise DamagedFile(f"the {kind} file is cut short") from None


def _bmp(data: bytes) -> tuple[Size, int]:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return (abs(height), abs(width)), 1  # a negative height means top row first


def _webp(data: bytes) -> tuple[Size, int]:
    length, name = struct.unpack_from("<I4s", data, 4)
    if name != b"WEBP":
        raise DamagedFile("a RIFF file, but not a WebP image")
    if len(data) < length + 8:
        raise DamagedFile("the WebP file is cut short")
    form = data[12:16]
    if form == b"VP8X":
        height, width = int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
        return (height, width), max(1, _animation_frames(data))
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1), 1
    width, height = struct.unpack_from("<HH", data, 26)
    return (height & 0x3FFF, width & 0x3FFF), 1


def _animation_frames(data: bytes) -> int:
    frames, at = 0, 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        frames += name == b"ANMF"
        at += 8 + length + length % 2
    return frames


_KINDS: tuple[tuple[str, bytes, Callable[[bytes], tuple[Size, int]]], ...] = (
    ("PNG", png.MAGIC, png.read),
    ("JPEG", b"\xff\xd8\xff", jpeg.read),
    ("BMP", b"BM", _bmp),
    ("TIFF", b"II*\0", tiff.read),
    ("TIFF", b"MM\0*", tiff.read),
    ("TIFF", b"II+\0", tiff.read),
    ("TIFF", b"MM\0+", tiff.read),
    ("WebP", b"RIFF", _webp),
)

__all__ = ["DamagedFile", "Header", "check_content", "essential", "read_header"]
