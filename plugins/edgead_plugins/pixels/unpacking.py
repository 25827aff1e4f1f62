"""Packed values of 10 and 12 bits to uint16 each.

The bytes of each group are taken apart into planes, and put together into those of the result: OpenCV does
both with vector instructions, and what's between is arithmetic on single bytes. NumPy's own strided slices
take several times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead_plugins.pixels.formats import PixelFormat

Bytes = NDArray[Any]
"""uint8, and arithmetic on it stays that."""

_GROUP = {("lsb", 10): (5, 4), ("lsb", 12): (3, 2), ("gige", 10): (3, 2), ("gige", 12): (3, 2)}
"""Bytes of a group, and the values in it."""


def unpack(data: Bytes, pixel_format: PixelFormat, count: int) -> NDArray[np.uint16]:
    """Return the first ``count`` values, (count,) uint16, unscaled.

    Args:
        data: (n,) uint8, contiguous; at least as many bytes as ``count`` values take.
        pixel_format: a packed one.
    """
    key = pixel_format.packing, pixel_format.bits
    size, values = _GROUP[key]
    groups = -(-count // values)
    if data.size < groups * size:  # the last group has values that aren't there
        data = np.concatenate([data, np.zeros(groups * size - data.size, np.uint8)])
    planes = cv2.split(data[: groups * size].reshape(groups, 1, size))
    together = cv2.merge(_BYTES[key](*planes))
    return np.asarray(together.reshape(-1).view("<u2"), np.uint16)[:count]


def _lsb_10(a: Bytes, b: Bytes, c: Bytes, d: Bytes, e: Bytes) -> Sequence[Bytes]:
    return (
        *(a, b & 3),
        *((b >> 2) | (c << 6), (c >> 2) & 3),
        *((c >> 4) | (d << 4), (d >> 4) & 3),
        *((d >> 6) | (e << 2), e >> 6),
    )


def _lsb_12(a: Bytes, b: Bytes, c: Bytes) -> Sequence[Bytes]:
    return (a, b & 15, (b >> 4) | (c << 4), c >> 4)


def _gige_10(a: Bytes, b: Bytes, c: Bytes) -> Sequence[Bytes]:
    return ((a << 2) | (b & 3), a >> 6, (c << 2) | ((b >> 4) & 3), c >> 6)


def _gige_12(a: Bytes, b: Bytes, c: Bytes) -> Sequence[Bytes]:
    return ((a << 4) | (b & 15), a >> 4, (c << 4) | (b >> 4), c >> 4)


_BYTES: Mapping[tuple[str, int], Callable[..., Sequence[Bytes]]] = {
    ("lsb", 10): _lsb_10,
    ("lsb", 12): _lsb_12,
    ("gige", 10): _gige_10,
    ("gige", 12): _gige_12,
}
"""From the bytes of each group to the bytes of its values, the low one of each first."""

__all__ = ["unpack"]
