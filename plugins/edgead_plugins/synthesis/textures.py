"""Synthetic defects: another picture, more or less transparent, inside an irregular mask.

Zavrtanik, Kristan, Skocaj, DRAEM, ICCV 2021, arXiv 2108.07610; Zhang et al., DeSTSeg, CVPR 2023. Both take
the other picture from the Describable Textures Dataset; here it's from any folder, or one that the project
makes itself. Everything takes and yields (H, W, 3) uint8 BGR, and draws from ``rng`` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edgead.images import list_images, read_image
from edgead.types import Image, Size
from edgead_plugins.backbones.generated import generate
from edgead_plugins.synthesis.perlin import Mask, crack_mask, perlin_mask

Rotation = Literal["none", "small", "any"]
OPACITY = (0.2, 1.0)
"""Share of the other picture inside the mask; DeSTSeg's code's. Its paper writes 0.15 to 1."""
FILL = 114
"""Grey level of what a turned image uncovers, as in DeSTSeg's code."""
SMALL_TURN = 5.0
"""Degrees."""
SERIES = 2_000_000
"""Which series of generated pictures; the ``default`` backbone's training has another."""


class Textures:
    """Where the other picture comes from.

    Args:
        folder: of images, any; None for pictures that the project generates.
        size: (H, W) that each is resized to, bilinearly.

    Raises:
        DatasetError: the folder isn't one, or holds no images.
    """

    def __init__(self, folder: Path | None, size: Size) -> None:
        self.size = size
        self.files = None if folder is None else list_images(folder)

    def draw(self, rng: np.random.Generator) -> Image:
        """A picture of ``size``.

        Raises:
            ImageError: a file in the folder can't be read.
        """
        if self.files is None:
            return generate(SERIES, int(rng.integers(0, 2**31)), self.size)
        picture = read_image(self.files[int(rng.integers(len(self.files)))])
        resized = cv2.resize(picture, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)


def blend(image: Image, texture: Image, mask: Mask, opacity: float) -> Image:
    """``image``, and inside the mask opacity * texture + (1 - opacity) * image, rounded."""
    mixed = opacity * texture.astype(np.float32) + (1 - opacity) * image.astype(np.float32)
    return np.asarray(np.where(mask[..., None] > 0, np.rint(mixed), image), np.uint8)


def synthetic_defect(
    image: Image, textures: Textures, rng: np.random.Generator, cracks: float = 0.0
) -> tuple[Image, Mask]:
    """Put a synthetic defect onto a good image.

    Args:
        image: of the textures' size.
        cracks: share of defects that are thin lines in place of blobs, 0 to 1.

    Returns:
        The image, and the mask (H, W) uint8 of 0 and 1, which may be empty.
    """
    thin = cracks > 0 and float(rng.random()) < cracks  # without cracks, nothing is drawn for them
    mask = (crack_mask if thin else perlin_mask)((image.shape[0], image.shape[1]), rng)
    texture = textures.draw(rng)
    return blend(image, texture, mask, float(rng.uniform(*OPACITY))), mask


def turned(image: Image, rotation: Rotation, rng: np.random.Generator) -> Image:
    """Turn a good image about its middle, for parts that lie in other ways than the images show.

    Args:
        rotation: ``none``; ``small``: by up to 5 degrees; ``any``: by a random multiple of 90 degrees (of 180
            where the image isn't square) and then by up to 5.
    """
    if rotation == "none":
        return image
    if rotation == "any":
        quarters = int(rng.integers(4)) if image.shape[0] == image.shape[1] else 2 * int(rng.integers(2))
        image = np.ascontiguousarray(np.rot90(image, quarters))
    height, width = image.shape[:2]
    angle = float(rng.uniform(-SMALL_TURN, SMALL_TURN))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    found = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=(FILL,) * 3)
    return np.asarray(found, np.uint8)


__all__ = ["Rotation", "Textures", "blend", "synthetic_defect", "turned"]
