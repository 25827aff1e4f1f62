"""Scalar fields that textures are made of: what varies over a surface, before it has a colour.

The dead-leaves field follows the model of Lee, Mumford and Huang, "Occlusion models for natural images"
(IJCV 2001): occluding shapes whose radii follow a power law.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edgead.types import Size
from edgead.workbench.shapes import log_uniform
from edgead_plugins.backbones.generated.pieces import (
    Field,
    Generator,
    coordinates,
    noise,
    outline,
    rotate,
    unit,
)


def stochastic(rng: Generator, size: Size) -> Field:
    """Clouds, or islands with soft or hard shores."""
    field = noise(rng, size)
    if rng.random() < 0.3:
        field = unit(np.tanh((field - np.float32(rng.uniform(0.35, 0.65))) * np.float32(rng.uniform(4, 40))))
    return field


def grains(rng: Generator, size: Size) -> Field:
    """White noise brought to one scale: sand, plaster."""
    field = rng.standard_normal(size, np.float32)
    return unit(cv2.GaussianBlur(field, (0, 0), log_uniform(rng, 0.5, 4)))


def cast(rng: Generator, size: Size) -> Field:
    """Bumps of a few sizes with pores here and there: cast metal, concrete, orange peel."""
    field = grains(rng, size) + np.float32(rng.uniform(0, 0.8)) * grains(rng, size)
    pores = np.zeros(size, np.float32)
    for _ in range(int(log_uniform(rng, 1, 150))):
        centre = (int(rng.integers(size[1])), int(rng.integers(size[0])))
        cv2.circle(pores, centre, int(log_uniform(rng, 1, 6)), float(rng.uniform(0.3, 1)), -1, cv2.LINE_AA)
    return unit(field - np.float32(rng.uniform(0.2, 1.5)) * cv2.GaussianBlur(pores, (0, 0), 0.8))


def brushed(rng: Generator, size: Size) -> Field:
    """Long fibres in one direction."""
    return rotate(rng, noise(rng, size, stretch=float(rng.uniform(8, 60))))


def machined(rng: Generator, size: Size) -> Field:
    """The arcs of a milling head or the rings of a lathe: fine grooves of uneven depth about one centre."""
    far = log_uniform(rng, 0.2, 3) * max(size)
    turn = rng.uniform(0, 2 * np.pi)
    y = np.arange(size[0], dtype=np.float32)[:, None] - np.float32(size[0] / 2 + far * np.sin(turn))
    x = np.arange(size[1], dtype=np.float32)[None, :] - np.float32(size[1] / 2 + far * np.cos(turn))
    radius = np.hypot(x, y)
    pitch = np.float32(log_uniform(rng, 1.5, 16))
    depths = rng.standard_normal(4096).astype(np.float32)
    depths = depths if rng.random() < 0.5 else np.sin(np.arange(4096, dtype=np.float32) * 2) + 0.3 * depths
    place = np.mod(radius / pitch, 4095)
    low = place.astype(np.int32)
    groove = depths[low] + (place - low) * (depths[low + 1] - depths[low])
    return unit(groove + np.float32(rng.uniform(0, 2)) * noise(rng, size))


def stripes(rng: Generator, size: Size) -> Field:
    """A few waves: stripes, grids, ripples."""
    total = np.zeros(size, np.float32)
    for _ in range(rng.integers(1, 4)):
        u, v = coordinates(rng, size)
        phase = np.hypot(u, v) if rng.random() < 0.25 else u
        wave = np.sin(phase * np.float32(2 * np.pi / log_uniform(rng, 4, 64)))
        total += np.sign(wave) if rng.random() < 0.2 else wave
    return unit(total)


def periodic(rng: Generator, size: Size) -> Field:
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
    u, v = coordinates(rng, size)
    if rng.random() < 0.3:
        u += np.floor(v / period) * np.float32(period / 2)  # every other row is shifted, as bricks are
    return unit(cv2.remap(motif, np.mod(u, period), np.mod(v, period), cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_WRAP))  # fmt: skip


def woven(rng: Generator, size: Size) -> Field:
    """Threads over and under: plain weave, twill, satin."""
    u, v = coordinates(rng, size)
    pitch = np.float32(rng.uniform(4, 24))
    u, v = u / pitch, v / (pitch * np.float32(rng.uniform(0.6, 1.6)))
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    repeat, step = [(2, 1), (3, 1), (4, 1), (5, 2)][rng.integers(4)]
    over = np.mod(column + step * row, repeat) < rng.integers(1, repeat)
    height_u, height_v = np.abs(np.sin(np.float32(np.pi) * u)), np.abs(np.sin(np.float32(np.pi) * v))
    thread = rng.normal(0, rng.uniform(0, 0.25), (2, 64)).astype(np.float32)
    warp = height_u * (0.6 + 0.4 * height_v) + thread[0, column & 63]
    weft = height_v * (0.6 + 0.4 * height_u) + thread[1, row & 63] + np.float32(rng.uniform(-0.3, 0.3))
    return unit(np.where(over, warp, weft) + np.float32(rng.uniform(0, 0.6)) * grains(rng, size))


def wood(rng: Generator, size: Size) -> Field:
    """Year rings cut lengthwise, with grain."""
    u, v = coordinates(rng, size)
    u = u / np.float32(rng.uniform(4, 25))
    radius = np.hypot(u, v + np.float32(rng.uniform(-200, 200)))
    radius += np.float32(rng.uniform(5, 40)) * noise(rng, size, 2.0)
    rings = np.mod(radius / np.float32(rng.uniform(5, 30)), 1) ** np.float32(rng.uniform(0.7, 3))
    return unit(cv2.GaussianBlur(rings, (0, 0), 0.8) + np.float32(rng.uniform(0.1, 1)) * brushed(rng, size))


def cells(rng: Generator, size: Size) -> Field:
    """Voronoi cells: leather, foam, stones, grain boundaries."""
    seeds = np.full(size, 255, np.uint8)
    n = max(3, int(log_uniform(rng, 1e-4, 1e-2) * size[0] * size[1]))
    seeds[rng.integers(0, size[0], n), rng.integers(0, size[1], n)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    tone = rng.random(int(label.max()) + 1, np.float32)[label]
    mix = np.float32(rng.choice([0.0, 0.5, 1.0]))
    return unit(mix * tone + (1 - mix) * unit(distance.astype(np.float32)))


def dead_leaves(rng: Generator, size: Size) -> Field:
    """Shapes in front of shapes, many small and few large."""
    field = np.full(size, 0.5, np.float32)
    radii = np.minimum(3 * rng.random(int(rng.integers(30, 120))) ** (-1 / 1.6), max(size) / 3)
    for radius in radii:
        cv2.fillPoly(field, [outline(rng, size, radius)], float(rng.random()), cv2.LINE_8)
    return unit(field + np.float32(rng.uniform(0, 0.4)) * noise(rng, size))


def fractal(rng: Generator, size: Size) -> Field:
    """How long a point stays near: a Julia set, detail at all scales."""
    turn, reach = rng.uniform(0, 2 * np.pi), np.float32(log_uniform(rng, 0.2, 1.4))
    c = (0.5 * np.exp(1j * turn) - 0.25 * np.exp(2j * turn)) * rng.uniform(1.0, 1.08)  # about the cardioid
    side = min(max(size), 192)
    axis = np.linspace(-1, 1, side, dtype=np.float32) * reach
    offset = rng.uniform(-0.4, 0.4, 2)
    z = ((axis[None, :] + offset[0]) + 1j * (axis[:, None] + offset[1])).astype(np.complex64)
    longest = np.zeros((side, side), np.float32)
    for _ in range(24):
        near = z.real * z.real + z.imag * z.imag < 4
        z = np.where(near, z * z + np.complex64(c), z)
        longest += near
    longest = unit(longest + unit(np.minimum(np.abs(z), 4)))
    whole = cv2.resize(longest, (max(size), max(size)), interpolation=cv2.INTER_LINEAR)
    return unit(whole[: size[0], : size[1]])


FIELDS: tuple[tuple[Callable[[Generator, Size], Field], float], ...] = (
    (stochastic, 0.18),
    (grains, 0.09),
    (cast, 0.08),
    (brushed, 0.10),
    (machined, 0.08),
    (stripes, 0.07),
    (periodic, 0.10),
    (woven, 0.09),
    (wood, 0.06),
    (cells, 0.06),
    (dead_leaves, 0.06),
    (fractal, 0.03),
)
"""All fields, and how often each is drawn."""


def any_field(rng: Generator, size: Size) -> Field:
    """One of ``FIELDS``."""
    functions, weights = zip(*FIELDS, strict=True)
    chosen: Callable[[Generator, Size], Field] = functions[rng.choice(len(functions), p=weights)]
    return chosen(rng, size)
