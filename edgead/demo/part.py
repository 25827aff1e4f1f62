"""The demo's part: a face-turned flange ring on a conveyor mat, drawn under a noisy camera.

Good parts differ as real ones do: position, rotation, turning marks, lamp, white balance, ink, dust, focus,
sensor noise. A defective part is the same part with one flaw, so that outside the flaw's mask the two images
are nearly equal. Everything is drawn here; no image is copied from anywhere.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Image
from edgead.workbench.shapes import clouds

Float = NDArray[np.float32]
Mask = NDArray[np.uint8]

SIZE = 320
"""Height and width of an image in pixels."""
SHAPE = (SIZE, SIZE)
HOLES = 5
BORE, STEP, PRINT, PITCH, HOLE, BEVEL = 0.27, 0.50, (0.545, 0.645), 0.79, 0.085, 0.955
"""Radii of the part's features, as fractions of its outer radius; PRINT is a band, HOLE a bolt hole's own."""
SINK = 1.32 * HOLE
"""Outer radius of a bolt hole's countersink."""


@dataclass(frozen=True)
class Part:
    """One part under the camera: its pose and light, and each pixel's place on it.

    Attributes:
        centre: x, y in pixels.
        radius: outer radius in pixels.
        angle: rotation in radians.
        lamp: direction that the light comes from, in radians.
        r, turn: (H, W) distance from the part's axis (1 is the rim) and angle in the part's own frame.
        seed: of everything random on the surface.
    """

    centre: tuple[float, float]
    radius: float
    angle: float
    lamp: float
    r: Float
    turn: Float
    seed: tuple[int, int]

    def pixel(self, r: float, turn: float) -> tuple[float, float]:
        """Return x, y of a place on the part."""
        world, reach = turn + self.angle, self.radius * r
        return self.centre[0] + reach * float(np.cos(world)), self.centre[1] + reach * float(np.sin(world))

    def hole(self, number: int) -> tuple[float, float]:
        """Return x, y of a bolt hole, 0 to HOLES - 1."""
        return self.pixel(PITCH, 2 * np.pi * (number + 0.5) / HOLES)


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a part, in terms of the part; what is None is as it should be.

    Attributes:
        mask: (H, W) uint8 of 0 and 1, where the flaw is.
        height: (H, W) the surface pushed in or out, in pixels.
        cut: (H, W) 0..1, material that is missing.
        hole: number of the bolt hole that nobody drilled.
        ink: (H, W) 0..1, how much of the print is left.
        gain: (H, W, 3) factor on the surface's brightness.
        cover: (H, W, 4) something lying on it: BGR in 0..1, and opacity.
    """

    mask: Mask
    height: Float | None = None
    cut: Float | None = None
    hole: int | None = None
    ink: Float | None = None
    gain: Float | None = None
    cover: Float | None = None


def place(seed: int, index: int) -> Part:
    """Put part number ``index`` of a production run on the mat, a few pixels and degrees off as always."""
    rng = np.random.default_rng([seed, index])
    centre = (SIZE / 2 + rng.uniform(-6, 6), SIZE / 2 + rng.uniform(-6, 6))
    radius = 0.4 * SIZE * rng.uniform(0.99, 1.01)
    angle = np.radians(rng.uniform(-14, 14))
    lamp = np.radians(-125 + rng.normal(0, 4))
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    dx, dy = (x - np.float32(centre[0])) / radius, (y - np.float32(centre[1])) / radius
    turn = np.mod(np.arctan2(dy, dx) - angle, 2 * np.pi)
    return Part(centre, radius, angle, lamp, np.hypot(dx, dy), turn.astype(np.float32), (seed, index))


def render(part: Part, flaw: Flaw | None = None) -> Image:
    """Draw a part, with its flaw if it has one, as (SIZE, SIZE, 3) uint8 BGR."""
    rng = np.random.default_rng([*part.seed, 1])
    mat = _mat(part, rng)
    metal, cover = _metal(part, flaw, rng)
    scene = _dust(mat * (1 - cover[..., None]) + metal * cover[..., None], rng)
    if flaw is not None and flaw.cover is not None:
        opacity = flaw.cover[..., 3:]
        shadow = cv2.GaussianBlur(np.roll(opacity[..., 0], (2, 2), (0, 1)), (0, 0), 1.5)[..., None]
        scene = scene * (1 - 0.4 * shadow)
        scene = scene * (1 - opacity) + flaw.cover[..., :3] * opacity
    return _camera(scene, rng)


# ---------------------------------------------------------------- the scene


def _mat(part: Part, rng: np.random.Generator) -> Float:
    """A dark rubber mat with a diamond weave, and the part's shadow on it."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    shift = rng.uniform(0, 50, 2)
    weave = np.sin((x + y + shift[0]) * 0.55) * np.sin((x - y + shift[1]) * 0.55)
    grey = 0.16 + 0.012 * weave + 0.008 * clouds(rng, SHAPE, 40, 2) + 0.008 * clouds(rng, SHAPE, 2, 1)
    toward = np.float32(part.radius * 0.055)
    dx = x - np.float32(part.centre[0]) + toward * np.float32(np.cos(part.lamp))
    dy = y - np.float32(part.centre[1]) + toward * np.float32(np.sin(part.lamp))
    shadow = np.clip((1.06 - np.hypot(dx, dy) / part.radius) / 0.10, 0, 1)
    shadow *= np.clip((part.r - BORE * 0.8) / 0.1, 0, 1)
    return np.asarray((grey * (1 - 0.6 * shadow))[..., None] * np.array([1.08, 1.0, 0.90]), np.float32)


def _metal(part: Part, flaw: Flaw | None, rng: np.random.Generator) -> tuple[Float, Float]:
    """The part's surface (SIZE, SIZE, 3) and where there is any, 0..1."""
    r, world = part.r, part.turn + np.float32(part.angle)
    soft = np.float32(1 / part.radius)  # one pixel
    facing = np.cos(world - np.float32(part.lamp))  # 1 where a rim's outward normal looks at the lamp
    slope = np.zeros_like(r)
    if flaw is not None and flaw.height is not None:  # the marks follow the surface, the light its slope
        down, right = np.gradient(flaw.height)
        slope = np.asarray(-right * np.cos(part.lamp) - down * np.sin(part.lamp), np.float32)
        r = r + flaw.height * soft * np.float32(0.35)

    # Turned grooves mirror the lamp to the camera only where they lie across it: two opposite wedges.
    wedge = np.exp(-((np.sin(world - np.float32(part.lamp)) / np.float32(0.34)) ** 2))
    second = np.exp(-((np.sin(world - np.float32(part.lamp + 1.25)) / np.float32(0.16)) ** 2))
    marks = _turning_marks(part, r, rng)
    shade: Float = 0.44 + 0.20 * wedge + 0.07 * second + (0.032 + 0.028 * wedge) * marks
    shade = shade * np.where(r < STEP, np.float32(1.07), np.float32(1))
    groove = np.exp(-(((r - np.float32(STEP)) / (1.4 * soft)) ** 2))
    shade = _blend(shade, shade - 0.22 * facing - 0.12, groove)
    shade = _blend(shade, 0.50 + 0.30 * facing, np.clip((r - BEVEL) / soft, 0, 1))
    shade = _blend(shade, 0.40 - 0.26 * facing, np.clip((BORE + 0.03 - r) / soft, 0, 1))

    cover = np.clip((1 - part.r) / soft + 0.5, 0, 1) * np.clip((part.r - BORE) / soft + 0.5, 0, 1)
    for number in range(HOLES):
        if flaw is None or flaw.hole != number:
            shade, cover = _bolt_hole(part, number, shade, cover)
    shade = shade * (1 - 0.62 * _print(part, flaw, rng))
    if flaw is not None and flaw.cut is not None:  # the break shows fresh, bright metal
        cover = cover * (1 - flaw.cut)
        shade = shade + 0.5 * cv2.GaussianBlur(flaw.cut, (0, 0), 1.2) * (1 - flaw.cut)
    shade = shade * (1 + 1.6 * slope) + 0.25 * slope

    metal = np.asarray(shade[..., None] * np.array([1.0, 0.99, 0.965]), np.float32)
    if flaw is not None and flaw.gain is not None:
        metal = metal * flaw.gain
    return metal, np.asarray(cover, np.float32)


def _turning_marks(part: Part, r: Float, rng: np.random.Generator) -> Float:
    """Noise that runs round the axis: sharp across the grooves, long along them."""
    rows, columns = 190, 40
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    grid = 0.6 * grid + 0.8 * rng.standard_normal((rows, 1)).astype(np.float32)
    grid = np.concatenate([grid, grid[:, :1]], axis=1)
    across = (r * np.float32(rows / 1.1)).astype(np.float32)
    along = part.turn * np.float32(columns / (2 * np.pi))
    marks = cv2.remap(grid, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(marks + np.float32(0.35) * clouds(rng, SHAPE, 1.5, 1), np.float32)


def _bolt_hole(part: Part, number: int, shade: Float, cover: Float) -> tuple[Float, Float]:
    x, y = part.hole(number)
    columns, rows = np.arange(SIZE, dtype=np.float32)[None], np.arange(SIZE, dtype=np.float32)[:, None]
    dx, dy = columns - np.float32(x), rows - np.float32(y)
    distance = np.hypot(dx, dy)
    facing = (dx * np.cos(part.lamp) + dy * np.sin(part.lamp)) / np.maximum(distance, 1)
    sink = np.clip(SINK * part.radius - distance + 0.5, 0, 1)  # it looks away from its own rim
    shade = _blend(shade, 0.42 - 0.26 * facing, sink)
    return shade, np.asarray(cover * np.clip(distance - HOLE * part.radius + 0.5, 0, 1), np.float32)


@functools.lru_cache(maxsize=1)
def _artwork() -> Float:
    """The marking as a strip (rows across the band, columns round the part), 0..1, drawn once."""
    strip = np.zeros((96, 2400), np.uint8)
    for column, text in ((180, "EDGEAD"), (670, "FR-6204"), (1210, "AlSi10Mg"), (1800, "PN 16")):
        cv2.putText(strip, text, (column, 74), cv2.FONT_HERSHEY_DUPLEX, 2.4, 255, 7, cv2.LINE_AA)
    for column in (100, 600, 1130, 1700, 2150):
        cv2.circle(strip, (column, 48), 14, 255, -1, cv2.LINE_AA)
    cv2.rectangle(strip, (2200, 20), (2330, 78), 255, 6)
    smooth = cv2.blur(strip, (5, 5))  # it is finer than the image
    return np.asarray(smooth, np.float32) / np.float32(255)


def _print(part: Part, flaw: Flaw | None, rng: np.random.Generator) -> Float:
    """The laser marking's darkness, 0..1, bent round the axis."""
    art = _artwork()
    inner, outer = PRINT
    across = ((outer - part.r) * np.float32(art.shape[0] / (outer - inner))).astype(np.float32)
    along = part.turn * np.float32(art.shape[1] / (2 * np.pi))
    ink = cv2.remap(art, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    ink = ink * rng.uniform(0.85, 1.0) * np.clip(0.95 + 0.05 * clouds(rng, SHAPE, 5, 2), 0, 1)
    if flaw is not None and flaw.ink is not None:
        ink = ink * flaw.ink
    return np.asarray(ink, np.float32)


def _dust(scene: Float, rng: np.random.Generator) -> Float:
    """A few faint specks, as every good part has."""
    layer = np.zeros(SHAPE, np.float32)
    for _ in range(int(rng.integers(3, 10))):
        x, y = rng.integers(0, SIZE, 2)
        layer[y, x] = rng.uniform(0.2, 0.7)
    return np.asarray(scene * (1 - cv2.GaussianBlur(layer, (0, 0), 0.7)[..., None]), np.float32)


def _camera(scene: Float, rng: np.random.Generator) -> Image:
    """Light fall-off, exposure, white balance, focus, shot and read noise."""
    ramp = np.linspace(-1, 1, SIZE, dtype=np.float32)
    across, down = rng.normal(-0.05, 0.02), rng.normal(-0.06, 0.02)
    light = 1 + np.float32(across) * ramp[None] + np.float32(down) * ramp[:, None]
    light = light - np.float32(0.10) * (ramp[None] ** 2 + ramp[:, None] ** 2)
    balance = rng.normal(1, 0.006, 3) * rng.uniform(0.95, 1.05)
    scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.45, 0.65)) * light[..., None] * np.float32(balance)
    scene = np.clip(scene, 0, 1)
    grain = rng.standard_normal(scene.shape, dtype=np.float32)
    scene = scene + grain * np.sqrt(scene * np.float32(1.1e-4) + np.float32(1.5e-5))
    return np.asarray(np.clip(scene * 255 + 0.5, 0, 255), np.uint8)


def _blend(under: Float, over: Float, opacity: Float) -> Float:
    return np.asarray(under * (1 - opacity) + over * opacity, np.float32)


__all__ = [
    "BEVEL",
    "BORE",
    "HOLE",
    "HOLES",
    "PITCH",
    "PRINT",
    "SHAPE",
    "SINK",
    "SIZE",
    "Flaw",
    "Float",
    "Mask",
    "Part",
    "place",
    "render",
]
