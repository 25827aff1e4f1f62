"""Image files of kinds that OpenCV doesn't write, byte by byte."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np


def exif(orientation: int) -> bytes:
    """The orientation as a TIFF directory of its own."""
    entry = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def png(
    rows: np.ndarray,
    colour_type: int = 0,
    depth: int = 8,
    palette: bytes = b"",
    transparent: bytes = b"",
    orientation: int | None = None,
) -> bytes:
    """A PNG of (H, W) or (H, W, C) values; of depth 1, values are 0 and 1."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = rows.shape[:2]
    lines = np.packbits(rows, axis=1) if depth == 1 else rows.astype(">u2" if depth == 16 else np.uint8)
    packed = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)),
        *((chunk(b"PLTE", palette),) if palette else ()),
        *((chunk(b"tRNS", transparent),) if transparent else ()),
        *((chunk(b"eXIf", exif(orientation)),) if orientation else ()),
        chunk(b"IDAT", packed),
        chunk(b"IEND", b""),
    ))  # fmt: skip


def tiff(values: np.ndarray, orientation: int = 1, photometric: int = 1) -> bytes:
    """An uncompressed grey TIFF, 8 or 16 bits; photometric 0 says that 0 is white."""
    height, width = values.shape
    bits = 8 * values.dtype.itemsize
    tags = ((256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0),
            (274, orientation), (277, 1), (278, height), (279, values.nbytes))  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags)
    body = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + body


def turned_jpeg(data: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF orientation."""
    block = b"Exif\0\0" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def webp(pixels: np.ndarray, block: bytes, announced: bool = True, frames: int = 0) -> bytes:
    """A WebP without loss, with a block of EXIF that its header announces or doesn't; or an animation."""
    ok, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert ok
    image, (height, width) = data.tobytes()[12:], pixels.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    flags = (8 if announced else 0) | (2 if frames else 0)
    parts = b"VP8X" + struct.pack("<II", 10, flags) + size
    if frames:
        frame = bytes(6) + size + bytes(4) + image
        parts += b"ANIM" + struct.pack("<I", 6) + bytes(6)
        parts += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    else:
        parts += image
    body = b"WEBP" + parts + b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body
