"""What an image file says about itself: its kind, its size before any decoding, and whether it is whole.

Decoders are lenient: a half-transferred JPEG comes back as a half-grey picture with at most a warning. In a
folder of good images that would be learned as normal, so the structure is checked here first.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from edgead.types import Size


class DamagedFile(Exception):
    """The file's structure is broken; the text says how. ``read_image`` turns it into an ImageError."""


@dataclass(frozen=True)
class Header:
    """What the file says of itself.

    Attributes:
        kind: PNG, JPEG, BMP, TIFF or WebP, by content and not by name.
        size: (height, width) as stored, before any rotation that EXIF asks for.
    """

    kind: str
    size: Size


def read_header(data: bytes) -> Header:
    """Return kind and size of a whole image file.

    Raises:
        DamagedFile: the content is of no known kind, cut short or damaged.
    """
    start = data[:16]
    for kind, magic, read in _KINDS:
        if start.startswith(magic):
            try:
                return Header(kind, read(data))
            except (struct.error, IndexError, OverflowError):  # an offset beyond the end
                raise DamagedFile(f"the {kind} file is cut short") from None
    raise DamagedFile("the content is not a PNG, JPEG, BMP, TIFF or WebP image")


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    view = memoryview(data)
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = view[at + 4 : at + 8 + length]
        (stated,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(body) != stated:
            raise DamagedFile("the PNG file is damaged (a checksum is wrong)")
        if kind == b"IEND":
            return height, width
        at += 12 + length


def _jpeg(data: bytes) -> Size:
    size: Size | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise DamagedFile("the JPEG file is damaged (no marker where one must be)")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (height, width)
        at += 2 + length
        if marker == 0xDA:  # the scan: its own 0xFF bytes are escaped, so FF D9 can only be the end
            if size is None or data.find(b"\xff\xd9", at) < 0:
                raise DamagedFile("the JPEG file is cut short (its end marker is missing)")
            return size


def _bmp(data: bytes) -> Size:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return abs(height), abs(width)  # a negative height means top row first


def _tiff(data: bytes) -> Size:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    entry, count_format, offset_format = (20, "Q", "Q") if big else (12, "H", "I")
    (at,) = struct.unpack_from(order + offset_format, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + count_format, data, at)
    at += struct.calcsize(count_format)
    tags = {}
    for i in range(min(count, 4096)):
        tag, kind = struct.unpack_from(order + "HH", data, at + i * entry)
        value_at = at + i * entry + (12 if big else 8)
        value_format = {3: "H", 4: "I", 16: "Q"}.get(kind)
        if tag in (256, 257) and value_format:
            (tags[tag],) = struct.unpack_from(order + value_format, data, value_at)
    if len(tags) < 2:
        raise DamagedFile("the TIFF file is damaged (it states no size)")
    return tags[257], tags[256]


def _webp(data: bytes) -> Size:
    length, name = struct.unpack_from("<I4s", data, 4)
    if name != b"WEBP":
        raise DamagedFile("a RIFF file, but not a WebP image")
    if len(data) < length + 8:
        raise DamagedFile("the WebP file is cut short")
    form = data[12:16]
    if form == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


_KINDS = (
    ("PNG", b"\x89PNG\r\n\x1a\n", _png),
    ("JPEG", b"\xff\xd8\xff", _jpeg),
    ("BMP", b"BM", _bmp),
    ("TIFF", b"II*\0", _tiff),
    ("TIFF", b"MM\0*", _tiff),
    ("TIFF", b"II+\0", _tiff),
    ("TIFF", b"MM\0+", _tiff),
    ("WebP", b"RIFF", _webp),
)
