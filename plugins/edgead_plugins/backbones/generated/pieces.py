"""Small pieces that all drawers of generated pictures share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Size

Field = NDArray[np.float32]
"""(H, W) float32 in 0..1."""

Colour = NDArray[np.float32]
"""(H, W, 3) float32 BGR, about 0..1."""

Generator = np.random.Generator


def unit(field: NDArray[Any]) -> Field:
    """Scale to 0..1; a constant becomes 0."""
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - np.float32(low)) / np.float32(max(high - low, 1e-6)), np.float32)


def noise(rng: Generator, size: Size, stretch: float = 1.0) -> Field:
    """Fractal noise: octaves of random grids; ``stretch`` makes it longer along x."""
    total = np.zeros(size, np.float32)
    cell, gain = rng.uniform(8, 160), rng.uniform(0.25, 0.95)
    amplitude = 1.0
    while cell >= 1:
        grid = (max(2, round(size[0] / cell)), max(2, round(size[1] / (cell * stretch))))
        octave = rng.standard_normal(grid, np.float32)
        if grid[0] >= size[0] and grid[1] >= size[1]:
            octave = octave[: size[0], : size[1]]
        total += np.float32(amplitude) * cv2.resize(octave, size[::-1], interpolation=cv2.INTER_CUBIC)
        cell, amplitude = cell / 2, amplitude * gain
    if rng.random() < 0.2:
        total = np.abs(total)  # creases where the sign changes
    return unit(total)


def coordinates(rng: Generator, size: Size) -> tuple[Field, Field]:
    """Pixel coordinates around a random origin, turned (often along the axes), at times wavy or tilted."""
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]) + rng.normal(0, 0.02)
    y = np.arange(size[0], dtype=np.float32)[:, None] - np.float32(rng.uniform(0, size[0]))
    x = np.arange(size[1], dtype=np.float32)[None, :] - np.float32(rng.uniform(0, size[1]))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = cos * x + sin * y, cos * y - sin * x
    if rng.random() < 0.3:
        tilt = 1 + u * np.float32(rng.uniform(-0.25, 0.25) / max(size))
        u, v = u / tilt, v / tilt
    if rng.random() < 0.4:
        reach = np.float32(rng.uniform(1, 12))
        u, v = u + reach * noise(rng, size), v + reach * noise(rng, size)
    return u, v


def rotate(rng: Generator, field: Field, reflect: bool = True) -> Field:
    """Turn about the middle: a little, or by any angle."""
    angle = float(rng.normal(0, 3) + rng.choice([0.0, 90.0, rng.uniform(0, 180)]))
    height, width = field.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    border = cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT
    turned = cv2.warpAffine(field, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(turned, np.float32)


def outline(rng: Generator, size: Size, radius: float) -> NDArray[np.int32]:
    """A closed outline: ellipse, polygon, star or wobbly blob, anywhere in the picture, (n, 1, 2) pixels."""
    n = int(rng.choice([3, 4, 4, 5, 6, 16, 32, 32]))
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.uniform(0, 2 * np.pi)
    reach = np.full(n, radius)
    if n >= 16 and rng.random() < 0.5:
        reach *= 1 + rng.uniform(0, 0.3) * np.sin(turn * rng.integers(2, 7) + rng.uniform(0, 6))
    points = np.stack([np.cos(turn), np.sin(turn) * rng.uniform(0.25, 1)], 1) * reach[:, None]
    angle = rng.uniform(0, np.pi)
    spin = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return pixels(points @ spin + rng.uniform(0, 1, 2) * size[::-1])


def soft(mask: NDArray[np.uint8], sigma: float) -> Field:
    """A drawn 0..255 mask with softened edges, as 0..1."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) / np.float32(255)


def pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """(n, 2) of x, y as OpenCV's drawing functions want them."""
    return np.rint(points).astype(np.int32).reshape(-1, 1, 2)


def blend(below: Colour, above: Colour, mask: Field) -> Colour:
    """``above`` where ``mask`` is 1, ``below`` where it is 0."""
    return below + mask[..., None] * (above - below)


def lit(rng: Generator, height: Field, depth: float) -> Field:
    """Shading of a relief under a lamp from one side, about 1; at times with a gloss on what faces it."""
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope += np.sin(angle) * cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    shade = 1 + np.float32(depth) * slope
    if rng.random() < 0.2:
        facing = np.float32(rng.uniform(0.1, 0.4))
        shade = shade + np.float32(rng.uniform(0.2, 0.8)) * np.maximum(shade - 1 - facing, 0)
    return np.asarray(np.clip(shade, 0.15, 2.2), np.float32)
