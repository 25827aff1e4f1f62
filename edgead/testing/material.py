"""What the checks look at: generated images of a small part, and frames that no camera should send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Image, Size

SIZE: Size = (64, 64)
"""Height and width of the images, and of the graphs that are made for the checks."""


def good_image(index: int, size: Size = SIZE) -> Image:
    """A ring on a brushed plate; light, place and noise differ with the index."""
    rng = np.random.default_rng(index)
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    image = 120 + 25 * (columns / width - 0.5) + rng.normal(0, 4, (height, 1)).astype(np.float32)
    y, x = np.array([height, width]) / 2 + rng.uniform(-0.5, 0.5, 2)
    away = np.abs(np.hypot(rows - y, columns - x) - min(size) / 3.5)
    image += 70 * np.clip(4 - away, 0, 1)
    image = image * rng.uniform(0.95, 1.05) + rng.normal(0, 2, size)
    colour = np.array([0.9, 1.0, 1.08], np.float32)
    return np.asarray(np.clip(image[..., None] * colour, 0, 255).astype(np.uint8))


def defective_image(index: int, size: Size = SIZE) -> Image:
    """A good part with a dark blot that nobody overlooks."""
    image = np.ascontiguousarray(good_image(10_000 + index, size))
    rng = np.random.default_rng(index)
    y, x = (int(side * rng.uniform(0.3, 0.7)) for side in size)
    cv2.circle(image, (x, y), max(3, min(size) // 8), (15, 10, 20), -1)
    return image


def hostile_frames() -> Mapping[str, NDArray[Any]]:
    """Frames that a detector takes and a network has never seen, by what they are."""
    rng = np.random.default_rng(0)
    part = good_image(0)
    return {
        "black": np.zeros_like(part),
        "white": np.full_like(part, 255),
        "noise": rng.integers(0, 256, part.shape, np.uint8),
        "dark": part // 16,
        "bright": np.clip(part.astype(int) * 3, 0, 255).astype(np.uint8),
        "tiny": part[:8, :8],
        "a wide strip": rng.integers(0, 256, (8, 400, 3), np.uint8),
        "a tall strip": rng.integers(0, 256, (400, 8, 3), np.uint8),
        "single-channel": part[..., 0],
        "16-bit single-channel": part[..., 0].astype(np.uint16) * 257,
        "mirrored without a copy": part[:, ::-1],
    }


def write_images(folder: Path, images: Iterable[Image]) -> Path:
    """Write images as PNG, numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        (folder / f"{index:03d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder


__all__ = ["SIZE", "defective_image", "good_image", "hostile_frames", "write_images"]
