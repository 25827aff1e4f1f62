"""What good images have in common, and which of them are unlike the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgead.depth import DepthUse
from edgead.folders import name_some
from edgead.names import image_names
from edgead.notices import Notice
from edgead.types import Size

K = TypeVar("K", bound=Hashable)

MINORITY = 0.2
"""Up to this share, images are odd ones; beyond it, the set is mixed, and likely means to be."""
SAME_SIDE = 0.02
"""Sides that differ by less than this share count as the same: a crop is rarely exact."""


@dataclass(frozen=True)
class Traits:
    """What an image was before it was brought to the model's size.

    Attributes:
        path: the file.
        size: (height, width).
        is_deep: 16 bits rather than 8.
        is_colour: whether its channels differ anywhere.
    """

    path: Path
    size: Size
    is_deep: bool
    is_colour: bool


class Survey:
    """Takes note of images, one after the other.

    Attributes:
        images: their traits.
        depth: how many bits the 16-bit ones use.
    """

    def __init__(self) -> None:
        self.images: list[Traits] = []
        self.depth = DepthUse()

    def see(self, path: Path, pixels: NDArray[Any]) -> None:
        """Take note of an image, (H, W, 3) uint8 or uint16."""
        self.depth.see(pixels, path)
        size = (pixels.shape[0], pixels.shape[1])
        self.images.append(Traits(path, size, pixels.dtype.itemsize == 2, _is_colour(pixels)))

    def notices(self) -> list[Notice]:
        """Name the images that are unlike the others in depth, colour or size, where they are few."""
        found = []
        if odd := self._odd(lambda image: image.is_deep):
            bits = (16, 8) if odd[0].is_deep else (8, 16)
            found.append(self._notice("odd-depth", odd, bits=bits[0], rest=bits[1]))
        if odd := self._odd(lambda image: image.is_colour):
            kinds = ("colour", "grey") if odd[0].is_colour else ("grey", "colour")
            found.append(self._notice("odd-colour", odd, kind=kinds[0], rest=kinds[1]))
        if odd := self._odd(lambda image: image.size, _alike):
            (height, width), _ = self._usual(lambda image: image.size)
            found.append(self._notice("odd-size", odd, rest=f"{height} x {width}"))
        return found

    def _usual(self, trait: Callable[[Traits], K]) -> tuple[K, int]:
        return Counter(map(trait, self.images)).most_common(1)[0]

    def _odd(
        self, trait: Callable[[Traits], K], alike: Callable[[K, K], bool] = lambda a, b: a == b
    ) -> Sequence[Traits]:
        usual, _ = self._usual(trait)
        odd = [image for image in self.images if not alike(trait(image), usual)]
        return odd if len(odd) <= MINORITY * len(self.images) else ()

    def _notice(self, code: str, odd: Sequence[Traits], **values: Any) -> Notice:
        called = image_names([image.path for image in self.images])
        names = name_some([called[image.path] for image in odd])
        return Notice(code, {"images": len(odd), "total": len(self.images), "names": names, **values})


def _alike(size: Size, usual: Size) -> bool:
    return all(abs(side - other) <= SAME_SIDE * other for side, other in zip(size, usual, strict=True))


def _is_colour(pixels: NDArray[Any]) -> bool:
    """Whether the channels differ: a grey image may well be stored as three of them."""
    for view in (pixels[::16, ::16], pixels):  # a few pixels tell most colour images
        blue, green, red = (view[..., channel] for channel in range(3))
        if not (np.array_equal(blue, green) and np.array_equal(green, red)):
            return True
    return False


__all__ = ["Survey", "Traits"]
