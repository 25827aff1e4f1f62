"""A camera's buffer as an image that a line takes.

* Mono keeps its values: uint8, or uint16 unscaled, with the format's bits as the image's depth.
* Bayer becomes colour by bilinear interpolation, with all of its bits.
* Colour has 8 bits then: a value v of n bits becomes ``round(v * 255 / (2**n - 1))``.
* YUV is BT.601 with all 256 levels, as cameras send it; the chroma of two pixels is each one's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.depth import to_8_bits
from edgead.errors import FrameError
from edgead_plugins.pixels.formats import PixelFormat
from edgead_plugins.pixels.unpacking import unpack

MOST_PIXELS = 1 << 30
"""Pixels of an image that's looked at: a camera that states more is broken."""
_DEMOSAICING = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}


class Picture(NamedTuple):
    """An image, as ``edgead.types.Grab`` has it, and its depth.

    Attributes:
        image: (H, W, 3) uint8 BGR, (H, W) uint8 or (H, W) uint16; it may have the buffer's memory.
        depth: significant bits of a uint16 image; None of a uint8 one, and where a format of 16 bits leaves
            open how many of them the camera fills.
    """

    image: NDArray[Any]
    depth: int | None


def bytes_of(pixel_format: PixelFormat, width: int, height: int, padding: int = 0) -> int:
    """Bytes that an image takes.

    Args:
        padding: bytes behind each row. Without, packed rows follow each other without a gap.
    """
    bits = width * pixel_format.stored_bits
    return -(-bits * height // 8) if not padding else (-(-bits // 8) + padding) * height


def picture_of(
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
    pixel_format: PixelFormat,
    width: int,
    height: int,
    padding: int = 0,
    depth: int | None = None,
) -> Picture:
    """Return what is in a buffer.

    Args:
        data: the image's bytes, and no others.
        width, height: in pixels.
        padding: bytes behind each row.
        depth: bits that the camera fills of a format of 16, 9 to 16; other formats take no heed of it.

    Raises:
        FrameError: the buffer isn't as long as such an image is, no image has such a shape, or values are
            over the format's bits.
    """
    name = pixel_format.name
    if min(width, height) < 1 or padding < 0 or width * height > MOST_PIXELS:
        raise FrameError(f"no image of {name} has {width} x {height} pixels; check the camera's settings")
    _check_shape(pixel_format, width, height)
    flat = np.frombuffer(data, np.uint8)
    rows = -(-width * pixel_format.stored_bits // 8) + padding
    if flat.size == bytes_of(pixel_format, width, height, padding):
        whole_rows = bool(padding)
    elif flat.size == rows * height:  # packed rows that each begin with a byte
        whole_rows = True
    else:
        wanted = bytes_of(pixel_format, width, height, padding)
        raise FrameError(
            f"the buffer has {flat.size} bytes, and {width} x {height} pixels of {name} have {wanted}; "
            "check the camera's settings"
        )
    values = _values(flat, pixel_format, width, height, rows if whole_rows else 0)
    bits = depth if depth is not None and pixel_format.bits == 16 else pixel_format.bits
    if values.dtype == np.uint16 and pixel_format.packing == "whole" and bits < 16:
        largest = int(values.max())
        if largest >> bits:
            raise FrameError(f"{name} holds {largest}, over {bits} bits; check the camera's settings")
    if pixel_format.colour != "mono":
        return Picture(_bgr(values, pixel_format, bits), None)
    known = values.dtype == np.uint16 and (pixel_format.bits < 16 or depth is not None)
    return Picture(values, bits if known else None)


def _check_shape(pixel_format: PixelFormat, width: int, height: int) -> None:
    name = pixel_format.name
    if pixel_format.colour in _DEMOSAICING and min(width, height) < 3:
        raise FrameError(f"{name} needs 3 pixels a side to make colour of, and has {width} x {height}")
    if pixel_format.colour in ("yuyv", "uyvy") and width % 2:
        raise FrameError(f"{name} has pixels in pairs, and no rows of {width}; set an even width")


def _values(
    flat: NDArray[np.uint8], pixel_format: PixelFormat, width: int, height: int, row: int
) -> NDArray[Any]:
    """(H, W) or (H, W, C), uint8 or uint16. ``row``: bytes of one, where rows begin with a byte; else 0."""
    shape = (height, width) if pixel_format.channels == 1 else (height, width, pixel_format.channels)
    if pixel_format.packing == "whole":
        if row:
            used = width * pixel_format.stored_bits // 8
            flat = np.ascontiguousarray(flat.reshape(height, row)[:, :used]).reshape(-1)
        return (flat if pixel_format.bits <= 8 else flat.view("<u2")).reshape(shape)
    if not row:
        return unpack(flat, pixel_format, width * height).reshape(shape)
    groups = -(-width // 4)  # of four values, so that no group is in two rows
    each = groups * 4 * pixel_format.stored_bits // 8
    used = -(-width * pixel_format.stored_bits // 8)
    wide = np.zeros((height, each), np.uint8)
    wide[:, :used] = flat.reshape(height, row)[:, :used]
    return np.ascontiguousarray(unpack(wide.reshape(-1), pixel_format, height * groups * 4)
                                .reshape(height, groups * 4)[:, :width])  # fmt: skip


def _bgr(values: NDArray[Any], pixel_format: PixelFormat, bits: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    colour = pixel_format.colour
    if colour in _DEMOSAICING:
        values = cv2.demosaicing(values, _DEMOSAICING[colour])
    elif colour in ("yuyv", "uyvy"):
        values = _of_yuv(values, luma=0 if colour == "yuyv" else 1)
    elif colour == "rgb":
        code = cv2.COLOR_RGB2BGR if pixel_format.channels == 3 else cv2.COLOR_RGBA2BGR
        values = cv2.cvtColor(values, code)
    elif pixel_format.channels == 4:
        values = cv2.cvtColor(values, cv2.COLOR_BGRA2BGR)
    return values if values.dtype == np.uint8 else to_8_bits(bits)[values]


def _of_yuv(values: NDArray[np.uint8], luma: int) -> NDArray[np.uint8]:
    """(H, W, 2) to BGR; ``luma``: which of the two values of a pixel is its brightness."""
    height, width = values.shape[:2]
    brightness, chroma = values[..., luma], values[..., 1 - luma].reshape(height, width // 2, 2)
    full = np.empty((height, width, 3), np.uint8)
    full[..., 0] = brightness
    full[..., 1] = np.repeat(chroma[..., 1], 2, axis=1)  # OpenCV has V before U
    full[..., 2] = np.repeat(chroma[..., 0], 2, axis=1)
    return cv2.cvtColor(full, cv2.COLOR_YCrCb2BGR)  # type: ignore[no-any-return]


__all__ = ["MOST_PIXELS", "Picture", "bytes_of", "picture_of"]
