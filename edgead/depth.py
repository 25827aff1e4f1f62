"""How many of their 16 bits images use: a 12-bit camera's values lie in the low bits of a 16-bit file.

Taken for 16 bits, such an image keeps 16 grey levels of 4096. No single image can show it, it may just be
dark; a folder of them can.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.notices import Notice

DEPTHS = (10, 12, 14)
"""Bits that cameras put into 16, fewer of them."""


class DepthUse:
    """Watches images go by and remembers the largest value of the 16-bit ones.

    Attributes:
        images: how many of them had 16 bits.
        largest: the largest value, of any channel.
    """

    def __init__(self) -> None:
        self.images = 0
        self.largest = 0

    def see(self, pixels: NDArray[Any]) -> None:
        """Take note of an image, (H, W) or (H, W, C) uint8 or uint16."""
        if pixels.dtype.itemsize == 2:
            self.images += 1
            self.largest = max(self.largest, int(pixels.max()))

    @property
    def bits(self) -> int:
        """Bits that the largest value needs, 0 to 16."""
        return self.largest.bit_length()

    def notice(self) -> Notice | None:
        """What to ask the user where the 16-bit images may hold fewer bits; None where nothing points to it.

        Only where the brightest pixel of them all is under a quarter of the range: 14 bits, the most that
        cameras leave room above, would fit.
        """
        if not self.images or self.bits > DEPTHS[-1]:
            return None
        likely = next(depth for depth in DEPTHS if self.bits <= depth)
        return Notice("depth-unsaid", {"images": self.images, "bits": self.bits, "likely": likely})


@functools.lru_cache(maxsize=8)
def to_8_bits(depth: int) -> NDArray[np.uint8]:
    """Return the table from a value of ``depth`` bits, 9 to 16, to its 8: ``round(v * 255 / (2**n - 1))``."""
    # A table is exact where a float product could round differently from machine to machine.
    top = (1 << depth) - 1
    table = ((np.arange(1 << depth, dtype=np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    table.flags.writeable = False
    return table


__all__ = ["DEPTHS", "DepthUse", "to_8_bits"]
