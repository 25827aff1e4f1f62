"""TIFF: its directories of tags, and whether what they point to unpacks to as many bytes as they state.

libtiff, as OpenCV asks it, fills a strip that can't be unpacked with whatever it has, and says nothing. Of
what it has no decoder for it makes black, and of some kinds of pixels nonsense: only those are let through
that were found to come out as TIFF 6.0 has them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from math import ceil

from edgead.imagefile import jpeg, lzw
from edgead.imagefile.damage import DamagedFile
from edgead.types import Size

MAX_PAGES = 4096
MAX_TAGS = 4096
MAX_VALUES = 1 << 20
"""Values of one tag, so strips or tiles of one picture."""
MAX_PIXEL_BITS = 256
MAX_UNPACKED = 1 << 33
"""Bytes that a picture's parts are unpacked to; tiles may reach beyond its edges."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _FORMAT, _JPEG_TABLES = 322, 323, 324, 325, 339, 347
_READ = {
    _SUBFILE, _WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC, _STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR,
    _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _FORMAT, _JPEG_TABLES,
}  # fmt: skip
_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
_REDUCED, _MASK = 1, 4
_UNPACKED, _LZW, _JPEG, _PACKBITS, _YCBCR = 1, 5, 7, 32773, 6
_DEFLATE = (8, 32946)
_NAMES = {
    2: "CCITT", 3: "CCITT fax", 4: "CCITT fax", 6: "old JPEG", 32771: "CCITT", 32809: "ThunderScan",
    32908: "PixarFilm", 32909: "PixarLog", 33003: "JPEG 2000", 34676: "SGI Log", 34677: "SGI Log",
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA", 50000: "Zstandard",
    50001: "WebP", 52546: "JPEG XL",
}  # fmt: skip
_CHUNKY, _PLANES = 1, 2
_DEEP = frozenset({10, 12, 14, 16})
_KINDS: Mapping[tuple[int, int, int], frozenset[int]] = {
    (0, 1, _CHUNKY): frozenset({1, 8}),
    (0, 2, _CHUNKY): frozenset({8}),
    (1, 1, _CHUNKY): frozenset({1, 8}) | _DEEP,
    (1, 2, _CHUNKY): frozenset({8}),
    (1, 2, _PLANES): frozenset({8}),
    **{(2, samples, _CHUNKY): frozenset({8}) | _DEEP for samples in (3, 4)},
    **{(2, samples, _PLANES): frozenset({8}) for samples in (3, 4)},
    (3, 1, _CHUNKY): frozenset({1, 4, 8}),
    (5, 4, _CHUNKY): frozenset({8}),
    (5, 4, _PLANES): frozenset({8}),
}
"""Bits a sample of unsigned numbers that come out right, by PhotometricInterpretation, samples a pixel and
PlanarConfiguration."""
_MASK_BITS = {1: {32, 64}, 2: {8, 16, 32, 64}, 3: {32, 64}}
"""Bits of long, signed and floating-point numbers by SampleFormat: a mask may hold them."""

Tags = Mapping[int, tuple[int, ...]]


def read(data: bytes) -> tuple[Size, int]:
    """Return the first page's (height, width) and the number of pages; previews and masks don't count."""
    first, *others = _directories(data)
    _refuse_negative(first)
    _refuse_unreadable(first)
    pages = [tags for tags in others if not tags.get(_SUBFILE, (0,))[0] & (_REDUCED | _MASK)]
    return _size(first), 1 + len(pages)


def check(data: bytes) -> None:
    """Unpack each strip or tile of the first page."""
    tags = next(_directories(data))
    packing = tags.get(_PACKING, (1,))[0]
    unpacked = {_LZW: lzw.unpacked_bytes, _PACKBITS: _packbits, **dict.fromkeys(_DEFLATE, _inflated)}
    count = unpacked.get(packing)
    for start, size, rows, row_bytes in _parts(tags, len(data)):
        if start + size > len(data):
            raise DamagedFile("the TIFF file is cut short")
        if packing == _JPEG:
            _check_jpeg(tags, data[start : start + size])
        if count is None:
            continue
        found = count(data[start : start + size], rows * row_bytes)
        # The last strip may be padded with whole rows.
        if found is None or found < rows * row_bytes or found % row_bytes:
            raise DamagedFile("the TIFF file is damaged (a part of the picture doesn't unpack)")


def _refuse_negative(tags: Tags) -> None:
    """Where 0 is white, OpenCV turns pictures of 1 and 8 bits alone: others would be negatives."""
    bits, photometric = tags.get(_BITS, (1,))[0], tags.get(_PHOTOMETRIC, (1,))[0]
    signed = tags.get(_FORMAT, (1,))[0] != 1
    if photometric == 0 and (bits > 8 or signed):
        raise DamagedFile(
            f"the TIFF file's 0 is white (PhotometricInterpretation 0) at {bits} bits, so it would be read "
            "as a negative",
            "save it with 0 as black",
        )


def _refuse_unreadable(tags: Tags) -> None:
    packing = tags.get(_PACKING, (_UNPACKED,))[0]
    if packing not in (_UNPACKED, _LZW, _JPEG, _PACKBITS, *_DEFLATE):
        name = f", {_NAMES[packing]}" if packing in _NAMES else ""
        raise DamagedFile(
            f"the TIFF file is compressed in a way that isn't read (Compression {packing}{name})",
            "save it uncompressed, or with LZW or Deflate",
        )
    bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
    photometric, samples = tags.get(_PHOTOMETRIC, (None,))[0], tags.get(_SAMPLES, (1,))[0]
    planar = tags.get(_PLANAR, (_CHUNKY,))[0] if samples > 1 else _CHUNKY
    if photometric is None or len(bits) > 1 or len(formats) > 1:
        is_read = False
    elif packing == _JPEG:
        of_jpeg = (photometric, samples) in {(1, 1), (2, 3), (_YCBCR, 3)}
        is_read = of_jpeg and bits == {8} and formats == {1} and planar == _CHUNKY
    elif formats == {1} and bits <= _KINDS.get((photometric, samples, planar), set()):
        is_read = True
    else:
        is_plain = planar == _CHUNKY and (photometric, samples) in {(1, 1), (2, 3), (2, 4)}
        is_read = is_plain and bits <= _MASK_BITS.get(min(formats), set())
    if not is_read:
        told = " and ".join(map(str, sorted(bits)))
        raise DamagedFile(
            f"the TIFF file's pixels are of a kind that isn't read ({samples} samples of {told} bits, "
            f"PhotometricInterpretation {photometric}, PlanarConfiguration {planar}, SampleFormat "
            f"{min(formats)})",
            "save it as grey or RGB with 8 or 16 bits a channel",
        )


def _directories(data: bytes) -> Iterator[Tags]:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = order + ("Q" if big else "I")
    (at,) = struct.unpack_from(offset, data, 8 if big else 4)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) >= MAX_PAGES:
            raise DamagedFile("the TIFF file is damaged (its pages go in a circle)")
        seen.add(at)
        tags, end = _directory(data, at, order, big)
        yield tags
        (at,) = struct.unpack_from(offset, data, end)
    if not seen:
        raise DamagedFile("the TIFF file is damaged (it holds no picture)")


def _directory(data: bytes, at: int, order: str, big: bool) -> tuple[Tags, int]:
    """Return the tags that are used here, and where the directory ends."""
    entry, inline, count_format = (20, 8, "Q") if big else (12, 4, "H")
    (count,) = struct.unpack_from(order + count_format, data, at)
    if count > MAX_TAGS:
        raise DamagedFile("the TIFF file is damaged (a directory states more tags than there are)")
    start = at + struct.calcsize(count_format)
    tags: dict[int, tuple[int, ...]] = {}
    for i in range(start, start + count * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", data, i)
        if tag not in _READ:
            continue
        if tag in tags:  # a decoder may take the other one
            raise DamagedFile("the TIFF file is damaged (a tag is given twice)")
        (n,) = struct.unpack_from(order + ("Q" if big else "I"), data, i + 4)
        if kind not in _NUMBERS or not 1 <= n <= MAX_VALUES:
            raise DamagedFile("the TIFF file is damaged (a tag isn't what it must be)")
        where = i + entry - inline
        if n * struct.calcsize(_NUMBERS[kind]) > inline:
            (where,) = struct.unpack_from(order + ("Q" if big else "I"), data, where)
        if where + n > len(data):
            raise DamagedFile("the TIFF file is cut short")
        tags[tag] = struct.unpack_from(f"{order}{n}{_NUMBERS[kind]}", data, where)
    return tags, start + count * entry


def _size(tags: Tags) -> Size:
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise DamagedFile("the TIFF file is damaged (it states no size)")
    return tags[_HEIGHT][0], tags[_WIDTH][0]


def _parts(tags: Tags, total: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (offset, packed bytes, rows, bytes of a row) of each strip or tile; bytes 1 where unknown.

    Args:
        total: bytes of the file.
    """
    height, width = _size(tags)
    samples, bits = tags.get(_SAMPLES, (1,))[0], tags.get(_BITS, (1,))[0]
    planes = samples if tags.get(_PLANAR, (1,))[0] == 2 else 1
    if tiled := _TILES in tags:
        starts, sizes = tags[_TILES], tags.get(_TILE_BYTES, ())
        part_width, part_rows = tags.get(_TILE_WIDTH, (0,))[0], tags.get(_TILE_HEIGHT, (0,))[0]
        expected = ceil(width / max(1, part_width)) * ceil(height / max(1, part_rows)) * planes
    else:
        starts, sizes = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
        part_width, part_rows = width, min(height, tags.get(_ROWS, (height,))[0])
        expected = ceil(height / max(1, part_rows)) * planes
    if not part_width or not part_rows or len(starts) < expected or len(sizes) != len(starts):
        raise DamagedFile("the TIFF file is damaged (parts of the picture are missing)")
    if samples * bits > MAX_PIXEL_BITS:
        raise DamagedFile(f"the TIFF file states {samples * bits} bits a pixel")
    row_bytes = ceil(part_width * bits * (samples // planes) / 8)
    if tags.get(_PHOTOMETRIC, (1,))[0] == _YCBCR:  # with fewer samples of colour
        row_bytes = 1
    if sum(sizes[:expected]) > 16 * total:
        raise DamagedFile("the TIFF file is damaged (its parts lie over each other)")
    if expected * part_rows * row_bytes > MAX_UNPACKED:
        raise DamagedFile("the TIFF file is damaged (its parts are larger than the picture)")
    strips = expected // planes
    for index in range(expected):
        last = not tiled and index % strips == strips - 1
        rows = height - part_rows * (strips - 1) if last else part_rows
        yield starts[index], sizes[index], rows, row_bytes


def _check_jpeg(tags: Tags, part: bytes) -> None:
    """Check a part as a JPEG file of its own: the tables that all parts share go before it."""
    tables = bytes(tags.get(_JPEG_TABLES, ()))
    picture = tables[:-2] + part[2:] if tables else part
    (height, width), _ = jpeg.read(picture)
    whole_height, whole_width = _size(tags)
    if height * width > whole_height * whole_width + MAX_VALUES:
        raise DamagedFile("the TIFF file is damaged (a part of the picture is larger than the whole)")
    jpeg.check(picture)


def _inflated(packed: bytes, wanted: int) -> int | None:
    stream, found = zlib.decompressobj(), 0
    try:
        while not stream.eof and found <= 2 * wanted:
            some = len(stream.decompress(packed, 1 << 20))
            if not some and not stream.unconsumed_tail:
                break
            packed, found = stream.unconsumed_tail, found + some
    except zlib.error:
        return None
    return found if stream.eof else None  # at its end is the checksum


def _packbits(packed: bytes, wanted: int) -> int | None:
    at = found = 0
    while at < len(packed) and found < wanted:
        head = packed[at]
        if head < 128:
            at, found = at + head + 2, found + head + 1
        else:
            at, found = (at + 2, found + 257 - head) if head > 128 else (at + 1, found)
    return found if at <= len(packed) else None


__all__ = ["check", "read"]
