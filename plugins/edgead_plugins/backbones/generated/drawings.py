"""What lies on a surface: parts, rows of parts, wires, print, marks. Masks are (H, W) float32 in 0..1."""

from __future__ import annotations

import cv2
import numpy as np

from edgead.types import Size
from edgead.workbench.shapes import log_uniform
from edgead_plugins.backbones.generated.pieces import (
    Colour,
    Field,
    Generator,
    blend,
    lit,
    outline,
    pixels,
    rotate,
    soft,
)
from edgead_plugins.backbones.generated.surfaces import surface

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghkmnprstuvwxyz-/.:+#"


def add_part(rng: Generator, picture: Colour) -> Colour:
    """Lay a part on the picture: flat, or bulging with a lit rim, at times with a shadow beside it."""
    size = picture.shape[:2]
    mask = _rows_mask(rng, size) if rng.random() < 0.25 else _part_mask(rng, size)
    if rng.random() < 0.3:
        shift = np.array([[1, 0, rng.normal(0, 6)], [0, 1, rng.normal(0, 6)]], np.float32)
        shadow = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), log_uniform(rng, 0.8, 6)), shift, size[::-1])
        picture = picture * (1 - np.float32(rng.uniform(0.1, 0.7)) * shadow)[..., None]
    part = surface(rng, size)
    if rng.random() < 0.5:
        inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        bevel = np.float32(log_uniform(rng, 2, 0.25 * max(size)))
        rise = 1 - np.square(1 - np.minimum(inside / bevel, 1))  # round at the rim, flat within
        part = part * lit(rng, rise, float(bevel) * rng.uniform(0.2, 1.2))[..., None]
    return blend(picture, part, mask)


def add_wires(rng: Generator, picture: Colour) -> Colour:
    """Lay a few bent wires, tubes or cables on the picture, round and lit."""
    size = picture.shape[:2]
    for _ in range(rng.integers(1, 4)):
        thickness = log_uniform(rng, 1.5, 0.15 * max(size))
        steps = rng.normal(0, 0.12, 40).cumsum() + rng.uniform(0, 2 * np.pi)
        path = np.cumsum(np.stack([np.cos(steps), np.sin(steps)], 1) * max(size) / 16, 0)
        path += rng.uniform(0, 1, 2) * size[::-1] - path[20]
        mask = np.zeros(size, np.uint8)
        cv2.polylines(mask, [pixels(path)], False, 255, max(1, round(thickness)), cv2.LINE_AA)
        height = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
        height = np.sqrt(np.minimum(2 * height / np.float32(thickness), 1))
        colour = palette_tone(rng) * lit(rng, height, 0.25 * thickness * rng.uniform(0.5, 1.5))[..., None]
        picture = blend(picture, colour, soft(mask, 0.4))
    return picture


def palette_tone(rng: Generator) -> Colour:
    """One colour (1, 1, 3), often grey."""
    tone = rng.uniform(0.05, 0.95) * (1 + rng.choice([0.0, 0.1, 0.4]) * rng.standard_normal(3))
    return np.asarray(np.clip(tone, 0, 1), np.float32).reshape(1, 1, 3)


def print_mask(rng: Generator, size: Size) -> Field:
    """Print: rows of letters and digits, of made-up glyphs, bars as of a bar code, or a matrix code."""
    kind = rng.choice(["letters", "glyphs", "bars", "matrix"], p=[0.45, 0.3, 0.12, 0.13])
    mask = np.zeros(size, np.uint8)
    top, left = rng.uniform(0, size[0] * 0.7), rng.uniform(0, size[1] * 0.5)
    if kind == "letters":
        scale, font = log_uniform(rng, 0.3, 2.5), int(rng.integers(8))
        for row in range(rng.integers(1, 5)):
            text = "".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), rng.integers(2, 16)))
            foot = (int(left), int(top + (row + 1) * 26 * scale))
            cv2.putText(mask, text, foot, font, scale, 255, max(1, round(scale * rng.uniform(0.8, 3))),
                        cv2.LINE_AA)  # fmt: skip
    elif kind == "matrix":
        side = int(rng.integers(8, 24))
        code = (rng.random((side, side)) < 0.5).astype(np.uint8) * 255
        width = min(int(side * rng.integers(2, 8)), min(size))
        code = cv2.resize(code, (width, width), interpolation=cv2.INTER_NEAREST)
        y, x = int(rng.integers(0, size[0] - width + 1)), int(rng.integers(0, size[1] - width + 1))
        mask[y : y + width, x : x + width] = code
    else:
        _strokes(rng, mask, (left, top), bars=kind == "bars")
    return rotate(rng, soft(mask, 0.3) * np.float32(rng.uniform(0.3, 1)), reflect=False)


def marks_mask(rng: Generator, size: Size) -> Field:
    """Scratches, dots and stains."""
    mask = np.zeros(size, np.uint8)
    for _ in range(rng.integers(1, 8)):
        start, turn = rng.uniform(0, 1, 2) * size[::-1], rng.uniform(0, 2 * np.pi)
        if rng.random() < 0.5:
            steps = rng.normal(0, 0.15, 12).cumsum() + turn
            path = start + np.cumsum(np.stack([np.cos(steps), np.sin(steps)], 1) * rng.uniform(1, 12), 0)
            cv2.polylines(mask, [pixels(path)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:
            cv2.fillPoly(mask, [outline(rng, size, log_uniform(rng, 1, 16))], 255, cv2.LINE_AA)
    return soft(mask, float(rng.uniform(0.3, 3))) * np.float32(rng.uniform(0.3, 1))


def _part_mask(rng: Generator, size: Size) -> Field:
    """An outline with holes, or a frame around the picture, or a straight edge across it."""
    mask = np.zeros(size, np.uint8)
    if rng.random() < 0.2:  # two sides of a seam
        middle = rng.uniform(0.2, 0.8, 2) * size[::-1]
        angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
        along = np.array([np.cos(angle), np.sin(angle)]) * 2 * max(size)
        across = np.array([-along[1], along[0]])
        corners = np.stack([middle - along, middle + along, middle + along + across, middle - along + across])
        cv2.fillPoly(mask, [pixels(corners)], 255, cv2.LINE_AA)
        return soft(mask, float(rng.uniform(0.3, 2)))
    radius = rng.uniform(0.1, 0.45) * max(size)
    cv2.fillPoly(mask, [outline(rng, size, radius)], 255, cv2.LINE_AA)
    for _ in range(rng.integers(0, 5)):
        cv2.fillPoly(mask, [outline(rng, size, rng.uniform(0.02, 0.25) * radius)], 0, cv2.LINE_AA)
    if rng.random() < 0.25:
        mask = 255 - mask
    return soft(mask, float(rng.uniform(0.3, 2)))


def _rows_mask(rng: Generator, size: Size) -> Field:
    """One outline, again and again: pills in a blister, pins, teeth, holes of a sheet."""
    mask = np.zeros(size, np.uint8)
    pitch = rng.uniform(8, max(0.5 * max(size), 10)) * rng.uniform(0.7, 1.4, 2)
    radius = float(pitch.min()) * rng.uniform(0.2, 0.55)
    shape = outline(rng, (1, 1), radius).astype(np.float64).reshape(-1, 2)
    origin, wander = rng.uniform(0, 1, 2) * pitch, rng.choice([0.0, 0.05])
    for row in range(int(size[0] / pitch[1]) + 2):
        for column in range(int(size[1] / pitch[0]) + 2):
            place = (np.array([column, row]) - 0.5 + wander * rng.standard_normal(2)) * pitch + origin
            cv2.fillPoly(mask, [pixels(shape + place)], 255, cv2.LINE_AA)
    return soft(mask, float(rng.uniform(0.3, 1.5)))


def _strokes(rng: Generator, mask: np.ndarray, corner: tuple[float, float], bars: bool) -> None:
    """Rows of strokes from a small made-up alphabet, or of bars, drawn into the mask."""
    pitch = int(rng.integers(7, 40))
    thickness = max(1, round(pitch * rng.uniform(0.06, 0.2)))
    alphabet = [rng.uniform(0, 1, (rng.integers(2, 5), 2)) * (0.65, 0.8) for _ in range(10)]
    row_step = pitch * rng.uniform(1.1, 2.5)
    columns, rows = int(rng.integers(2, max(3, mask.shape[1] // pitch))), int(rng.integers(1, 6))
    for row in range(rows):
        for column in range(columns):
            place = np.array([corner[0] + column * pitch, corner[1] + row * row_step])
            if bars:
                width = pitch * rng.uniform(0.1, 0.9)
                box = np.array([[0, 0], [width, 0], [width, row_step], [0, row_step]])
                cv2.fillPoly(mask, [pixels(place + box)], 255, cv2.LINE_AA)
            elif rng.random() < 0.85:
                glyph = place + alphabet[rng.integers(len(alphabet))] * pitch
                cv2.polylines(mask, [pixels(glyph)], bool(rng.random() < 0.2), 255, thickness, cv2.LINE_AA)
