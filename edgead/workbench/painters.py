"""Painters of synthetic defects: what each kind looks like, at a place of a good image, as clear as asked.

Sizes follow the image's size, unless one is asked for; contrasts the image's own texture, colours its own
saturation: a grey image stays grey. The cut-and-paste kinds follow CutPaste (Li et al., CVPR 2021), the
foreign textures DRAEM (Zavrtanik et al., ICCV 2021) with textures drawn from noise; the rest are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.workbench.shapes import blob, clouds, log_uniform, stroke, walk

Float = NDArray[np.float32]

SLIM = (0.1, 0.3)
"""A line's width as a share of its length, where a size is asked for."""


@dataclass(frozen=True)
class Scene:
    """The image and what a painter must know about the place of its defect."""

    image: Float  # (H, W, 3), 0..255
    y: float  # the defect's centre
    x: float
    unit: float  # a length that stands for the image's size
    contrast: float  # grey levels of a clearly visible change at this place
    saturation: float  # grey levels between the channels there, 0 on a grey image
    noise: float  # standard deviation of the sensor's noise, grey levels
    extent: float | None = None  # pixels from end to end that are asked for; None: by ``unit``

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    def radius(self, rng: np.random.Generator, low: float, high: float) -> float:
        """A radius in pixels, from low to high in units, or half the extent asked for."""
        drawn = self.unit * log_uniform(rng, low, high)
        return drawn if self.extent is None else self.extent / 2

    def length(self, rng: np.random.Generator, low: float, high: float) -> float:
        """The same of a line from end to end."""
        drawn = self.unit * log_uniform(rng, low, high)
        return drawn if self.extent is None else self.extent

    def width(self, rng: np.random.Generator, low: float, high: float) -> float:
        """A line's width in pixels, from low to high in units, or ``SLIM`` of the extent asked for."""
        if self.extent is None:
            return self.unit * log_uniform(rng, low, high)
        return self.extent * log_uniform(rng, *SLIM)


Painter = Callable[[Scene, np.random.Generator, float], tuple[Float, Float]]
"""(scene, rng, visibility) -> change (H, W, 3) in grey levels, and where: (H, W), 0..1."""


def _tone(scene: Scene, rng: np.random.Generator, amplitude: float) -> Float:
    """A colour shift (3,) of this size in grey levels, away from black or white near either."""
    level = float(scene.image[int(scene.y), int(scene.x)].mean())
    darker = rng.random() < (0.6 if 60 < level < 190 else float(level >= 190))
    hue = rng.normal(0, 1, 3) * min(scene.saturation / 200, 0.25)
    return np.asarray((-amplitude if darker else amplitude) * (1 + hue - hue.mean()), np.float32)


def _blob(scene: Scene, rng: np.random.Generator, radius: float, soft: float, rough: float = 0.25) -> Float:
    least = 1.5 if scene.extent is None else 0.5
    radius = max(least, min(radius, 0.35 * min(scene.size)))
    return blob(rng, scene.size, (scene.x, scene.y), radius, soft, rough)


def _flat(scene: Scene, tone: Float) -> Float:
    """The same change (3,) everywhere, as (H, W, 3)."""
    return np.broadcast_to(tone, scene.image.shape)


def _moved(scene: Scene, rng: np.random.Generator, flip: bool = True) -> Float:
    """The image turned over and shifted by at least a quarter: texture from elsewhere for every place."""
    height, width = scene.size
    moved = scene.image
    if flip and rng.random() < 0.5:
        moved = moved[::-1] if height >= width else moved[:, ::-1]
    longer = 0 if height >= width else 1
    shift = [int(rng.integers(-side // 4, side // 4 + 1)) for side in (height, width)]
    shift[longer] = int(rng.uniform(0.25, 0.75) * scene.size[longer])
    return np.roll(moved, shift, (0, 1))


def _scratch(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A thin, slightly curved line with a bright ridge beside it, fading along its length."""
    length = scene.length(rng, 0.15, 0.6)
    angle = rng.uniform(0, 2 * np.pi)
    start = (scene.x - 0.5 * length * np.cos(angle), scene.y - 0.5 * length * np.sin(angle))
    path = walk(rng, start, angle, length, rng.normal(0, 0.5), 0.02)
    along = np.linspace(0, 1, len(path))
    width = scene.width(rng, 0.003, 0.010) * (0.35 + np.sin(np.pi * along) ** 0.7)
    groove = stroke(scene.size, path, width)
    ridge = np.roll(groove, (int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))), (0, 1))
    fading = np.clip(0.75 + 0.35 * clouds(rng, scene.size, max(length / 5, 4), 1), 0.1, 1)
    tone = _tone(scene, rng, 1.6 * visibility * scene.contrast)
    depth = groove - 0.45 * ridge * (1 - groove)
    return _flat(scene, tone) * np.sign(depth)[..., None], np.abs(depth) * fading


def _crack(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A dark, broken, branching line that tapers to nothing."""
    length = scene.length(rng, 0.15, 0.5)
    width = scene.width(rng, 0.003, 0.011)
    angle = rng.uniform(0, 2 * np.pi)
    trunk = walk(rng, (scene.x, scene.y), angle, length, rng.normal(0, 0.4), 0.28)
    shape = stroke(scene.size, trunk, width * np.linspace(1, 0.25, len(trunk)))
    for _ in range(int(rng.integers(0, 4))):
        root = tuple(trunk[int(rng.integers(len(trunk)))])
        turn = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        branch = walk(rng, root, turn, length * rng.uniform(0.15, 0.5), 0.0, 0.3)
        shape = np.maximum(shape, stroke(scene.size, branch, width * np.linspace(0.6, 0.15, len(branch))))
    tone = np.float32(-1.8 * visibility * scene.contrast)
    return _flat(scene, np.full(3, tone, np.float32)), shape


def _stain(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A soft film of another shade, uneven inside, its rim a little stronger as a dried drop's is."""
    radius = scene.radius(rng, 0.05, 0.18)
    shape = _blob(scene, rng, radius, soft=rng.uniform(0.2, 0.6), rough=0.4)
    rim = 4 * shape * (1 - shape)
    uneven = np.clip(1 + 0.3 * clouds(rng, scene.size, radius / 2), 0.2, 1.8)
    return _flat(scene, _tone(scene, rng, 0.9 * visibility * scene.contrast)) * uneven[..., None], np.clip(
        0.8 * shape + 0.35 * rim, 0, 1
    )


def _spot(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A pit or a speck: small, with a lit edge on one side and a shaded one on the other."""
    radius = scene.radius(rng, 0.010, 0.045)
    shape = _blob(scene, rng, radius, soft=0.5, rough=0.15)
    slope_y, slope_x = np.gradient(shape)
    angle = rng.uniform(0, 2 * np.pi)
    lit = (slope_x * np.cos(angle) + slope_y * np.sin(angle)) * np.float32(radius)
    tone = _tone(scene, rng, 1.5 * visibility * scene.contrast)
    return _flat(scene, tone) * (1 + 0.8 * lit)[..., None], shape


def _shade(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A dent or uneven light: the texture stays, its brightness rises on one side and falls on the other."""
    radius = scene.radius(rng, 0.08, 0.25)
    shape = _blob(scene, rng, radius, soft=1.2, rough=0.1)
    angle, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1)
    height, width = scene.size
    dy = (np.arange(height, dtype=np.float32)[:, None] - np.float32(scene.y)) / np.float32(radius)
    dx = (np.arange(width, dtype=np.float32)[None, :] - np.float32(scene.x)) / np.float32(radius)
    tilt = np.clip(np.cos(angle) * dx + np.sin(angle) * dy, -1.5, 1.5) * lean + (1 - lean)
    gain = np.float32(min(0.9 * visibility * scene.contrast / 100, 0.8)) * np.float32(rng.choice([-1, 1]))
    return scene.image * (gain * tilt)[..., None], shape


def _cutpaste(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A patch of the image's own texture in a wrong place, its rim blended."""
    radius = scene.radius(rng, 0.05, 0.15)
    shape = _blob(scene, rng, radius, soft=0.35, rough=0.2)
    return (_moved(scene, rng) - scene.image) * _opacity(visibility), shape


def _scar(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A thin strip of the image's own texture in a wrong place, a shade off."""
    length = scene.length(rng, 0.08, 0.3)
    path = walk(rng, (scene.x, scene.y), rng.uniform(0, 2 * np.pi), length, rng.normal(0, 0.3), 0.03)
    shape = stroke(scene.size, path, np.full(len(path), scene.width(rng, 0.010, 0.035)))
    other = _moved(scene, rng) + _tone(scene, rng, 0.6 * visibility * scene.contrast)
    return (other - scene.image) * _opacity(visibility), cv2.GaussianBlur(shape, (0, 0), 0.8)


def _smear(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """Texture wiped in one direction."""
    radius = scene.radius(rng, 0.06, 0.18)
    shape = _blob(scene, rng, radius, soft=0.5)
    reach = max(3, round(scene.unit * 0.05 * min(visibility + 0.3, 1.5))) | 1
    kernel = np.zeros((reach, reach), np.float32)
    turn, middle = rng.uniform(0, np.pi), reach // 2
    tip = (round(middle * np.cos(turn)), round(middle * np.sin(turn)))
    cv2.line(kernel, (middle - tip[0], middle - tip[1]), (middle + tip[0], middle + tip[1]), 1.0, 1)
    wiped = cv2.filter2D(scene.image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return _noisy(scene, rng, wiped) - scene.image, shape


def _flatten(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """Texture worn away or missing: only the slow shading and the sensor's noise stay."""
    radius = scene.radius(rng, 0.05, 0.15)
    shape = _blob(scene, rng, radius, soft=0.4)
    slow = cv2.GaussianBlur(scene.image, (0, 0), max(1.0, scene.unit * 0.02), borderType=cv2.BORDER_REFLECT)
    worn = _noisy(scene, rng, slow) - scene.image
    return worn * _opacity(visibility), shape


def _foreign(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """A patch of a texture that the product doesn't have, coarser or finer, of about its brightness."""
    radius = scene.radius(rng, 0.03, 0.11)
    shape = _blob(scene, rng, radius, soft=0.3, rough=0.3)
    grain = clouds(rng, scene.size, max(scene.unit * log_uniform(rng, 0.004, 0.05), 1.0), 2)[..., None]
    slow = cv2.GaussianBlur(scene.image, (0, 0), max(1.0, float(radius)), borderType=cv2.BORDER_REFLECT)
    tone = _tone(scene, rng, scene.contrast)
    other = slow + 0.4 * visibility * tone + 0.7 * grain * np.abs(tone)
    return (other - scene.image) * _opacity(visibility), shape


def _warp(scene: Scene, rng: np.random.Generator, visibility: float) -> tuple[Float, Float]:
    """The structure bent: pixels pulled to one side, most in the middle."""
    radius = scene.radius(rng, 0.07, 0.18)
    shape = _blob(scene, rng, radius, soft=1.0, rough=0.1)
    angle, pull = rng.uniform(0, 2 * np.pi), np.float32(0.35 * radius * min(visibility, 1.5))
    height, width = scene.size
    map_y, map_x = np.mgrid[:height, :width].astype(np.float32)
    map_y += pull * np.float32(np.sin(angle)) * shape
    map_x += pull * np.float32(np.cos(angle)) * shape
    bent = cv2.remap(scene.image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return bent - scene.image, np.minimum(3 * shape, 1)


def _opacity(visibility: float) -> np.float32:
    """How much of the image a copy hides: 0.4 at the weakest, nearly all at the clearest."""
    return np.float32(1 - np.exp(-visibility))


def _noisy(scene: Scene, rng: np.random.Generator, smooth: Float) -> Float:
    """Give smoothed content the sensor's noise back, equal in the channels."""
    return smooth + scene.noise * rng.standard_normal((*scene.size, 1)).astype(np.float32)


PAINTERS: Mapping[str, Painter] = {
    "scratch": _scratch,
    "crack": _crack,
    "stain": _stain,
    "spot": _spot,
    "shade": _shade,
    "cutpaste": _cutpaste,
    "scar": _scar,
    "smear": _smear,
    "flatten": _flatten,
    "foreign": _foreign,
    "warp": _warp,
}
"""The kinds of synthetic defect, and who draws each."""

__all__ = ["PAINTERS", "Float", "Painter", "Scene"]
