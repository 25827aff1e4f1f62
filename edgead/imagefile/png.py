"""PNG: every chunk has its checksum, and the picture unpacks to as many bytes as it states.

What is packed behind the picture a decoder unpacks as well, and only grumbles: a few kB may be gigabytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from edgead.exif import BLOCK_STARTS
from edgead.imagefile.damage import DamagedFile
from edgead.types import Size

MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 200_000
"""100 megapixels of three channels in 16 bits are 75,000 of the smallest that writers make."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between them, of the seven passes of an interlaced picture."""
_ALPHA = 4
"""The bit of a colour type; such a picture needs no further transparency."""
_PART = 1 << 20
"""Bytes that are unpacked at once."""
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


def check(data: bytes) -> None:
    """Unpack the picture, a part at a time, and count."""
    wanted, found = _unpacked_bytes(data), 0
    stream, view = zlib.decompressobj(), memoryview(data)
    for kind, start, end in _chunks(data):
        packed: bytes | memoryview = view[start + 8 : end - 4] if kind == b"IDAT" else b""
        try:
            while packed and not stream.eof and found <= wanted:
                found += len(stream.decompress(packed, _PART))
                packed = stream.unconsumed_tail
        except zlib.error:
            raise DamagedFile("the PNG file is damaged (its picture doesn't unpack)") from None
        if found > wanted or stream.unused_data or (stream.eof and packed):
            raise DamagedFile("the PNG file is damaged (it holds more than its picture)")
    if not stream.eof or found < wanted:
        raise DamagedFile("the PNG file is damaged (a part of its picture is missing)")


def _unpacked_bytes(data: bytes) -> int:
    """A byte for each row's filter, and its pixels."""
    width, height, depth, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if colour_type not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise DamagedFile("the PNG file is damaged (its pixels are of no known kind)")
    bits, total = depth * _CHANNELS[colour_type], 0
    for column, row, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - column) // across), -(-(height - row) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total


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
    for _ in range(MAX_CHUNKS):
        if kind == b"IEND":
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise DamagedFile("the PNG file is cut short")
        yield kind, at, at + 12 + length
        at += 12 + length
    raise DamagedFile(f"the PNG file is damaged (it has more than {MAX_CHUNKS:,} parts)")


__all__ = ["MAGIC", "MAX_CHUNKS", "check", "essential", "read"]
