"""How a picture is to be turned before it's shown, as its file says: EXIF's orientation, 1 to 8.

Viewers turn pictures by it and so does ``read_image``; programs that draw masks often don't. What OpenCV,
which turns the pictures, doesn't heed isn't heeded here either: a PNG's or WebP's block that begins with
JPEG's ``Exif`` and two zeros, or a WebP's that its header doesn't announce.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

BLOCK_STARTS = (b"II*\0", b"MM\0*")
"""How a PNG's block must begin: libpng passes over another, with a word on stderr."""
UPRIGHT = 1
"""The orientation of a picture that is shown as it's stored."""
_ORIENTATION = 274
_HAS_EXIF = 8
"""The bit of a WebP's header."""
_TAGS = 4096
"""Entries of a directory that are read at most."""


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF file, which is a page.

    Attributes:
        tags: number of a tag to its first value, of those that are whole numbers.
        following: offset of the next directory, which is another page; 0 where there's none.
    """

    tags: dict[int, int]
    following: int


def orientation(data: bytes) -> int:
    """Return the orientation that an image file states; 1 where it states none that is known.

    Args:
        data: a whole PNG, JPEG, TIFF or WebP file. Nothing in it can make this fail.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _of(_in_jpeg(data))
        if data.startswith(b"\x89PNG"):
            return _of(_in_png(data))
        if data.startswith(b"RIFF"):
            return _of(_in_webp(data))
        return _of(data) if data.startswith((b"II", b"MM")) else UPRIGHT
    except (struct.error, IndexError):
        return UPRIGHT


def turn(picture: NDArray[T], stated: int) -> NDArray[T]:
    """Return a stored picture (H, W, ...) as it's to be shown."""
    match stated:
        case 2:
            return picture[:, ::-1]
        case 3:
            return picture[::-1, ::-1]
        case 4:
            return picture[::-1]
        case 5:
            return picture.swapaxes(0, 1)
        case 6:
            return picture[::-1].swapaxes(0, 1)
        case 7:
            return picture[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return picture[:, ::-1].swapaxes(0, 1)
    return picture


def read_directory(data: bytes, at: int | None = None) -> Directory:
    """Read a directory of a TIFF, classic or big.

    Args:
        at: its offset; the first one's by default.

    Raises:
        struct.error, IndexError: it's cut short.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    entry, count_format, offset_format = (20, "Q", "Q") if big else (12, "H", "I")
    if at is None:
        (at,) = struct.unpack_from(order + offset_format, data, 8 if big else 4)
    if at > len(data):  # a big file's offset may be more than struct itself takes
        raise IndexError("the directory lies beyond the file's end")
    (count,) = struct.unpack_from(order + count_format, data, at)
    at += struct.calcsize(count_format)
    if at + count * entry > len(data):
        raise IndexError("the directory is cut short")
    tags: dict[int, int] = {}
    for index in range(min(count, _TAGS)):
        tag, kind = struct.unpack_from(order + "HH", data, at + index * entry)
        value = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if value:
            (tags[tag],) = struct.unpack_from(order + value, data, at + index * entry + (12 if big else 8))
    (following,) = struct.unpack_from(order + offset_format, data, at + count * entry)
    return Directory(tags, following)


def _of(block: bytes) -> int:
    stated = read_directory(block).tags.get(_ORIENTATION, UPRIGHT) if block else UPRIGHT
    return stated if 1 <= stated <= 8 else UPRIGHT


def _in_jpeg(data: bytes) -> bytes:
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _in_png(data: bytes) -> bytes:
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        block = data[at + 8 : at + 8 + length]
        if kind == b"eXIf" and block.startswith(BLOCK_STARTS):
            return block
        at += 12 + length
    return b""


def _in_webp(data: bytes) -> bytes:
    """The block, where the header says that there's one: libwebp, and so OpenCV, passes over it otherwise."""
    if data[12:16] != b"VP8X" or not data[20] & _HAS_EXIF:
        return b""
    at = 12
    while at < len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return b""


__all__ = ["BLOCK_STARTS", "UPRIGHT", "Directory", "orientation", "read_directory", "turn"]
