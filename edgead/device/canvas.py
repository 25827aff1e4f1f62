"""Two papers to draw a figure on: an SVG of plain text, and a picture by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal, Protocol

import cv2
import numpy as np

Point = tuple[float, float]
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Anchor = Literal["start", "middle", "end"]

FONT = 13
"""Height of text in pixels."""


class Canvas(Protocol):
    """What a figure is drawn on; x to the right and y down, in pixels."""

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """Draw a line through points."""
        ...

    def area(self, points: Sequence[Point], colour: Colour, opacity: float) -> None:
        """Fill what a closed line goes round."""
        ...

    def dot(self, at: Point, colour: Colour, radius: float) -> None:
        """Fill a circle."""
        ...

    def text(self, at: Point, text: str, colour: Colour, anchor: Anchor = "start") -> None:
        """Write a line that starts, has its middle or ends at a point of its base line."""
        ...

    def content(self) -> bytes:
        """The file."""
        ...


class SvgCanvas:
    """An SVG that fetches nothing, on white.

    Args:
        width, height: in pixels.
        title: what a reader's software calls it.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} '
            f'{height}" font-family="sans-serif" font-size="{FONT}"><title>{escape(title)}</title>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """See ``Canvas``."""
        stroke = f'fill="none" stroke="{_hex(colour)}" stroke-width="{width:g}"'
        self._parts.append(f'<polyline points="{_points(points)}" {stroke}/>')

    def area(self, points: Sequence[Point], colour: Colour, opacity: float) -> None:
        """See ``Canvas``."""
        fill = f'fill="{_hex(colour)}" fill-opacity="{opacity:g}"'
        self._parts.append(f'<polygon points="{_points(points)}" {fill}/>')

    def dot(self, at: Point, colour: Colour, radius: float) -> None:
        """See ``Canvas``."""
        x, y = at
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{_hex(colour)}"/>')

    def text(self, at: Point, text: str, colour: Colour, anchor: Anchor = "start") -> None:
        """See ``Canvas``."""
        x, y = at
        where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._parts.append(f'<text {where} fill="{_hex(colour)}">{escape(text)}</text>')

    def content(self) -> bytes:
        """See ``Canvas``."""
        return ("\n".join([*self._parts, "</svg>"]) + "\n").encode("utf-8", "replace")


class PictureCanvas:
    """A picture; OpenCV's letters are ASCII, and others become ``?``.

    Args:
        width, height: in pixels.
        suffix: ``.png``, ``.jpg`` or ``.jpeg``.
    """

    SHIFT = 4
    """Fractional bits of a coordinate."""

    def __init__(self, width: int, height: int, suffix: str) -> None:
        self._picture = np.full((height, width, 3), 255, np.uint8)
        self._suffix = suffix

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """See ``Canvas``."""
        thickness = max(1, round(width))
        cv2.polylines(
            self._picture, [self._fixed(points)], False, colour[::-1], thickness, cv2.LINE_AA, self.SHIFT
        )

    def area(self, points: Sequence[Point], colour: Colour, opacity: float) -> None:
        """See ``Canvas``."""
        filled = self._picture.copy()
        cv2.fillPoly(filled, [self._fixed(points)], colour[::-1], cv2.LINE_AA, self.SHIFT)
        cv2.addWeighted(filled, opacity, self._picture, 1 - opacity, 0, self._picture)

    def dot(self, at: Point, colour: Colour, radius: float) -> None:
        """See ``Canvas``."""
        (x, y), scale = at, 1 << self.SHIFT
        centre = round(x * scale), round(y * scale)
        cv2.circle(self._picture, centre, round(radius * scale), colour[::-1], -1, cv2.LINE_AA, self.SHIFT)

    def text(self, at: Point, text: str, colour: Colour, anchor: Anchor = "start") -> None:
        """See ``Canvas``."""
        plain = text.encode("ascii", "replace").decode()
        scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, round(FONT * 0.7))
        (width, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        x = at[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
        corner = round(x), round(at[1])
        cv2.putText(
            self._picture, plain, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour[::-1], 1, cv2.LINE_AA
        )

    def content(self) -> bytes:
        """See ``Canvas``."""
        return bytes(cv2.imencode(self._suffix, self._picture)[1].tobytes())

    def _fixed(self, points: Sequence[Point]) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return np.round(np.array(points) * (1 << self.SHIFT)).astype(np.int32)


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


__all__ = ["Anchor", "Canvas", "Colour", "PictureCanvas", "Point", "SvgCanvas"]
