"""What can be wrong with the demo's part: each kind from hard to see to plain."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edgead.demo.part import BEVEL, BORE, HOLE, HOLES, PITCH, PRINT, SHAPE, SINK, Flaw, Float, Mask, Part
from edgead.workbench.shapes import blob, clouds, log_uniform, stroke, walk

Maker = Callable[[Part, np.random.Generator], Flaw]


def scratch(part: Part, rng: np.random.Generator) -> Flaw:
    """A fine bright line across the turning marks, dark on one side, here and there interrupted."""
    x, y = part.pixel(rng.uniform(0.4, 0.85), _clear_turn(rng))
    length = part.radius * log_uniform(rng, 0.3, 0.9)
    angle = rng.uniform(0, 2 * np.pi)
    start = (x - 0.5 * length * np.cos(angle), y - 0.5 * length * np.sin(angle))
    path = walk(rng, start, angle, length, rng.normal(0, 0.3), 0.012)
    taper = 0.4 + 0.6 * np.sin(np.linspace(0, np.pi, len(path)))
    line = stroke(SHAPE, path, log_uniform(rng, 0.8, 1.7) * taper) * _surface(part)
    line = line * np.clip(0.8 + 0.4 * clouds(rng, SHAPE, 12, 1), 0, 1)
    dark = np.roll(line, (1, 1), (0, 1)) * (1 - line)
    strength = np.float32(log_uniform(rng, 0.25, 0.8))
    return Flaw(_mask(line, 0.2, grow=3), gain=_grey(1 + strength * (1.3 * line - 0.9 * dark)))


def crack(part: Part, rng: np.random.Generator) -> Flaw:
    """A dark jagged line from a bolt hole to the rim or inwards, thinning as it goes."""
    turn = 2 * np.pi * (int(rng.integers(HOLES)) + 0.5) / HOLES
    outward = rng.random() < 0.6
    start = part.pixel(PITCH + (0.9 * HOLE if outward else -0.9 * HOLE), turn)
    length = part.radius * ((1.0 - PITCH - HOLE) if outward else log_uniform(rng, 0.15, 0.35))
    angle = turn + part.angle + (0 if outward else np.pi) + rng.normal(0, 0.25)
    path = walk(rng, start, angle, 1.15 * length, 0.0, 0.25)
    width = log_uniform(rng, 1.0, 2.2)
    line = stroke(SHAPE, path, width * np.linspace(1, 0.45, len(path))) * np.clip((1 - part.r) * 60, 0, 1)
    strength = np.float32(log_uniform(rng, 0.6, 0.9))
    return Flaw(_mask(line, 0.2, grow=3), gain=_grey(1 - strength * line))


def dent(part: Part, rng: np.random.Generator) -> Flaw:
    """The surface knocked in: in shadow on the lamp's side, lit on the other, the turning marks bent."""
    x, y = part.pixel(rng.uniform(0.55, 0.85), _clear_turn(rng))
    radius = part.radius * log_uniform(rng, 0.05, 0.12)
    bowl = blob(rng, SHAPE, (x, y), radius, soft=1.1, rough=0.08)
    depth = np.float32(radius * log_uniform(rng, 0.06, 0.2))
    return Flaw(_mask(bowl * _surface(part), 0.15), height=-depth * bowl)


def missing_hole(part: Part, rng: np.random.Generator) -> Flaw:
    """A bolt hole that nobody drilled."""
    number = int(rng.integers(HOLES))
    x, y = part.hole(number)
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (round(x), round(y)), round(SINK * part.radius), 1, -1)
    return Flaw(mask, hole=number)


def missing_print(part: Part, rng: np.random.Generator) -> Flaw:
    """Letters of the marking faded or gone."""
    turn = rng.choice([0.075, 0.279, 0.504, 0.75]) * 2 * np.pi + rng.uniform(0, 0.5)
    half = log_uniform(rng, 0.13, 0.45)
    away = np.abs(np.mod(part.turn - turn + np.pi, 2 * np.pi) - np.pi)
    gone = np.clip((half - away + 0.05 * clouds(rng, SHAPE, 8)) / 0.06, 0, 1)
    inner, outer = PRINT
    band = ((part.r > inner) & (part.r < outer)).astype(np.float32)
    return Flaw(_mask(gone * band, 0.5), ink=1 - np.float32(rng.uniform(0.7, 1.0)) * gone)


def contamination(part: Part, rng: np.random.Generator) -> Flaw:
    """Something left on the part: a curl of swarf, a fibre or a drop of cutting oil."""
    x, y = part.pixel(rng.uniform(0.4, 0.85), _clear_turn(rng))
    what = rng.choice(["swarf", "fibre", "oil"])
    if what == "oil":
        drop = blob(rng, SHAPE, (x, y), part.radius * log_uniform(rng, 0.05, 0.13), soft=0.25, rough=0.15)
        drop = drop * _surface(part)
        shine = np.clip(np.gradient(drop, axis=0) + np.gradient(drop, axis=1), 0, 1)
        film = 1 - np.float32(log_uniform(rng, 0.2, 0.45)) * drop
        gain = film[..., None] * (1 - drop[..., None] * np.array([0.14, 0.05, 0.0])) + 1.2 * shine[..., None]
        return Flaw(_mask(drop, 0.3), gain=np.asarray(gain, np.float32))
    length = part.radius * log_uniform(rng, 0.18, 0.5)
    bend = rng.choice([-1, 1]) * (rng.uniform(5, 11) if what == "swarf" else rng.uniform(0.5, 3))
    path = walk(rng, (x, y), rng.uniform(0, 2 * np.pi), length, bend, 0.05)
    body = stroke(SHAPE, path, np.full(len(path), 2.4 if what == "swarf" else log_uniform(rng, 0.9, 1.6)))
    body = cv2.GaussianBlur(body, (0, 0), 0.5)
    if what == "swarf":
        glint = np.clip(0.62 + 0.22 * clouds(rng, SHAPE, 4, 1), 0.25, 1)
        tint = glint[..., None] * np.array([0.95, 1.0, 1.03])
    else:
        tint = np.broadcast_to(np.array(rng.choice([[0.20, 0.14, 0.12], [0.75, 0.8, 0.82]])), (*SHAPE, 3))
    cover = np.concatenate([tint, body[..., None]], axis=2).astype(np.float32)
    return Flaw(_mask(body, 0.2, grow=5), cover=cover)


def discolouration(part: Part, rng: np.random.Generator) -> Flaw:
    """Temper colours of a place that ran hot: straw at the rim, brown, then blue towards the middle."""
    x, y = part.pixel(rng.uniform(0.45, 0.9), rng.uniform(0, 2 * np.pi))
    heat = blob(rng, SHAPE, (x, y), part.radius * log_uniform(rng, 0.12, 0.28), soft=1.2, rough=0.25)
    heat = heat * _surface(part) * np.float32(log_uniform(rng, 0.4, 1.0))
    steps = np.array([0, 0.35, 0.65, 1.0])
    colours = np.array([[1, 1, 1], [0.80, 0.95, 1.0], [0.62, 0.72, 0.86], [0.95, 0.76, 0.62]])  # BGR factors
    gain = np.stack([np.interp(heat, steps, colours[:, channel]) for channel in range(3)], axis=2)
    return Flaw(_mask(heat, 0.12), gain=gain.astype(np.float32))


def chipped_rim(part: Part, rng: np.random.Generator) -> Flaw:
    """A piece broken out of the outer edge."""
    x, y = part.pixel(rng.uniform(0.985, 1.02), rng.uniform(0, 2 * np.pi))
    bite = blob(rng, SHAPE, (x, y), part.radius * log_uniform(rng, 0.03, 0.08), soft=0.2, rough=0.35)
    mask = _mask(bite * (part.r < 1), 0.5, grow=3)
    return Flaw(mask, cut=bite)


FLAWS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        scratch,
        crack,
        dent,
        missing_hole,
        missing_print,
        contamination,
        discolouration,
        chipped_rim,
    )
}
"""The kinds by name."""


def _clear_turn(rng: np.random.Generator) -> float:
    """A direction in the part's frame between two bolt holes."""
    return float(2 * np.pi * (int(rng.integers(HOLES)) + rng.uniform(-0.28, 0.28)) / HOLES)


def _surface(part: Part) -> Float:
    """Where the turned face is, without the holes: 0..1."""
    face = np.clip((BEVEL - part.r) * 60, 0, 1) * np.clip((part.r - BORE - 0.03) * 60, 0, 1)
    for number in range(HOLES):
        x, y = part.hole(number)
        hole = np.zeros(SHAPE, np.float32)
        cv2.circle(hole, (round(x), round(y)), round(SINK * part.radius), 1.0, -1)
        face = face * (1 - hole)
    return np.asarray(face, np.float32)


def _grey(gain: Float) -> Float:
    return np.repeat(gain[..., None], 3, axis=2)


def _mask(where: Float, level: float, grow: int = 1) -> Mask:
    """Threshold, and widen a thin line as a person would mark it."""
    mask = (where > level * max(float(where.max()), 1e-6)).astype(np.uint8)
    return np.asarray(cv2.dilate(mask, np.ones((grow, grow), np.uint8)), np.uint8)


__all__ = [
    "FLAWS",
    "chipped_rim",
    "contamination",
    "crack",
    "dent",
    "discolouration",
    "missing_hole",
    "missing_print",
    "scratch",
]
