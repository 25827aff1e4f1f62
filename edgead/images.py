"""Frames and folders of images: reading files and taking camera frames. The resize rule is in ``resize.py``.

Fitting, calibration, evaluation and the camera all pass through here, so that what is learned and what is
judged have seen the same arithmetic.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.depth import DepthUse, to_8_bits
from edgead.errors import FrameError, ImageError, OptionError
from edgead.folders import SUFFIXES, list_images
from edgead.imagefile import DamagedFile, Header, check_content, essential, read_header
from edgead.resize import PAD, ResizeRule, choose_resize
from edgead.types import Image

MIN_IMAGE_SIDE = 8
"""Shortest side in pixels of an image or frame that can be judged."""
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
    data = _read_bytes(path)
    try:
        header = read_header(data)
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
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: can't be read ({reason}); check the path and rights") from None
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
        FrameError: any other type or shape, a side under MIN_IMAGE_SIDE, or values over the stated depth.
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
    if min(frame.shape[:2]) < MIN_IMAGE_SIDE:
        raise FrameError(f"the frame's shape is {frame.shape}; {MIN_IMAGE_SIDE} pixels a side is the least")
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
    return to_8_bits(depth)[frame]


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
    "list_images",
    "quiet_opencv",
    "read_image",
    "read_pixels",
    "unusable",
]
