"""PNG: every chunk has its checksum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from edgead.exif import BLOCK_STARTS
from edgead.imagefile.damage import DamagedFile
from edgead.types import Size

MAGIC = b"\x89PNG\r\n\x1a\n"
_ALPHA = 4
"""The bit of a colour type; such a picture needs no further transparency."""
_KEPT = (b"tRNS", b"eXIf")
"""Of what a decoder may leave out: transparency, and how the picture is turned."""


def read(data: bytes) -> tuple[Size, int]:
    """Return (height, width) and the frames of an animation."""
    width, height = struct.unpack_from(">II", data, 16)
    frames = 1
    view = memoryview(data)
    for kind, start, end in _chunks(data):
        (stated,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[start + 4 : end - 4]) != stated:
            raise DamagedFile("the PNG file is damaged (a checksum is wrong)")
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, start + 8)
    return (height, width), max(1, frames)


def essential(data: bytes) -> bytes:
    """Return the file without colour profiles, texts and the like, at which libpng grumbles on stderr."""
    kept = [
        (start, end)
        for kind, start, end in _chunks(data)
        if kind[:1].isupper() or (kind in _KEPT and not _is_void(kind, data[start + 8 : end], data[25]))
    ]
    return MAGIC + b"".join(data[start:end] for start, end in kept)


def _is_void(kind: bytes, body: bytes, colour_type: int) -> bool:
    """Whether libpng passes over the chunk, with a word on stderr."""
    if kind == b"eXIf":
        return not body.startswith(BLOCK_STARTS)
    return colour_type & _ALPHA != 0


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of each chunk, the last one too."""
    at, kind = len(MAGIC), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise DamagedFile("the PNG file is cut short")
        yield kind, at, at + 12 + length
        at += 12 + length


__all__ = ["MAGIC", "essential", "read"]
