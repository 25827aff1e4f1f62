"""How many of their 16 bits images use: a 12-bit camera's values lie in the low bits of a 16-bit file.

Taken for 16 bits, such an image keeps 16 grey levels of 4096. No single image can show it, it may just be
dark; a folder of them can. What most pixels of most images use decides, so that neither a hot pixel nor one
image from elsewhere hides it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgead.names import image_names
from edgead.notices import Notice

DEPTHS = (10, 12, 14)
"""Bits that cameras put into 16, fewer of them."""
HOT = 0.001
"""Share of an image's pixels that may be hot, or a glint, and say nothing of its depth."""
_NAMED = 3


class Looked(NamedTuple):
    """What there's to note of one 16-bit image: its largest value, the bits of that, and those of all but its
    hot pixels."""

    largest: int
    most: int
    usual: int


def look(pixels: NDArray[Any]) -> Looked | None:
    """Look at an image, (H, W) or (H, W, C) uint8 or uint16; None where it has 8 bits."""
    if pixels.dtype.itemsize != 2:
        return None
    largest = int(pixels.max())
    most = largest.bit_length()
    return Looked(largest, most, _bits_without_hot(pixels, most))


class DepthUse:
    """Watches images go by and remembers how many bits the 16-bit ones use.

    Attributes:
        images: how many of them had 16 bits.
        largest: the largest value of them all, of any channel.
    """

    def __init__(self) -> None:
        self.images = 0
        self.largest = 0
        self._usual = [0] * 17  # images by the bits of all but their hot pixels
        self._most = [0] * 17  # and by those of their largest value
        self._paths: list[list[Path]] = [[] for _ in range(17)]  # the first few of the latter

    def see(self, pixels: NDArray[Any], path: Path | None = None) -> None:
        """Take note of an image, (H, W) or (H, W, C) uint8 or uint16; its path serves to name it."""
        self.note(look(pixels), path)

    def note(self, looked: Looked | None, path: Path | None = None) -> None:
        """Take note of an image that ``look`` has been shown, in another thread for instance."""
        if looked is None:
            return
        self.images += 1
        self.largest = max(self.largest, looked.largest)
        self._usual[looked.usual] += 1
        self._most[looked.most] += 1
        if path is not None and len(self._paths[looked.most]) < _NAMED:
            self._paths[looked.most].append(path)

    @property
    def bits(self) -> int:
        """Bits that the largest value needs, 0 to 16."""
        return self.largest.bit_length()

    @property
    def usual_bits(self) -> int:
        """Bits that all but a few pixels of the middle image need, of two the brighter; 0 to 16."""
        seen = 0
        for bits, images in enumerate(self._usual):
            seen += images
            if 2 * seen > self.images:
                return bits
        return 0

    def over(self, depth: int) -> tuple[int, str]:
        """How many images hold a value over so many bits, and the names of some."""
        count = sum(self._most[depth + 1 :])
        paths = [path for some in self._paths[depth + 1 :] for path in some][:_NAMED]
        names = list(image_names(paths).values())
        more = f" and {count - len(names)} more" if count > len(names) else ""
        return count, (", ".join(names) + more) if names else "names unknown"

    def notice(self) -> Notice | None:
        """What to ask the user where the 16-bit images may hold fewer bits; None where nothing points to it.

        Only where the brightest pixels of the middle image are under a quarter of the range: 14 bits, the
        most that cameras leave room above, would fit. Images that hold more are named.
        """
        usual = self.usual_bits
        if not self.images or usual > DEPTHS[-1]:
            return None
        likely = next(depth for depth in DEPTHS if usual <= depth)
        values = {"images": self.images, "bits": usual, "likely": likely}
        over, names = self.over(likely)
        if not over:
            return Notice("depth-unsaid", {**values, "bits": self.bits})
        return Notice("depth-contradicted", {**values, "over": over, "largest": self.largest, "names": names})


def _bits_without_hot(pixels: NDArray[Any], most: int) -> int:
    """Return the bits that all but the brightest few pixels need; ``most`` are those of the largest value."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    # A grey picture may be three equal channels, so one pixel is as many values.
    few = max(channels, HOT * pixels.size)
    while most > DEPTHS[0] and np.count_nonzero(pixels >= 1 << (most - 1)) <= few:
        most -= 1
    return most


@functools.lru_cache(maxsize=8)
def to_8_bits(depth: int) -> NDArray[np.uint8]:
    """Return the table from a value of ``depth`` bits, 9 to 16, to its 8: ``round(v * 255 / (2**n - 1))``."""
    # A table is exact where a float product could round differently from machine to machine.
    top = (1 << depth) - 1
    table = ((np.arange(1 << depth, dtype=np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    table.flags.writeable = False
    return table


__all__ = ["DEPTHS", "HOT", "DepthUse", "Looked", "look", "to_8_bits"]
