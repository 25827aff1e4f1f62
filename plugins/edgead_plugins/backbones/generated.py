"""Pictures that the project makes itself: varied surfaces, parts and print, seen by a camera.

They are what the ``default`` backbone is trained on, so no data set's licence reaches the shipped weights.
A picture is layers, back to front: a surface (a scalar field coloured by a palette, sometimes lit as
relief), parts with surfaces of their own, print, marks, and last the camera (light, blur, noise, grey).
Everything is numpy and OpenCV, and all randomness comes from ``(seed, index)``.

The dead-leaves layer follows the model of Lee, Mumford and Huang, "Occlusion models for natural images"
(IJCV 2001): occluding shapes whose radii follow a power law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Image, Size

Field = NDArray[np.float32]
"""(H, W) float32 in 0..1."""

Generator = np.random.Generator


def generate(seed: int, index: int, size: Size = (256, 256)) -> Image:
    """Return picture number ``index`` of the endless series ``seed``.

    Args:
        seed: at least 0; which series.
        index: at least 0; which picture of it. Any order, any subset: pictures don't depend on each other.
        size: (height, width) in pixels, each at least 16. The scale of the textures doesn't follow the size.

    Returns:
        (H, W, 3) uint8 BGR. The same bytes for the same arguments, numpy and OpenCV versions.

    Raises:
        ValueError: a negative seed or index, or a size under 16.
    """
    if seed < 0 or index < 0 or min(size) < 16:
        raise ValueError(f"seed and index must be at least 0 and size at least 16: {seed}, {index}, {size}")
    rng = np.random.default_rng([seed, index])
    picture = _surface(rng, size)
    for _ in range(rng.choice([0, 1, 2, 4], p=[0.5, 0.25, 0.15, 0.1])):
        picture = _blend(picture, _surface(rng, size), _part_mask(rng, size))
    if rng.random() < 0.25:
        picture = _blend(picture, _palette(rng, 1)[0], _print_mask(rng, size))
    if rng.random() < 0.35:
        picture = _blend(picture, _palette(rng, 1)[0], _marks_mask(rng, size))
    return _camera(rng, picture)


# ---------------------------------------------------------------- fields


def _noise(rng: Generator, size: Size, stretch: float = 1.0) -> Field:
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
    return _unit(total)


def _stochastic(rng: Generator, size: Size) -> Field:
    field = _noise(rng, size)
    if rng.random() < 0.3:  # islands with soft or hard shores
        field = _unit(np.tanh((field - np.float32(rng.uniform(0.35, 0.65))) * np.float32(rng.uniform(4, 40))))
    return field


def _grains(rng: Generator, size: Size) -> Field:
    """White noise brought to one scale: sand, plaster, cast metal."""
    field = rng.standard_normal(size, np.float32)
    sigma = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
    return _unit(cv2.GaussianBlur(field, (0, 0), sigma))


def _brushed(rng: Generator, size: Size) -> Field:
    """Long fibres in one direction."""
    field = _noise(rng, size, stretch=float(rng.uniform(8, 60)))
    return _rotate(rng, field)


def _stripes(rng: Generator, size: Size) -> Field:
    """A few waves: stripes, grids, ripples, the rings of a lathe."""
    total = np.zeros(size, np.float32)
    for _ in range(rng.integers(1, 4)):
        u, v = _coordinates(rng, size)
        phase = np.hypot(u, v) if rng.random() < 0.25 else u
        wave = np.sin(phase * np.float32(2 * np.pi / np.exp(rng.uniform(np.log(4), np.log(64)))))
        total += np.sign(wave) if rng.random() < 0.2 else wave
    return _unit(total)


def _periodic(rng: Generator, size: Size) -> Field:
    """One small motif, repeated: perforated sheet, knurling, tiles, printed patterns."""
    period = int(rng.integers(6, 56))
    motif = rng.standard_normal((period, period)).astype(np.float32)
    if rng.random() < 0.5:
        motif = np.zeros((period, period), np.float32)
        for _ in range(rng.integers(1, 4)):
            centre = [int(value) for value in rng.integers(0, period, 2)]
            cv2.circle(motif, centre, int(rng.integers(1, period // 2)), float(rng.uniform(0.2, 1)),
                       -1 if rng.random() < 0.6 else 1, cv2.LINE_AA)  # fmt: skip
    motif = cv2.GaussianBlur(np.tile(motif, (3, 3)), (0, 0), float(rng.uniform(0.4, period / 8)))
    motif = motif[period : 2 * period, period : 2 * period]
    u, v = _coordinates(rng, size)
    if rng.random() < 0.3:
        u += np.floor(v / period) * np.float32(period / 2)  # every other row is shifted, as bricks are
    return _unit(cv2.remap(motif, np.mod(u, period), np.mod(v, period), cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_WRAP))  # fmt: skip


def _woven(rng: Generator, size: Size) -> Field:
    """Threads over and under: plain weave, twill, satin."""
    u, v = _coordinates(rng, size)
    pitch = np.float32(rng.uniform(4, 24))
    u, v = u / pitch, v / (pitch * np.float32(rng.uniform(0.6, 1.6)))
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    repeat, step = [(2, 1), (3, 1), (4, 1), (5, 2)][rng.integers(4)]
    over = np.mod(column + step * row, repeat) < rng.integers(1, repeat)
    height_u, height_v = np.abs(np.sin(np.float32(np.pi) * u)), np.abs(np.sin(np.float32(np.pi) * v))
    thread = rng.normal(0, rng.uniform(0, 0.25), (2, 64)).astype(np.float32)
    warp = height_u * (0.6 + 0.4 * height_v) + thread[0, column & 63]
    weft = height_v * (0.6 + 0.4 * height_u) + thread[1, row & 63] + np.float32(rng.uniform(-0.3, 0.3))
    return _unit(np.where(over, warp, weft) + np.float32(rng.uniform(0, 0.6)) * _grains(rng, size))


def _wood(rng: Generator, size: Size) -> Field:
    """Year rings cut lengthwise, with grain."""
    u, v = _coordinates(rng, size)
    u = u / np.float32(rng.uniform(4, 25))
    radius = np.hypot(u, v + np.float32(rng.uniform(-200, 200)))
    radius += np.float32(rng.uniform(5, 40)) * _noise(rng, size, 2.0)
    rings = np.mod(radius / np.float32(rng.uniform(5, 30)), 1) ** np.float32(rng.uniform(0.7, 3))
    return _unit(cv2.GaussianBlur(rings, (0, 0), 0.8) + np.float32(rng.uniform(0.1, 1)) * _brushed(rng, size))


def _cells(rng: Generator, size: Size) -> Field:
    """Voronoi cells: leather, foam, stones, grain boundaries."""
    seeds = np.full(size, 255, np.uint8)
    n = max(3, int(np.exp(rng.uniform(np.log(1e-4), np.log(1e-2))) * size[0] * size[1]))
    seeds[rng.integers(0, size[0], n), rng.integers(0, size[1], n)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    tone = rng.random(int(label.max()) + 1, np.float32)[label]
    mix = np.float32(rng.choice([0.0, 0.5, 1.0]))
    return _unit(mix * tone + (1 - mix) * _unit(distance.astype(np.float32)))


def _dead_leaves(rng: Generator, size: Size) -> Field:
    """Shapes in front of shapes, many small and few large."""
    field = np.full(size, 0.5, np.float32)
    n = int(rng.integers(40, 250))
    radii = np.minimum(3 * rng.random(n) ** (-1 / 1.6), max(size) / 3)
    for radius in radii:
        cv2.fillPoly(field, [_outline(rng, size, radius)], float(rng.random()), cv2.LINE_8)
    return _unit(field + np.float32(rng.uniform(0, 0.4)) * _noise(rng, size))


_FIELDS: tuple[tuple[Callable[[Generator, Size], Field], float], ...] = (
    (_stochastic, 0.2),
    (_grains, 0.1),
    (_brushed, 0.12),
    (_stripes, 0.08),
    (_periodic, 0.14),
    (_woven, 0.12),
    (_wood, 0.08),
    (_cells, 0.08),
    (_dead_leaves, 0.08),
)


# ---------------------------------------------------------------- from field to surface


def _surface(rng: Generator, size: Size) -> Field:
    """A coloured (H, W, 3) float32 BGR surface in 0..1."""
    field = _any_field(rng, size)
    if rng.random() < 0.5:
        share = np.float32(rng.uniform(0.05, 0.5))
        field = (1 - share) * field + share * _any_field(rng, size)
    table = _palette(rng, int(rng.integers(2, 5)))
    ramp = np.linspace(0, len(table) - 1, 1024)
    table = np.stack([np.interp(ramp, np.arange(len(table)), table[:, c]) for c in range(3)], axis=1)
    colour = table.astype(np.float32)[(np.clip(field, 0, 1) * 1023).astype(np.int32)]
    if rng.random() < 0.35:  # the field as height, lit from one side
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(1, 8)
        slope = np.cos(angle) * cv2.Sobel(field, cv2.CV_32F, 1, 0, scale=0.125)
        slope += np.sin(angle) * cv2.Sobel(field, cv2.CV_32F, 0, 1, scale=0.125)
        colour *= np.clip(1 + np.float32(depth) * slope, 0.2, 1.8)[..., None]
    return colour


def _any_field(rng: Generator, size: Size) -> Field:
    functions, weights = zip(*_FIELDS, strict=True)
    chosen: Callable[[Generator, Size], Field] = functions[rng.choice(len(functions), p=weights)]
    return chosen(rng, size)


def _palette(rng: Generator, n: int) -> NDArray[np.float32]:
    """(n, 3) float32 BGR in 0..1 around one tone; often grey, seldom gaudy, contrast from faint to full."""
    tone = rng.uniform(0.12, 0.85)
    contrast = np.exp(rng.uniform(np.log(0.06), np.log(0.5)))
    light = tone + contrast * rng.uniform(-1, 1, (n, 1))
    saturation = rng.choice([0.0, 0.08, 0.2, 0.4], p=[0.35, 0.3, 0.25, 0.1])
    hue = rng.standard_normal(3) + rng.uniform(0, 1.5) * rng.standard_normal((n, 3)) * (rng.random() < 0.4)
    return np.asarray(np.clip(light * (1 + saturation * hue), 0, 1), np.float32)


# ---------------------------------------------------------------- parts, print, marks


def _part_mask(rng: Generator, size: Size) -> Field:
    """A machined-looking part: an outline with holes, or a frame around the picture."""
    mask = np.zeros(size, np.uint8)
    radius = rng.uniform(0.1, 0.45) * max(size)
    cv2.fillPoly(mask, [_outline(rng, size, radius)], 255, cv2.LINE_AA)
    for _ in range(rng.integers(0, 5)):
        cv2.fillPoly(mask, [_outline(rng, size, rng.uniform(0.02, 0.25) * radius)], 0, cv2.LINE_AA)
    if rng.random() < 0.25:
        mask = 255 - mask
    return _soft(mask, float(rng.uniform(0.3, 2)))


def _print_mask(rng: Generator, size: Size) -> Field:
    """Rows of glyph-like strokes from a small made-up alphabet, or bars as of a bar code."""
    mask = np.zeros(size, np.uint8)
    pitch = int(rng.integers(7, 40))
    thickness = max(1, round(pitch * rng.uniform(0.06, 0.2)))
    alphabet = [rng.uniform(0, 1, (rng.integers(2, 5), 2)) * (0.65, 0.8) for _ in range(10)]
    bars, row_step = rng.random() < 0.2, pitch * rng.uniform(1.1, 2.5)
    top, left = rng.uniform(0, size[0] * 0.7), rng.uniform(0, size[1] * 0.5)
    columns, rows = int(rng.integers(2, max(3, size[1] // pitch))), int(rng.integers(1, 6))
    for row in range(rows):
        for column in range(columns):
            corner = np.array([left + column * pitch, top + row * row_step])
            if bars:
                width = pitch * rng.uniform(0.1, 0.9)
                stroke = np.array([[0, 0], [width, 0], [width, row_step], [0, row_step]])
                cv2.fillPoly(mask, [_pixels(corner + stroke)], 255, cv2.LINE_AA)
            elif rng.random() < 0.85:
                stroke = corner + alphabet[rng.integers(len(alphabet))] * pitch
                cv2.polylines(mask, [_pixels(stroke)], bool(rng.random() < 0.2), 255, thickness, cv2.LINE_AA)
    return _rotate(rng, _soft(mask, 0.3) * np.float32(rng.uniform(0.4, 1)), reflect=False)


def _marks_mask(rng: Generator, size: Size) -> Field:
    """Scratches, dots and stains."""
    mask = np.zeros(size, np.uint8)
    for _ in range(rng.integers(1, 8)):
        start, turn = rng.uniform(0, 1, 2) * size[::-1], rng.uniform(0, 2 * np.pi)
        if rng.random() < 0.5:
            steps = rng.normal(0, 0.15, 12).cumsum() + turn
            path = start + np.cumsum(np.stack([np.cos(steps), np.sin(steps)], 1) * rng.uniform(1, 12), 0)
            cv2.polylines(mask, [_pixels(path)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:
            radius = float(np.exp(rng.uniform(0, np.log(16))))
            cv2.fillPoly(mask, [_outline(rng, size, radius)], 255, cv2.LINE_AA)
    return _soft(mask, float(rng.uniform(0.3, 3))) * np.float32(rng.uniform(0.3, 1))


def _outline(rng: Generator, size: Size, radius: float) -> NDArray[np.int32]:
    """A closed outline: ellipse, polygon, star or wobbly blob, anywhere in the picture, (n, 1, 2) pixels."""
    n = int(rng.choice([3, 4, 4, 5, 6, 16, 32, 32]))
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.uniform(0, 2 * np.pi)
    reach = np.full(n, radius)
    if n >= 16 and rng.random() < 0.5:
        reach *= 1 + rng.uniform(0, 0.3) * np.sin(turn * rng.integers(2, 7) + rng.uniform(0, 6))
    points = np.stack([np.cos(turn), np.sin(turn) * rng.uniform(0.25, 1)], 1) * reach[:, None]
    angle = rng.uniform(0, np.pi)
    spin = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return _pixels(points @ spin + rng.uniform(0, 1, 2) * size[::-1])


# ---------------------------------------------------------------- camera


def _camera(rng: Generator, picture: NDArray[Any]) -> Image:
    """Light, blur, exposure, noise; sometimes a mono camera. From 0..1 to uint8."""
    size = picture.shape[:2]
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    fall_x, fall_y, vignette = (rng.uniform(-0.3, 0.3, 3) * (rng.random() < 0.7)).astype(np.float32)
    light = 1 + fall_x * x + fall_y * y - np.abs(vignette) * (x * x + y * y)
    picture = picture * light[..., None]
    picture *= np.float32(rng.uniform(0.2, 0.7) / max(float(picture.mean()), 0.02))
    mono = rng.random() < 0.2
    if mono:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.6)))
    picture = np.clip(picture, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.15)))
    sigma = np.float32(rng.choice([0.0, rng.uniform(0.002, 0.03)]))
    noise = rng.standard_normal((*size, 1 if mono else 3), np.float32) * sigma
    picture = picture + noise * (0.5 + np.sqrt(picture))  # shot noise grows with the light
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255), np.uint8)


# ---------------------------------------------------------------- small pieces


def _unit(field: NDArray[Any]) -> Field:
    """Scale to 0..1; a constant becomes 0."""
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - np.float32(low)) / np.float32(max(high - low, 1e-6)), np.float32)


def _coordinates(rng: Generator, size: Size) -> tuple[Field, Field]:
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
        u, v = u + reach * _noise(rng, size), v + reach * _noise(rng, size)
    return u, v


def _rotate(rng: Generator, field: Field, reflect: bool = True) -> Field:
    """Turn about the middle: a little, or by any angle."""
    angle = float(rng.normal(0, 3) + rng.choice([0.0, 90.0, rng.uniform(0, 180)]))
    height, width = field.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    border = cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT
    turned = cv2.warpAffine(field, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(turned, np.float32)


def _soft(mask: NDArray[np.uint8], sigma: float) -> Field:
    """A drawn 0..255 mask with softened edges, as 0..1."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) / np.float32(255)


def _pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(points).astype(np.int32).reshape(-1, 1, 2)


def _blend(below: Field, above: Field, mask: Field) -> Field:
    return below + mask[..., None] * (above - below)
