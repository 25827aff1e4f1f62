"""Pictures that the project makes itself: varied surfaces, parts, print and defects, seen by a camera.

They are what the ``default`` backbone is trained on, so no data set's licence reaches the shipped weights.
A picture is layers, back to front: a surface or a collage of some, parts and wires with surfaces of their
own, print, marks, then the camera (light, blur, noise, compression), and last, in many, a synthetic defect.
Everything is numpy and OpenCV, and all randomness comes from ``(seed, index)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.types import Image, Size
from edgead.workbench.defects import MIN_DEFECT_SIDE, synthesise
from edgead_plugins.backbones.generated.camera import shoot
from edgead_plugins.backbones.generated.drawings import (
    add_part,
    add_wires,
    marks_mask,
    palette_tone,
    print_mask,
)
from edgead_plugins.backbones.generated.pieces import blend
from edgead_plugins.backbones.generated.surfaces import collage, surface

DEFECTIVE = 0.4
"""The share of pictures that carry a synthetic defect, of the kinds of ``edgead.workbench.defects``."""


def generate(seed: int, index: int, size: Size = (256, 256)) -> Image:
    """Return picture number ``index`` of the endless series ``seed``; some have defects.

    Args:
        seed: at least 0; which series.
        index: at least 0; which picture of it. Any order, any subset: pictures don't depend on each other.
        size: (height, width) in pixels, each at least 16. The scale of the textures doesn't follow the size.

    Returns:
        (H, W, 3) uint8 BGR. The same bytes for the same arguments, numpy and OpenCV versions.

    Raises:
        ValueError: a negative seed or index, or a size under 16.
    """
    good = generate_good(seed, index, size)
    rng = np.random.default_rng([seed, index, 1])
    if min(size) < MIN_DEFECT_SIDE or rng.random() > DEFECTIVE:
        return good
    return synthesise(good, rng)[0]


def generate_good(seed: int, index: int, size: Size = (256, 256)) -> Image:
    """``generate``, but without a defect."""
    if seed < 0 or index < 0 or min(size) < 16:
        raise ValueError(f"seed and index must be at least 0 and size at least 16: {seed}, {index}, {size}")
    rng = np.random.default_rng([seed, index])
    picture = collage(rng, size) if rng.random() < 0.12 else surface(rng, size)
    for _ in range(rng.choice([0, 1, 2, 4], p=[0.5, 0.28, 0.14, 0.08])):
        picture = add_part(rng, picture)
    if rng.random() < 0.08:
        picture = add_wires(rng, picture)
    if rng.random() < 0.22:
        picture = blend(picture, palette_tone(rng), print_mask(rng, size))
    if rng.random() < 0.2:
        picture = blend(picture, palette_tone(rng), marks_mask(rng, size))
    return shoot(rng, picture)


def generate_views(
    seed: int, index: int, n_good: int, n_bad: int, side: int = 256, strength: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return good and defective views of one generated product, to judge a detector's backbone with.

    The views are tiles of one large picture, so they share its surface but not a pixel; a defective one is a
    good one's copy with one synthetic defect.

    Args:
        seed, index: as ``generate``'s: which product.
        n_good: how many good views, at least 1.
        n_bad: how many defective ones, made of the last good views in turn.
        side: height and width of a view in pixels, at least 32.
        strength: of the defects; see ``edgead.workbench.defects.synthesise``.

    Returns:
        Good views (n_good, side, side, 3) and defective ones (n_bad, side, side, 3), both uint8 BGR, and the
        masks (n_bad, side, side) uint8 of 0 and 1.
    """
    across = int(np.ceil(np.sqrt(n_good)))
    large = generate_good(seed, index, (across * side, across * side))
    tiles = [large[y : y + side, x : x + side] for y in range(0, across * side, side)
             for x in range(0, across * side, side)]  # fmt: skip
    rng = np.random.default_rng([seed, index, 2])
    good = [tiles[i] for i in rng.permutation(len(tiles))[:n_good]]
    pairs = [synthesise(good[-1 - i % n_good], rng, None, strength) for i in range(n_bad)]
    return np.stack(good), np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


__all__ = ["DEFECTIVE", "generate", "generate_good", "generate_views"]
