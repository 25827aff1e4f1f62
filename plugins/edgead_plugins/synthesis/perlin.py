"""Perlin noise, and the irregular masks that it makes: where a synthetic defect is.

Gradient noise after Perlin, Improving Noise, SIGGRAPH 2002 (with its quintic fade). As a defect's mask:
Zavrtanik, Kristan, Skocaj, DRAEM, ICCV 2021, arXiv 2108.07610; Zhang et al., DeSTSeg, CVPR 2023.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Size

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
"""(H, W) uint8, 1 where the defect is, else 0."""

CELLS = (1, 2, 4, 8, 16, 32)
"""How many lattice cells an axis may have; each draws its own, so that masks are blobs, streaks or dots."""
TURN = 90.0
"""Degrees that the noise is turned by at most, either way."""
THRESHOLD = 0.5
"""Noise above it is the mask; the papers'."""
INSIDE = 0.2
"""Noise above it is where a crack is drawn."""


def perlin_noise(size: Size, cells: Size, rng: np.random.Generator) -> Floats:
    """Two-dimensional gradient noise.

    Args:
        size: (H, W) of the result, in pixels.
        cells: lattice cells down and across; each of the (down + 1) x (across + 1) nodes gets a random
            direction.

    Returns:
        (H, W) float32, between -1 and 1; 0 at the nodes. Pixel i is at i * cells / size of the lattice.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    slope_y, slope_x = np.sin(angles), np.cos(angles)
    y, x = (np.arange(n) * c / n for n, c in zip(size, cells, strict=True))
    row, column = y.astype(np.intp), x.astype(np.intp)
    inner_y, inner_x = (y - row)[:, None], (x - column)[None, :]

    def corner(down: int, across: int) -> NDArray[np.float64]:
        node = np.ix_(row + down, column + across)
        found: NDArray[np.float64] = slope_y[node] * (inner_y - down) + slope_x[node] * (inner_x - across)
        return found

    fade_y, fade_x = _fade(inner_y), _fade(inner_x)
    top = corner(0, 0) * (1 - fade_x) + corner(0, 1) * fade_x
    bottom = corner(1, 0) * (1 - fade_x) + corner(1, 1) * fade_x
    # Unit gradients reach no more than sqrt(1/2) in the middle of a cell.
    return np.asarray(np.sqrt(2) * (top * (1 - fade_y) + bottom * fade_y), np.float32)


def _fade(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """6t^5 - 15t^4 + 10t^3: from 0 to 1, flat in slope and curvature at both ends."""
    return t * t * t * (t * (t * 6 - 15) + 10)


def perlin_mask(size: Size, rng: np.random.Generator) -> Mask:
    """Draw a mask as the papers do: noise of random scale on each axis, turned, cut off at 0.5.

    It covers a twentieth of the image on average, and one time in twenty nothing at all.
    """
    cells = (int(rng.choice(CELLS)), int(rng.choice(CELLS)))
    noise = perlin_noise(size, cells, rng)
    height, width = size
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-TURN, TURN), 1.0)
    turned = cv2.warpAffine(noise, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=0.0)
    return np.asarray(turned > THRESHOLD, np.uint8)


def crack_mask(size: Size, rng: np.random.Generator) -> Mask:
    """Draw thin winding lines: where one noise crosses 0, inside the blobs of another. Not in the papers.

    They are 1 to 4 pixels wide in an image of 256 pixels, as much wider or narrower in others, and a pixel at
    least.
    """
    cells = (int(rng.choice(CELLS[2:5])), int(rng.choice(CELLS[2:5])))
    noise = perlin_noise(size, cells, rng)
    slope = np.hypot(*np.gradient(noise)) + np.float32(1e-6)
    width = max(1.0, float(rng.uniform(1, 4)) * min(size) / 256)
    inside = perlin_noise(size, (int(rng.choice(CELLS[:3])), int(rng.choice(CELLS[:3]))), rng)
    return np.asarray((np.abs(noise) / slope < width / 2) & (inside > INSIDE), np.uint8)


__all__ = ["crack_mask", "perlin_mask", "perlin_noise"]
