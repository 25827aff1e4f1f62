"""Surfaces: fields with a colour, plain or mixed, flat or lit as relief."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Size
from edgead.workbench.shapes import log_uniform
from edgead_plugins.backbones.generated.fields import any_field
from edgead_plugins.backbones.generated.pieces import Colour, Field, Generator, blend, lit, outline


def surface(rng: Generator, size: Size) -> Colour:
    """A coloured surface: one field or two mixed, through a palette, sometimes lit as relief."""
    field = _anywhere(rng, size)
    if rng.random() < 0.4:
        share = np.float32(rng.uniform(0.05, 0.5))
        field = (1 - share) * field + share * any_field(rng, size)
    table = palette(rng, int(rng.integers(2, 5)))
    ramp = np.linspace(0, len(table) - 1, 1024)
    table = np.stack([np.interp(ramp, np.arange(len(table)), table[:, c]) for c in range(3)], axis=1)
    colour: Colour = table.astype(np.float32)[(np.clip(field, 0, 1) * 1023).astype(np.int32)]
    if rng.random() < 0.35:
        colour *= lit(rng, field, rng.uniform(1, 8))[..., None]
    return colour


def collage(rng: Generator, size: Size) -> Colour:
    """Leaves of a few surfaces in front of each other, each with a shade and often an edge of its own."""
    label = np.zeros(size, np.uint8)
    n = int(rng.integers(6, 60))
    radii = np.minimum(5 * rng.random(n) ** (-1 / 1.4), max(size) / 2)
    for i, radius in enumerate(np.sort(radii)[::-1], start=1):
        cv2.fillPoly(label, [outline(rng, size, radius)], i, cv2.LINE_8)
    kinds = int(rng.integers(2, 4))
    of = rng.integers(kinds, size=n + 1)
    shade = np.exp(rng.normal(0, 0.3, n + 1)).astype(np.float32)
    picture = surface(rng, size)
    for kind in range(1, kinds):
        picture = blend(picture, surface(rng, size), (of == kind).astype(np.float32)[label])
    picture = picture * shade[label][..., None]
    if rng.random() < 0.4:
        relief = cv2.GaussianBlur(rng.random(n + 1, np.float32)[label], (0, 0), log_uniform(rng, 0.7, 3))
        picture = picture * lit(rng, relief, rng.uniform(0.5, 4))[..., None]
    return np.asarray(picture, np.float32)


def palette(rng: Generator, n: int) -> NDArray[np.float32]:
    """(n, 3) float32 BGR in 0..1 around one tone; often grey, seldom gaudy, contrast from little to full."""
    tone = rng.uniform(0.12, 0.85)
    contrast = log_uniform(rng, 0.015, 0.5)
    light = tone + contrast * rng.uniform(-1, 1, (n, 1))
    saturation = rng.choice([0.0, 0.08, 0.2, 0.4], p=[0.4, 0.25, 0.22, 0.13])
    hue = rng.standard_normal(3) + rng.uniform(0, 1.5) * rng.standard_normal((n, 3)) * (rng.random() < 0.4)
    return np.asarray(np.clip(light * (1 + saturation * hue), 0, 1), np.float32)


def _anywhere(rng: Generator, size: Size) -> Field:
    """A field, now and then seen from nearer or squeezed along one side, so that its scale varies further."""
    if rng.random() > 0.25:
        return any_field(rng, size)
    zoom = np.array([log_uniform(rng, 0.6, 3.0)] * 2)
    if rng.random() < 0.5:
        zoom[rng.integers(2)] *= rng.uniform(0.4, 1)
    small = (max(16, round(size[0] / zoom[0])), max(16, round(size[1] / zoom[1])))
    field = cv2.resize(any_field(rng, small), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(field, 0, 1), np.float32)
