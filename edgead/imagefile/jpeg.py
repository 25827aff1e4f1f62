"""JPEG: no checksums, but a damaged scan falls out of step, and the strict decoder says so.

What can't be told is damage that leaves valid codes of the same length: one flipped bit is usually that.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from edgead.errors import MissingDependencyError
from edgead.imagefile.damage import DamagedFile
from edgead.types import Size

MAX_SCANNED = 2_000_000_000
"""Pixels times scans that are decoded: a file of a few hundred kB can ask for thousands of scans."""
MAX_SEGMENTS = 100_000
ZEROS = 32
"""A run of so many zero bytes that isn't coded picture: 85 coefficients in a row of -1 at the least."""

_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
_NO_FRAME = (_DHT, 0xC8, 0xCC)
_FILL = re.compile(rb"\xff*")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
"""What ends a scan: within one, 0xFF is escaped with a zero, or part of a restart marker."""


def read(data: bytes) -> tuple[Size, int]:
    """Return (height, width); of the pictures in one file, the others are thumbnails and gain maps."""
    size: Size | None = None
    scans = 0
    for marker, start, _ in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME and size is None:
            height, width = struct.unpack_from(">HH", data, start + 3)
            size = (height, width)
        scans += marker == _SOS
        if marker == _EOI:
            break
    if size is None or not scans:
        raise DamagedFile("the JPEG file is damaged (it holds no picture)")
    if scans > 1 and scans * size[0] * size[1] > MAX_SCANNED:  # one alone is held to the limit on pixels
        raise DamagedFile(f"the JPEG file asks for {scans} scans of {size[1]} x {size[0]} pixels")
    return size, 1


def check(data: bytes) -> None:
    """Decode strictly, at an eighth of the size: all of the codes are read, few of the pixels made."""
    _check_zeros(data)
    try:
        import simplejpeg
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "JPEG files are checked with simplejpeg, which isn't installed: pip install simplejpeg"
        ) from error
    try:
        simplejpeg.decode_jpeg(
            data, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1, strict=True
        )
    except ValueError as error:
        reason = str(error).removeprefix("Corrupt JPEG data: ").removeprefix("Warning: ")
        raise DamagedFile(f"the JPEG file is damaged ({reason})") from None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start of its length, end of it or of its scan), the end marker too."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise DamagedFile("the JPEG file is damaged (no marker where one must be)")
        at = _FILL.match(data, at).end() - 1  # type: ignore[union-attr] # it matches nothing too
        marker = data[at + 1]
        if marker == _EOI:
            yield marker, at + 2, at + 2
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if marker == _SOS:
            found = _MARKER.search(data, end)
            if found is None:
                raise DamagedFile("the JPEG file is cut short (its end marker is missing)")
            end = found.start()
        yield marker, at + 2, end
        at = end
    raise DamagedFile("the JPEG file is damaged (it has no end of segments)")


def _check_zeros(data: bytes) -> None:
    """Find zeroed blocks, as a broken transfer or disk leaves them: they decode as a grey pattern, and happen
    to end in step now and then.

    A Huffman table's first code is all zeros. Where that isn't the end of a block in a scan's table of AC
    coefficients, no block of that component is coded in so many zeros, and those of the others that lie
    between two such blocks are too few.
    """
    first_symbols: dict[int, int] = {}
    for marker, start, end in _segments(data):
        if marker == _DHT:
            first_symbols.update(_first_symbols(data[start + 2 : end]))
        if marker != _SOS or data.find(bytes(ZEROS), start, end) < 0:
            continue
        n = data[start + 2]
        tables = [data[start + 4 + 2 * i] & 15 for i in range(n)]
        last, step = data[start + 4 + 2 * n], data[start + 5 + 2 * n]
        # A progressive file's scans of DC alone, and those that refine, hold bits that may well be zeros.
        if last > 0 and not step >> 4 and any(first_symbols.get(table, 0) for table in tables):
            raise DamagedFile(f"the JPEG file is damaged ({ZEROS} zero bytes or more inside the picture)")


def _first_symbols(tables: bytes) -> dict[int, int]:
    """Return the symbol of each AC table's first code, by the table's number; 0 is the end of a block."""
    found, at = {}, 0
    while at < len(tables):
        n = sum(tables[at + 1 : at + 17])
        if tables[at] >> 4 and n:
            found[tables[at] & 15] = tables[at + 17]
        at += 17 + n
    return found


__all__ = ["MAX_SCANNED", "check", "read"]
