"""CutPaste and its scar: a piece of the image in a wrong place; Li et al., CVPR 2021, arXiv 2104.04015.

Everything takes and yields (H, W, 3) uint8 BGR, changes no argument, and draws from ``rng`` alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Image
from edgead.workbench.shapes import log_uniform

Mask = NDArray[np.uint8]

AREA = (0.02, 0.15)
"""Share of the image that a patch covers."""
ASPECT = (0.3, 1 / 0.3)
"""Height over width of a patch; drawn log-uniformly, so that tall and wide are equally likely."""
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)
"""Pixels of an image of 256 x 256."""
SCAR_ANGLE = 45.0
"""Degrees that a scar is turned by at most, either way."""


def colour_jitter(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Change brightness, contrast and saturation by factors of 1 +- strength, and the hue by that share of
    the circle, in this order."""
    pixels = image.astype(np.float32)
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    hue = rng.uniform(-strength, strength) * 360
    pixels = np.clip(pixels * brightness, 0, 255)
    pixels = np.clip((pixels - pixels.mean()) * contrast + pixels.mean(), 0, 255)
    grey = pixels @ np.array([0.114, 0.587, 0.299], np.float32)
    pixels = np.clip((pixels - grey[..., None]) * saturation + grey[..., None], 0, 255).astype(np.float32)
    hsv = cv2.cvtColor(pixels / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(hue)) % 360
    return np.asarray(np.rint(np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255, 0, 255)), np.uint8)


def cut_paste(image: Image, rng: np.random.Generator, jitter: float = 0.1) -> tuple[Image, Mask]:
    """Copy a rectangle of the image to another place of it, its colours jittered.

    Returns:
        The image, and the mask (H, W) uint8 of 0 and 1 of where the patch went.
    """
    height, width = image.shape[:2]
    area = rng.uniform(*AREA) * height * width
    aspect = log_uniform(rng, *ASPECT)
    h = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
    w = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
    patch = colour_jitter(_cut(image, rng, h, w), rng, jitter)
    return _paste(image, rng, patch, np.ones((h, w), np.uint8))


def translated(image: Image, rng: np.random.Generator, share: float) -> Image:
    """Shift by whole pixels, up to this share of each side either way; what that uncovers is mirrored."""
    dy, dx = (int(rng.integers(-int(share * n), int(share * n) + 1)) for n in image.shape[:2])
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    shifted = cv2.warpAffine(
        image, move, image.shape[1::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(shifted, np.uint8)


def scar(
    image: Image, rng: np.random.Generator, jitter: float = 0.1, scale: float = 1.0
) -> tuple[Image, Mask]:
    """Copy a thin strip of the image to another place of it, jittered and turned; see ``cut_paste``.

    Args:
        scale: factor on its size; the side of the whole image over 256.
    """
    height, width = image.shape[:2]
    w = int(np.clip(round(scale * rng.uniform(*SCAR_WIDTH)), 1, width))
    h = int(np.clip(round(scale * rng.uniform(*SCAR_LENGTH)), 1, height))
    patch = colour_jitter(_cut(image, rng, h, w), rng, jitter)
    angle = rng.uniform(-SCAR_ANGLE, SCAR_ANGLE)
    turn = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), angle, 1.0)
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    box_w = min(int(np.ceil(w * cosine + h * sine)), width)
    box_h = min(int(np.ceil(h * cosine + w * sine)), height)
    turn[:, 2] += ((box_w - w) / 2, (box_h - h) / 2)
    turned = cv2.warpAffine(
        patch, turn, (box_w, box_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    shape = cv2.warpAffine(np.ones((h, w), np.uint8), turn, (box_w, box_h), flags=cv2.INTER_NEAREST)
    if not shape.any():  # a sliver that fell between the pixels
        shape[box_h // 2, box_w // 2] = 1
    return _paste(image, rng, np.asarray(turned, np.uint8), np.asarray(shape, np.uint8))


def _cut(image: Image, rng: np.random.Generator, h: int, w: int) -> Image:
    y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(image.shape[:2], (h, w), strict=True))
    return image[y : y + h, x : x + w]


def _paste(image: Image, rng: np.random.Generator, patch: Image, shape: Mask) -> tuple[Image, Mask]:
    h, w = shape.shape
    y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(image.shape[:2], (h, w), strict=True))
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[y : y + h, x : x + w] = shape
    pasted = image.copy()
    pasted[mask > 0] = patch[shape > 0]
    return pasted, mask


__all__ = ["colour_jitter", "cut_paste", "scar", "translated"]
