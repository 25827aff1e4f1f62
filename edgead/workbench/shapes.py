"""Random shapes to draw defects with: smooth noise, irregular blobs, paths and strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Size

Float = NDArray[np.float32]
Path = NDArray[np.float64]
"""(n, 2) of x, y in pixels."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform; both ends over 0."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def clouds(rng: np.random.Generator, size: Size, cell: float, octaves: int = 3) -> Float:
    """Return fractal noise (H, W) of mean 0 and deviation 1, its largest features ``cell`` pixels wide."""
    height, width = size
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = rng.standard_normal((int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


def blob(
    rng: np.random.Generator,
    size: Size,
    centre: tuple[float, float],
    radius: float,
    soft: float,
    rough: float = 0.25,
) -> Float:
    """Return an irregular, about elliptic patch (H, W): 1 inside, falling smoothly to 0 at its rim.

    Args:
        centre: x, y in pixels.
        radius: in pixels, to about the middle of the rim.
        soft: width of the rim in radii.
        rough: how far the rim wanders, in radii.
    """
    height, width = size
    angle, aspect = rng.uniform(0, np.pi), log_uniform(rng, 0.6, 1.7)
    dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre[1])
    dx = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre[0])
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / (radius * np.sqrt(aspect))
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / (radius / np.sqrt(aspect))
    distance = np.hypot(along, across)
    edge = rough * clouds(rng, size, 1.2 * radius) * np.minimum(distance, 1)
    ramp = np.clip((1 + soft / 2 - distance - edge) / max(soft, 0.75 / radius), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


def walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    bend: float,
    jitter: float,
) -> Path:
    """Return a path from ``start`` (x, y), ``length`` pixels long.

    Args:
        angle: direction that it sets out in, radians.
        bend: by how much it turns from one end to the other, radians.
        jitter: standard deviation of a further turn at each step of about 3 pixels, radians.
    """
    steps = max(6, int(length / 3))
    turns = angle + np.linspace(0, bend, steps) + np.cumsum(rng.normal(0, jitter, steps))
    path = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    return np.cumsum(np.concatenate([[start], path]), axis=0)


def stroke(size: Size, path: Path, widths: NDArray[np.float64]) -> Float:
    """Draw a path with a width in pixels per point, (H, W) 0..1; under half a pixel it gets fainter."""
    height, width = size
    canvas = np.zeros((2 * height, 2 * width), np.uint8)  # twice the size, averaged down: antialiased
    points = np.round(2 * path * 16).astype(int).tolist()
    for start, end, thick in zip(points[:-1], points[1:], widths[1:].tolist(), strict=True):
        cv2.line(canvas, start, end, int(255 * min(2 * thick, 1.0)), max(1, round(2 * thick)), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


__all__ = ["Path", "blob", "clouds", "log_uniform", "stroke", "walk"]
