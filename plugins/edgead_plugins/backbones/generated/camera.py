"""The camera: light, blur, exposure, noise, compression; often a mono one."""

from __future__ import annotations

import cv2
import numpy as np

from edgead.types import Image
from edgead.workbench.shapes import log_uniform
from edgead_plugins.backbones.generated.pieces import Colour, Generator


def shoot(rng: Generator, picture: Colour) -> Image:
    """From a scene, about 0..1, to what a camera gives of it, (H, W, 3) uint8 BGR."""
    picture = picture * _light(rng, picture.shape[:2])[..., None]
    picture *= np.float32(rng.uniform(0.15, 0.75) / max(float(picture.mean()), 0.02))
    mono = rng.random() < 0.3
    if mono:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), log_uniform(rng, 0.3, 2.2))
    if rng.random() < 0.15:  # many cameras sharpen
        soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.8, 2)))
        picture = picture + np.float32(rng.uniform(0.3, 1.5)) * (picture - soft)
    picture = np.asarray(np.clip(picture, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2))), np.float32)
    sigma = np.float32(rng.choice([0.0, rng.uniform(0.002, 0.03)]))
    noise = rng.standard_normal((*picture.shape[:2], 1 if mono else 3), np.float32) * sigma
    noisy = picture + noise * (0.5 + np.sqrt(picture))  # shot noise grows with the light
    image = np.asarray(np.clip(np.rint(noisy * 255), 0, 255), np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 98))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return image


def _light(rng: Generator, size: tuple[int, ...]) -> np.ndarray:
    """Fall-off to one side and to the rim, now and then a bright spot or the edge of a shadow, about 1."""
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    fall_x, fall_y, vignette = (rng.uniform(-0.3, 0.3, 3) * (rng.random() < 0.7)).astype(np.float32)
    light = 1 + fall_x * x + fall_y * y - np.abs(vignette) * (x * x + y * y)
    if rng.random() < 0.12:
        centre, width = rng.uniform(-1, 1, 2).astype(np.float32), np.float32(rng.uniform(0.1, 0.7))
        far = np.square(x - centre[0]) + np.square(y - centre[1])
        light = light + np.float32(rng.uniform(0.2, 1.2)) * np.exp(-far / (2 * width * width))
    if rng.random() < 0.08:
        turn, place = rng.uniform(0, 2 * np.pi), np.float32(rng.uniform(-0.7, 0.7))
        edge = np.tanh((np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y - place) *
                       np.float32(log_uniform(rng, 2, 60)))  # fmt: skip
        light = light * (1 - np.float32(rng.uniform(0.1, 0.35)) * (1 + edge))
    return np.asarray(np.maximum(light, 0.05), np.float32)
