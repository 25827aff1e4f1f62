"""One mask file as what it marks, at its own depth and type.

``read_image`` is for pictures: it brings everything to 8 bits, and a 1 in 16 bits is then black. Here nothing
is scaled. A pixel is marked where any of its channels isn't 0, but for three kinds of file:

- A lossy one (JPEG, lossy WebP, TIFF with either inside) blurs marks and leaves faint traces around them: in
  it a pixel is marked from half of the file's brightest value on.
- One with an alpha channel that isn't the same everywhere marks what is coloured and visible; where all of it
  has one colour, or nothing coloured is visible, the alpha channel is the mask.
- One with a palette whose colours tell nothing apart, all of them black for instance, marks what isn't of the
  palette's first entry.
"""

from __future__ import annotations

import stat
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead import exif
from edgead.errors import ImageError
from edgead.files import read_plain
from edgead.imagefile import DamagedFile, check_content, essential, read_header
from edgead.images import MAX_BYTES, MAX_PIXELS, quiet_opencv
from edgead.names import shown

_COMPRESSION = 259
_LOSSY_TIFF = (6, 7, 34892, 50001)
"""JPEG of both ages, lossy JPEG in DNG, WebP."""
_GREYS, _FAINT = 32, 0.25
"""So many values, and such a share of the marked pixels under half of the highest, look like a lossy file's
traces or a soft brush."""

_CHROMA = 32
"""By so much equal channels may differ after a lossy file."""


@dataclass(frozen=True)
class MaskFile:
    """What a mask file marks.

    Attributes:
        path: the file.
        marked: (H, W) bool, turned as the file says it's to be shown.
        orientation: what it says, 1 to 8.
        remarks: ``lossy``, ``alpha``, ``palette``: read by that rule. ``grey``: many faint values, all of
            them marked.
        is_coloured: whether its channels differ, by more than what a lossy file makes of equal ones.
    """

    path: Path
    marked: NDArray[np.bool_]
    orientation: int
    remarks: frozenset[str]
    is_coloured: bool = False


def read_mask_file(path: Path) -> MaskFile:
    """Read a mask.

    Raises:
        ImageError: not a whole, readable image within the limits of size, several pages, or values that
            aren't numbers.
    """
    path = Path(path)
    data = bytes_of(path)
    try:
        header = read_header(data)
    except DamagedFile as problem:
        advice = problem.advice or "replace or remove the mask"
        raise ImageError(f"{shown(path)}: {problem}; {advice}") from None
    height, width = header.size
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{shown(path)}: a mask of {width} x {height} pixels is over the limit of "
            f"{MAX_PIXELS // 10**6} megapixels; shrink it with its image"
        )
    if header.pages > 1:  # of which only the first would be read
        raise ImageError(
            f"{shown(path)}: a mask of several pages ({header.pages}); save each as a file of its own, in a "
            "folder with its image's name"
        )
    try:
        check_content(header.kind, data)
    except DamagedFile as problem:
        advice = problem.advice or "replace or remove the mask"
        raise ImageError(f"{shown(path)}: {problem}; {advice}") from None
    pixels = _decode(essential(header.kind, data))
    if pixels is None:
        raise ImageError(
            f"{shown(path)}: the {header.kind} mask can't be decoded; save it as PNG, 0 where it's good"
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ImageError(
            f"{shown(path)}: the mask holds values that aren't finite numbers; save 0 where the part is good"
        )
    lossy = _is_lossy(header.kind, data)
    marked, remarks = _marks(pixels, lossy, data)
    stated = exif.orientation(data)
    if header.kind != "TIFF":  # which OpenCV turns itself
        marked = np.ascontiguousarray(exif.turn(marked, stated))
    return MaskFile(path, marked, stated, remarks, _is_coloured(pixels, lossy))


def _marks(pixels: NDArray[Any], lossy: bool, data: bytes) -> tuple[NDArray[np.bool_], frozenset[str]]:
    remarks = {"lossy"} if lossy else set()
    colours = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    level = colours.max(axis=2)
    top = level.max()
    coloured = level >= max(top / 2, 1) if lossy else (colours != 0).any(axis=2)
    if not lossy and level.dtype == np.uint8:
        counts = np.bincount(level.ravel(), minlength=256)
        faint = counts[1 : (int(top) + 1) // 2].sum()
        if (counts > 0).sum() >= _GREYS and faint > _FAINT * counts[1:].sum():
            remarks.add("grey")
    marked = coloured
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[..., 3] != pixels[0, 0, 3]).any():
        visible = pixels[..., 3] != 0
        marked = coloured & visible
        if (colours == colours[0, 0]).all() or not marked.any():
            marked = visible
            remarks.add("alpha")
    elif data.startswith(b"\x89PNG") and data[25] == 3 and (marked.all() or not marked.any()):
        indices = _decode(_without_colours(essential("PNG", data)))
        if indices is not None and (indices != indices.flat[0]).any():
            marked = (indices if indices.ndim == 2 else indices[..., 0]) != 0
            remarks.add("palette")
    return np.asarray(marked, bool), frozenset(remarks)


def _is_coloured(pixels: NDArray[Any], lossy: bool) -> bool:
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return False
    blue, green, red = (pixels[..., channel].astype(np.float64) for channel in range(3))
    apart = max(float(np.abs(blue - green).max()), float(np.abs(green - red).max()))
    return apart > (_CHROMA if lossy else 0)


def _decode(data: bytes) -> NDArray[Any] | None:
    with quiet_opencv():
        try:
            pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    return pixels


def _is_lossy(kind: str, data: bytes) -> bool:
    if kind == "WebP":
        return b"VP8 " in data[12:16] or (data[12:16] == b"VP8X" and b"VP8L" not in _chunks(data))
    if kind == "TIFF":
        with suppress(struct.error, IndexError):  # a decoder may read what this doesn't
            return exif.read_directory(data).tags.get(_COMPRESSION) in _LOSSY_TIFF
        return False
    return kind == "JPEG"


def _chunks(data: bytes) -> set[bytes]:
    found, at = set(), 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        found.add(kind)
        at += 8 + length + length % 2
    return found


def _without_colours(data: bytes) -> bytes:
    """Return a PNG whose palette's entry n is the grey n, so that decoding it yields the entries' numbers."""
    parts, at = [data[:8]], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"PLTE":
            body = bytes(index for index in range(length // 3) for _ in range(3))
        if kind != b"tRNS":
            parts.append(struct.pack(">I", len(body)) + kind + body)
            parts.append(struct.pack(">I", zlib.crc32(kind + body)))
        at += 12 + length
    return b"".join(parts)


def bytes_of(path: Path) -> bytes:
    """Return what an image or mask file holds.

    Raises:
        ImageError: it's no regular file, empty, over ``MAX_BYTES``, or can't be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{shown(path)}: not a regular file; give an image file")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"{shown(path)}: {status.st_size} bytes is over the limit of {MAX_BYTES}")
        data = read_plain(path, MAX_BYTES)
    except OSError as error:
        raise ImageError(
            f"{shown(path)}: can't be read ({error.strerror}); check the path and rights"
        ) from None
    if not data:
        raise ImageError(f"{shown(path)}: the file is empty (0 bytes); replace or remove it")
    return data


__all__ = ["MaskFile", "bytes_of", "read_mask_file"]
