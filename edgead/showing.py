"""A prediction for people: one line, a picture, a file, a table in a notebook.

The methods of ``edgead.Prediction`` are this; numpy, OpenCV and the standard library draw it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bgr import as_bgr
from edgead.errors import FrameError, OptionError, OutputError
from edgead.files import write_file
from edgead.heatmap import colour_scale, heatmap, overlay
from edgead.names import shown
from edgead.notices import count

Image = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg")
"""What a picture's file may end in."""
SHOWN_REGIONS = 5
"""Regions that a notebook's table names."""


class Region(Protocol):
    """What is told of an area: ``edgead.Region`` has it."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in the frame."""
        ...

    @property
    def peak(self) -> float:
        """The highest anomaly in it."""
        ...


class Placement(Protocol):
    """How a map lies on its frame: ``edgead.types.Placement`` has it."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width)."""
        ...

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the part of the map that shows the frame."""
        ...

    @property
    def pixel_threshold(self) -> float:
        """The middle of the colours."""
        ...

    @property
    def depth(self) -> int | None:
        """Significant bits of a 16-bit frame."""
        ...

    @property
    def smallest_area(self) -> int:
        """Pixels of the map; smaller areas aren't in the mask."""
        ...

    @property
    def inside(self) -> NDArray[np.bool_] | None:
        """Where the region of interest lies on the map; None for everywhere."""
        ...


class Prediction(Protocol):
    """What is shown of a prediction: ``edgead.Prediction`` has it."""

    @property
    def score(self) -> float:
        """The image score."""
        ...

    @property
    def is_anomalous(self) -> bool:
        """The verdict."""
        ...

    @property
    def threshold(self) -> float:
        """Of the score."""
        ...

    @property
    def anomaly_map(self) -> NDArray[np.float32]:
        """(h, w)."""
        ...

    @property
    def regions(self) -> Sequence[Region]:
        """What is over the pixel threshold."""
        ...

    @property
    def lesson(self) -> int | None:
        """The lesson whose missed defect it shows."""
        ...

    @property
    def placement(self) -> Placement | None:
        """None where no detector made it."""
        ...


def line(prediction: Prediction) -> str:
    """The verdict in one line, without the arrays."""
    p = prediction
    verdict = "anomalous" if p.is_anomalous else "good"
    sign = ">" if p.score > p.threshold else "<="  # a defect that was taught counts under it too
    regions = f", {count(len(p.regions), 'region')}" if p.is_anomalous else ""
    like = "" if p.lesson is None else f", {taught_text(p.lesson)}"
    return f"Prediction({verdict}: score {p.score:.6g} {sign} threshold {p.threshold:.6g}{regions}{like})"


def taught_text(lesson: int) -> str:
    """Why a frame is anomalous whatever its score."""
    return f"like the defect of lesson {lesson}"


def draw(
    prediction: Prediction,
    frame: NDArray[Any],
    *,
    channel_order: Literal["bgr", "rgb"] = "bgr",
    depth: int | None = None,
    opacity: float = 0.6,
) -> Image:
    """Lay the prediction's anomaly map over its frame; see ``edgead.Prediction.draw``."""
    place = _placement(prediction)
    if depth is None and getattr(frame, "dtype", None) is not None and frame.dtype.itemsize == 2:
        depth = place.depth
    picture = as_bgr(frame, channel_order, depth)
    _check_shape(picture.shape[:2], place.frame_size)
    return overlay(
        picture,
        prediction.anomaly_map,
        place.pixel_threshold,
        box=place.box,
        opacity=opacity,
        outline=prediction.is_anomalous,
        smallest_area=place.smallest_area,
        inside=place.inside,
    )


def save_picture(path: Path, picture: Image) -> None:
    """Write a picture whole or not at all, PNG or JPEG by its name; raises OutputError."""
    suffix = check_suffix(path)
    try:
        done, data = cv2.imencode(suffix, picture)
    except cv2.error:  # a JPEG has 65535 pixels a side at most
        done = False
    if not done:
        height, width = picture.shape[:2]
        raise OutputError(f"{shown(path)}: a picture of {width} x {height} can't be a {suffix}; name it .png")
    write_file(path, data.tobytes())


def check_suffix(path: Path) -> str:
    """Return the ending that says how to write a picture; raises OutputError for any other."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        told = f"'{suffix}' is no picture's ending" if suffix else "no ending says what to write"
        raise OutputError(f"{shown(path)}: {told}; give a name that ends in {', '.join(SUFFIXES)}")
    return suffix


def png(prediction: Prediction) -> bytes:
    """The part of the anomaly map that shows the frame, in the frame's aspect and coloured, as a PNG.

    Raises:
        edgead.errors.OptionError: the prediction is none of a detector's.
    """
    place = _placement(prediction)
    x, y, width, height = place.box
    longest = max(width, height) / max(place.frame_size)
    rows, columns = (max(1, round(side * longest)) for side in place.frame_size)
    shown_map = prediction.anomaly_map[y : y + height, x : x + width]
    scaled = cv2.resize(shown_map, (columns, rows), interpolation=cv2.INTER_LINEAR)
    coloured = heatmap(scaled, *colour_scale(place.pixel_threshold))
    return bytes(cv2.imencode(".png", coloured)[1].tobytes())


def html(prediction: Prediction) -> str:
    """A table with the verdict, and the heatmap beside it; nothing in it is fetched from anywhere."""
    p = prediction
    verdict = "anomalous" if p.is_anomalous else "good"
    rows = [("verdict", verdict), ("score", f"{p.score:.6g}"), ("threshold", f"{p.threshold:.6g}")]
    if p.lesson is not None:
        rows.append(("taught", taught_text(p.lesson)))
    for region in p.regions[:SHOWN_REGIONS]:
        x, y, width, height = region.box
        rows.append(("region", f"{width} x {height} pixels at x {x}, y {y}, peak {region.peak:.6g}"))
    if more := len(p.regions) - SHOWN_REGIONS:
        rows += [("", f"and {count(more, 'region')} more")] if more > 0 else []
    if p.placement is None:  # nothing says how to colour it
        return table(rows)
    rows.append(("pixel threshold", f"{p.placement.pixel_threshold:.6g}, the middle of the colours"))
    image = base64.b64encode(png(p)).decode("ascii")
    picture = f'<img alt="anomaly map" style="max-width:320px" src="data:image/png;base64,{image}">'
    cell = 'style="vertical-align:top;text-align:left"'
    return f"<table><tr><td {cell}>{picture}</td><td {cell}>{table(rows)}</td></tr></table>"


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Rows of text as an HTML table, the first cell of each as its heading; everything is escaped."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f'<tr><th style="text-align:left">{escape(first)}</th>'
        + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def paragraphs(lines: Sequence[str]) -> str:
    """Lines of text as HTML paragraphs; everything is escaped."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _placement(prediction: Prediction) -> Placement:
    if prediction.placement is None:
        raise OptionError(
            "this prediction doesn't say how its map lies on a frame: draw one that a detector made, or use "
            "edgead.heatmap.overlay"
        )
    return prediction.placement


def _check_shape(given: Sequence[int], judged: Sequence[int]) -> None:
    """A map belongs to its own frame, or to a copy in another size."""
    (h, w), (height, width) = given, judged
    if 2 * abs(h * width - w * height) > height + width:  # over half a pixel from the same aspect
        raise FrameError(
            f"the frame is {h} x {w} (height x width), the one that was judged {height} x {width}: draw on "
            "that one, or on a copy of it in another size"
        )


__all__ = [
    "SHOWN_REGIONS",
    "SUFFIXES",
    "Placement",
    "Prediction",
    "Region",
    "check_suffix",
    "draw",
    "html",
    "line",
    "paragraphs",
    "png",
    "save_picture",
    "table",
    "taught_text",
]
