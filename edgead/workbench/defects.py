"""Synthetic defects on real good images, for the precision gate.

Labelled defects don't exist when a bundle is made, so each precision is judged by how well it tells held-out
good images from the same images with a synthetic defect. These must therefore be *graded*: most kinds go
from barely visible to clear, or every precision would separate them perfectly and the gate would see nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError, UnknownNameError
from edgead.types import Image
from edgead.workbench.painters import PAINTERS, Float, Painter, Scene
from edgead.workbench.shapes import log_uniform

Mask = NDArray[np.uint8]

KINDS: tuple[str, ...] = tuple(PAINTERS)
"""The kinds of synthetic defect."""
MIN_DEFECT_SIDE = 32
"""Smallest image side in pixels; a defect has no room in less."""

VISIBILITY = (0.5, 5.0)
"""Ends of the log-uniform draw of a defect's visibility: about barely visible, and clear."""


def synthesise(
    image: Image,
    rng: np.random.Generator,
    kind: str | None = None,
    strength: float = 1.0,
    where: NDArray[np.bool_] | None = None,
) -> tuple[Image, Mask]:
    """Draw one defect on a good image.

    Args:
        image: (H, W, 3) uint8 BGR, both sides at least ``MIN_DEFECT_SIDE``; it isn't changed.
        rng: the only source of randomness; equal states give equal results.
        kind: one of ``KINDS``, or None to draw one.
        strength: factor on the drawn visibility, over 0; 0.5 is hard to see, 3 is plain.
        where: (H, W) bool, True somewhere: the defect begins in it, though it may reach beyond, and the image
            is measured there; None for anywhere.

    Returns:
        The defective image, (H, W, 3) uint8 BGR, and its mask, (H, W) uint8 of 0 and 1, never empty.

    Raises:
        edgead.errors.UnknownNameError: ``kind`` isn't in ``KINDS``.
        edgead.errors.OptionError: the image or the strength isn't as described.
    """
    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or min(image.shape[:2]) < MIN_DEFECT_SIDE
    ):
        raise OptionError(
            f"an image of {image.dtype} {image.shape} can't take a synthetic defect: "
            f"pass (H, W, 3) uint8 with sides of at least {MIN_DEFECT_SIDE}"
        )
    if not (np.isfinite(strength) and strength > 0):
        raise OptionError(f"strength {strength} isn't a number over 0: pass one between 0.2 and 5")
    if kind is not None and kind not in PAINTERS:
        raise UnknownNameError("defect kind", kind, KINDS)
    painter = PAINTERS[kind or KINDS[int(rng.integers(len(KINDS)))]]

    visibility = strength * log_uniform(rng, *VISIBILITY)
    scene = _survey(image, rng, where)
    return paint(painter, scene, rng, visibility)


def paint(painter: Painter, scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Image, Mask]:
    """Draw a defect where the scene says; returns the image, and its mask, as ``synthesise`` does."""
    change, shape = painter(scene, rng, visibility)
    mask = (shape > 0.3 * shape.max()).astype(np.uint8)

    defective = _rounded(scene.image + change * shape[..., None])
    if np.abs(defective - scene.image).max() < 3:  # a flat, black or white place swallowed it
        top = np.unravel_index(int(shape.argmax()), shape.shape)
        sign = 1 if scene.image[top].mean() < 128 else -1
        amplitude = sign * max(visibility * scene.contrast, 4.0) / float(shape.max())
        defective = _rounded(scene.image + np.float32(amplitude) * shape[..., None])
    return defective, mask


def _rounded(pixels: Float) -> Image:
    return np.asarray(np.clip(pixels + 0.5, 0, 255), np.uint8)


# ---------------------------------------------------------------- where, and how strong


def _survey(image: Image, rng: np.random.Generator, where: NDArray[np.bool_] | None) -> Scene:
    """Choose a place, rather on texture than on an empty ground or an outline, and measure it."""
    pixels = image.astype(np.float32)
    height, width = image.shape[:2]
    unit = min(float(np.sqrt(height * width)), 2.0 * min(height, width))
    grey = pixels.mean(axis=2)
    side = max(3, round(unit / 10)) | 1
    mean = cv2.blur(grey, (side, side))
    texture = np.sqrt(np.maximum(cv2.blur(grey * grey, (side, side)) - mean * mean, 0))

    if where is None:
        margin = 0.08
        candidates = rng.uniform(margin, 1 - margin, (4, 2)) * (height, width)
    else:
        candidates = rng.choice(np.argwhere(where), 4) + 0.5
    ranked = sorted(candidates, key=lambda point: float(texture[int(point[0]), int(point[1])]))
    y, x = ranked[int(rng.integers(1, 4))]  # any but the flattest
    local, overall = float(texture[int(y), int(x)]), float((grey if where is None else grey[where]).std())
    grain = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    return Scene(
        image=pixels,
        y=float(y),
        x=float(x),
        unit=unit,
        contrast=float(np.clip(1.2 * local + 0.3 * overall, 6, 45)),
        saturation=float(cv2.blur(pixels.max(axis=2) - pixels.min(axis=2), (side, side))[int(y), int(x)]),
        noise=float(np.clip(np.median(grain if where is None else grain[where]) / 3, 0.3, 6)),
    )


__all__ = ["KINDS", "MIN_DEFECT_SIDE", "VISIBILITY", "paint", "synthesise"]
