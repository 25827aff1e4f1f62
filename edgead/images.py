"""Frames and folders of images: reading files and taking camera frames. The resize rule is in ``resize.py``.

Fitting, calibration, evaluation and the camera all pass through here, so that what is learned and what is
judged have seen the same arithmetic.
"""

from __future__ import annotations

import functools
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError, FrameError, ImageError
from edgead.imagefile import DamagedFile, read_header
from edgead.resize import PAD, ResizeRule, choose_resize
from edgead.types import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MIN_SIDE = 8
"""Shortest side in pixels of an image or frame that can be judged."""
MAX_PIXELS = 100_000_000
"""Largest image file that is decoded, in pixels; checked before decoding."""
MAX_BYTES = 1 << 30
"""Largest image file that is read, in bytes."""


# ---------------------------------------------------------------- files


def list_images(folder: Path) -> list[Path]:
    """Return the images directly in ``folder``, sorted by name; hidden files and subfolders are left out.

    Raises:
        DatasetError: the folder doesn't exist, can't be read or holds no image.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
        images = [p for p in entries if _is_image_name(p.name) and not p.is_dir()]
        if images:
            return images
        inside = next((p.name for p in entries if p.is_dir() and _holds_images(p)), None)
    except FileNotFoundError:
        raise DatasetError(f"{folder}: no such folder; give the folder that holds the images") from None
    except NotADirectoryError:
        raise DatasetError(f"{folder}: a file, not a folder; give the folder that holds the images") from None
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read ({error.strerror}); check the path and rights") from None
    hint = f"its subfolder '{inside}' has some, give that" if inside else f"known are {' '.join(SUFFIXES)}"
    raise DatasetError(f"{folder}: no images in this folder; {hint}")


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _holds_images(folder: Path) -> bool:
    try:
        return any(_is_image_name(p.name) for p in folder.iterdir())
    except OSError:
        return False


def read_image(path: Path, depth: int | None = None) -> Image:
    """Read an image file as (H, W, 3) uint8 BGR.

    The kind is told by content, not by name. Mono is repeated to three channels, 16 bits become 8 by the
    rule of ``as_bgr``, CMYK is converted and an alpha channel dropped (a TIFF's is multiplied in). The EXIF
    orientation is applied, so that the picture is the one that a viewer shows; a camera's frame has none.
    Of several pages, the first is read.

    Args:
        depth: significant bits of a 16-bit file, 9 to 16; 16 if not given. Other files take no heed of it.

    Raises:
        ImageError: not a whole, readable image of MIN_SIDE pixels a side to MAX_PIXELS in all, or values over
            the stated depth.
    """
    path = Path(path)
    data = _read_bytes(path)
    try:
        header = read_header(data)
    except DamagedFile as problem:
        raise ImageError(f"{path}: {problem}; replace or remove the file") from None
    height, width = header.size
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{path}: {width} x {height} pixels is over the limit of {MAX_PIXELS // 10**6} megapixels; "
            "crop or shrink the image"
        )
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{path}: {width} x {height} pixels is too small; {MIN_SIDE} a side is the least")
    with quiet_opencv():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error:
            image = None
    if image is None:
        raise ImageError(f"{path}: the {header.kind} image can't be decoded; replace or remove the file")
    if image.dtype == np.uint16:
        depth = depth or 16
        if (largest := int(image.max())) >= 1 << depth:
            raise ImageError(f"{path}: holds {largest}, over {depth} bits; give the images' true depth")
        image = _depth_table(depth)[image]
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: pixels are {image.dtype}; save the image with 8 or 16 bits a channel")
    return np.ascontiguousarray(image)


def _read_bytes(path: Path) -> bytes:
    # Opened by Python: OpenCV's own file opening fails on non-ASCII and long paths on some systems.
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise ImageError(f"{path}: not a regular file; give an image file")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {status.st_size} bytes is over the limit of {MAX_BYTES}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: can't be read ({reason}); check the path and rights") from None
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes); replace or remove it")
    return data


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing its own warnings to stderr; what went wrong is said in our words."""
    # Its own log; what libjpeg prints about damage inside a picture can't be turned off from here. OpenCV 5
    # keeps the two functions in another module than 4.9.
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(0)  # silent
    try:
        yield
    finally:
        log.setLogLevel(before)


# ---------------------------------------------------------------- frames


def as_bgr(
    frame: NDArray[Any], channel_order: Literal["bgr", "rgb"] = "bgr", depth: int | None = None
) -> Image:
    """Return a camera's frame as (H, W, 3) uint8 BGR; the input is never changed, and copied only if it must.

    Args:
        frame: (H, W, 3) uint8, (H, W) or (H, W, 1) uint8 mono, or the same uint16 mono. Any strides.
        channel_order: the order of a three-channel frame.
        depth: significant bits of a uint16 frame, 9 to 16; 16 if not given. A value v of n bits becomes
            ``round(v * 255 / (2**n - 1))``, so 16 bits are divided by 257. 10- and 12-bit camera formats
            (Mono10, Mono12) hold their values in the low bits: say 10 or 12.

    Raises:
        FrameError: any other type or shape, a side under MIN_SIDE, or values over the stated depth.
    """
    if channel_order not in ("bgr", "rgb"):
        raise FrameError(f"channel order '{channel_order}' is unknown; give 'bgr' or 'rgb'")
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"the frame is a {type(frame).__name__}; give a numpy array (H, W, 3) or (H, W)")
    if frame.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise FrameError(f"the frame's dtype is {frame.dtype}; give uint8, or uint16 for mono")
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    is_colour = frame.ndim == 3 and frame.shape[2] == 3
    if not (is_colour or frame.ndim == 2):
        raise FrameError(f"the frame's shape is {frame.shape}; give (H, W, 3) or (H, W)")
    if min(frame.shape[:2]) < MIN_SIDE:
        raise FrameError(f"the frame's shape is {frame.shape}; {MIN_SIDE} pixels a side is the least")
    if frame.dtype.itemsize == 2:
        if is_colour:
            raise FrameError("a three-channel frame must be uint8; convert it, or give mono uint16")
        frame = _to_8_bits(frame, 16 if depth is None else depth)
    elif depth is not None and depth != 8:
        raise FrameError(f"depth {depth} is for uint16 frames, this one is uint8; leave depth out")
    if not is_colour:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)  # type: ignore[no-any-return]
    if channel_order == "rgb":
        return cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)  # type: ignore[no-any-return]
    return frame


def _to_8_bits(frame: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    if not 9 <= depth <= 16:
        raise FrameError(f"depth {depth} is out of range; give the significant bits, 9 to 16")
    if depth < 16 and int(frame.max()) >= 1 << depth:
        raise FrameError(f"the frame holds {int(frame.max())}, over {depth} bits; give its true depth")
    return _depth_table(depth)[frame]


@functools.lru_cache(maxsize=8)
def _depth_table(depth: int) -> NDArray[np.uint8]:
    # A table is exact where a float product could round differently from machine to machine.
    top = (1 << depth) - 1
    table = ((np.arange(1 << depth, dtype=np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    table.flags.writeable = False
    return table


__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "PAD",
    "SUFFIXES",
    "ResizeRule",
    "as_bgr",
    "choose_resize",
    "list_images",
    "quiet_opencv",
    "read_image",
]
