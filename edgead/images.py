"""Images from files. Camera frames are in ``bgr.py``, folders in ``folders.py``, the rule in ``resize.py``.

Fitting, calibration, evaluation and the camera all pass through here, so that what is learned and what is
judged have seen the same arithmetic.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bgr import MIN_IMAGE_SIDE, as_bgr
from edgead.depth import DepthUse, to_8_bits
from edgead.errors import ImageError, OptionError
from edgead.files import read_plain
from edgead.folders import SUFFIXES, list_images
from edgead.imagefile import DamagedFile, Header, check_content, essential, read_header
from edgead.resize import PAD, ResizeRule, choose_resize
from edgead.types import Image, Size

MAX_PIXELS = 100_000_000
"""Largest image file that is decoded, in pixels; checked before decoding."""
MAX_BYTES = 1 << 30
"""Largest image file that is read, in bytes."""
_TOLD = 5


# ---------------------------------------------------------------- files


def read_image(path: Path, depth: int | None = None, use: DepthUse | None = None) -> Image:
    """Read an image file as (H, W, 3) uint8 BGR.

    The kind is told by content, not by name. Mono is repeated to three channels, 16 bits become 8 by the
    rule of ``as_bgr``, CMYK is converted and an alpha channel dropped (a TIFF's is multiplied in). The EXIF
    orientation is applied, so that the picture is the one that a viewer shows; a camera's frame has none.

    Args:
        depth: significant bits of a 16-bit file, 9 to 16; 16 if not given. Other files take no heed of it.
        use: is shown the pixels as they were in the file, mono or colour.

    Raises:
        ImageError: not a whole, readable image of MIN_IMAGE_SIDE pixels a side to MAX_PIXELS in all, several
            images in one file, or values over the stated depth.
        OptionError: the depth is out of range.
        MissingDependencyError: a JPEG, and simplejpeg isn't installed.
    """
    pixels = read_pixels(path)
    if use is not None:
        use.see(pixels, path)
    return as_8_bits(path, pixels, depth)


def as_8_bits(path: Path, pixels: NDArray[Any], depth: int | None) -> Image:
    """Return what ``read_pixels`` read with 8 bits a channel; raises as ``read_image``."""
    check_depth(depth)
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    depth = depth or 16
    if (largest := int(pixels.max())) >= 1 << depth:
        raise ImageError(f"{path}: holds {largest}, over {depth} bits; give the images' true depth")
    return np.asarray(to_8_bits(depth)[pixels], np.uint8)


def read_pixels(path: Path) -> NDArray[Any]:
    """Read an image file as (H, W, 3) uint8 or uint16 BGR, with all of its bits; raises as ``read_image``."""
    path = Path(path)
    return _decoded(path, _read_bytes(path))


def decode_image(data: bytes, path: Path, size: Size | None = None) -> Image:
    """Return an image file's content as (H, W, 3) uint8 BGR, 16 bits as 8.

    Args:
        path: what it's called in messages.
        size: the (height, width) that it must have, looked at before decoding.

    Raises:
        ImageError: as ``read_image``.
    """
    image = as_8_bits(path, _decoded(path, data, size), None)
    if size is not None and image.shape[:2] != tuple(size):  # the file says that it's to be turned
        raise _of_another_size(path, image.shape[:2])
    return image


def _of_another_size(path: Path, size: Sequence[int]) -> ImageError:
    return ImageError(f"{path}: has {size[0]} x {size[1]} pixels, not the model's size; replace the file")


def _decoded(path: Path, data: bytes, size: Size | None = None) -> NDArray[Any]:
    try:
        header = read_header(data)
        if size is not None and header.size != tuple(size):
            raise _of_another_size(path, header.size)
        _check_size(path, header)
        check_content(header.kind, data)
    except DamagedFile as problem:
        advice = problem.advice or "replace or remove the file"
        raise ImageError(f"{path}: {problem}; {advice}") from None
    with quiet_opencv():
        try:
            encoded = np.frombuffer(essential(header.kind, data), np.uint8)
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error:
            image = None
    if image is None or sorted(image.shape[:2]) != sorted(header.size):
        raise ImageError(f"{path}: the {header.kind} image can't be decoded; replace or remove the file")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: pixels are {image.dtype}; save the image with 8 or 16 bits a channel")
    return np.ascontiguousarray(image)


def check_images(paths: Sequence[Path], depth: int | None = None) -> dict[Path, str]:
    """Read every image, and return those that can't be used with the reason, a line each that names the file.

    See ``unusable`` for one error that tells of them all.
    """
    problems = {}
    for path in paths:
        try:
            read_image(path, depth)
        except ImageError as error:
            problems[path] = str(error)
    return problems


def unusable(problems: Mapping[Path, str], total: int) -> ImageError:
    """One error for all the images that can't be used, of ``total``; the first few are named."""
    first, *_ = problems.values()
    if len(problems) == 1:
        return ImageError(first)
    told = "; ".join(text.partition("; ")[0] for text in list(problems.values())[:_TOLD])
    more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
    return ImageError(
        f"{len(problems)} of {total} images can't be used, replace or remove them: {told}{more}"
    )


def check_depth(depth: int | None) -> None:
    """Raise OptionError for what isn't the significant bits of 16-bit images."""
    if depth is not None and not 9 <= depth <= 16:
        raise OptionError(f"depth {depth} is out of range; give the significant bits, 9 to 16")


def _check_size(path: Path, header: Header) -> None:
    height, width = header.size
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{path}: {width} x {height} pixels is over the limit of {MAX_PIXELS // 10**6} megapixels; "
            "crop or shrink the image"
        )
    if min(height, width) < MIN_IMAGE_SIDE:
        raise ImageError(
            f"{path}: {width} x {height} pixels is too small; {MIN_IMAGE_SIDE} a side is the least"
        )
    if header.pages > 1:
        raise ImageError(
            f"{path}: {header.pages} images in one {header.kind} file, of which only the first would be "
            "seen; save each as a file of its own"
        )


def _read_bytes(path: Path) -> bytes:
    # Opened by Python: OpenCV's own file opening fails on non-ASCII and long paths on some systems.
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise ImageError(f"{path}: not a regular file; give an image file")
        if not status.st_size:  # reading one of the system's own may wait for ever too
            raise ImageError(f"{path}: the file is empty (0 bytes); replace or remove it")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {status.st_size} bytes is over the limit of {MAX_BYTES}")
        data = read_plain(path, MAX_BYTES)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: can't be read ({reason}); check the path and rights") from None
    return data


_quiet = threading.Lock()
_asked = 0
_before = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing its own warnings to stderr; what went wrong is said in our words."""
    # Its own log; what libjpeg prints about damage inside a picture can't be turned off from here. OpenCV 5
    # keeps the two functions in another module than 4.9. There's one level for all threads: the first turns
    # it down, and the last one back.
    global _asked, _before
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    with _quiet:
        if not _asked:
            _before = log.getLogLevel()
            log.setLogLevel(0)  # silent
        _asked += 1
    try:
        yield
    finally:
        with _quiet:
            _asked -= 1
            if not _asked:
                log.setLogLevel(_before)


__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_IMAGE_SIDE",
    "PAD",
    "SUFFIXES",
    "ResizeRule",
    "as_8_bits",
    "as_bgr",
    "check_depth",
    "check_images",
    "choose_resize",
    "decode_image",
    "list_images",
    "quiet_opencv",
    "read_image",
    "read_pixels",
    "unusable",
]
