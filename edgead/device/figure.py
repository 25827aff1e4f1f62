"""The trade-off as a picture: escapes against false alarms, with 95 % intervals, for every threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgead.device.calibrate import largest_by_group
from edgead.device.canvas import Canvas, Colour, PictureCanvas, SvgCanvas
from edgead.device.trade_off import Scores, TradeOffRow, row_at
from edgead.errors import OptionError, OutputError
from edgead.files import write_file
from edgead.names import shown
from edgead.sampling import spread

SUFFIXES = (".svg", ".png", ".jpg", ".jpeg")
WIDTH, HEIGHT = 880, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
"""Pixels between the plot and the picture's sides."""
MOST = 400
"""Thresholds that are drawn."""
TICKS = (0.0001, 0.001, 0.01, 0.1, 1.0)

INK, FAINT, CURVE = (40, 40, 40), (215, 215, 215), (31, 97, 141)
MARKS: tuple[Colour, ...] = ((130, 130, 130), (192, 57, 43))


def check_suffix(path: Path) -> str:
    """Return the ending that says how to draw; raises OutputError for any other."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        told = f"'{suffix}' is no picture's ending" if suffix else "no ending says what to draw"
        raise OutputError(f"{shown(path)}: {told}; give a name that ends in {', '.join(SUFFIXES)}")
    return suffix


def write_figure(
    path: Path,
    title: str,
    good: Scores,
    groups: Sequence[int] | None,
    defects: Mapping[str, Scores],
    marks: Mapping[str, float],
) -> None:
    """Draw the curve, with its 95 % interval, and thresholds on it; the file is written whole or not at all.

    Args:
        good, groups, defects: as ``edgead.device.trade_off`` takes them.
        marks: thresholds by what they're called, two at most.

    Raises:
        OptionError: there are no defects, or nothing is known of false alarms.
        OutputError: another ending, or it can't be written.
    """
    suffix = check_suffix(path)
    rows = [row_at(good, groups, defects, threshold) for threshold in _thresholds(good, groups, defects)]
    rows = [row for row in rows if row.is_known and row.all_found is not None]
    if not rows:
        raise OptionError(
            "escapes against false alarms take defects and good images that aren't learned ones"
        )
    canvas: Canvas = (
        SvgCanvas(WIDTH, HEIGHT, title) if suffix == ".svg" else PictureCanvas(WIDTH, HEIGHT, suffix)
    )
    least = 10 ** math.floor(math.log10(min(row.expected_rate for row in rows)))
    plot = _Plot(canvas, least)
    plot.frame(
        title, len(largest_by_group(good, groups)), rows[0].all_found.total if rows[0].all_found else 0
    )
    plot.curve(rows)
    for (name, threshold), colour in zip(marks.items(), MARKS, strict=False):
        plot.mark(name, row_at(good, groups, defects, threshold), colour)
    write_file(path, canvas.content())


def _thresholds(good: Scores, groups: Sequence[int] | None, defects: Mapping[str, Scores]) -> list[float]:
    """Where the curve has its corners, from the highest down: over all scores, and just under each."""
    scores = {
        *filter(math.isfinite, largest_by_group(good, groups)),
        *(score for scores in defects.values() for score in scores),
    }
    ordered = sorted(scores, reverse=True)
    chosen = [ordered[i] for i in spread(len(ordered), MOST)]
    return [ordered[0], *(float(np.nextafter(score, -np.inf)) for score in chosen)]


class _Plot:
    """The plot's own units: a rate of false alarms to the right, on a logarithmic scale, and escapes up."""

    def __init__(self, canvas: Canvas, least: float) -> None:
        self._canvas, self._least = canvas, least

    def x(self, rate: float) -> float:
        share = 1 - math.log(max(rate, self._least)) / math.log(self._least)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, escapes: float) -> float:
        return HEIGHT - BOTTOM - escapes * (HEIGHT - TOP - BOTTOM)

    def frame(self, title: str, n_good: int, n_defects: int) -> None:
        draw = self._canvas
        for tenth in range(0, 11, 2):
            level = self.y(tenth / 10)
            draw.line([(LEFT, level), (WIDTH - RIGHT, level)], FAINT)
            draw.text((LEFT - 8, level + 4), f"{10 * tenth} %", INK, "end")
        for tick in (tick * step for tick in TICKS for step in (1, 2, 5)):
            if self._least <= tick <= 1:
                draw.line([(self.x(tick), self.y(0)), (self.x(tick), self.y(1))], FAINT)
                draw.text((self.x(tick), self.y(0) + 18), f"{100 * tick:g} %", INK, "middle")
        draw.line([(LEFT, self.y(1)), (LEFT, self.y(0)), (WIDTH - RIGHT, self.y(0))], INK)
        draw.text((LEFT, 22), title, INK)
        draw.text((LEFT, 40), "defects that escape, with 95 % intervals", INK)
        below = f"good images flagged: the rate to expect, from {n_good}; {n_defects} defects"
        draw.text((WIDTH - RIGHT, HEIGHT - 14), below, INK, "end")

    def curve(self, rows: Sequence[TradeOffRow]) -> None:
        found = [(row.expected_rate, each) for row in rows if (each := row.all_found) is not None]
        low = [(self.x(rate), self.y(1 - each.interval[1])) for rate, each in found]
        high = [(self.x(rate), self.y(1 - each.interval[0])) for rate, each in found]
        self._canvas.area([*low, *reversed(high)], CURVE, 0.18)
        self._canvas.line([(self.x(rate), self.y(1 - each.share)) for rate, each in found], CURVE, 2)

    def mark(self, name: str, row: TradeOffRow, colour: Colour) -> None:
        each = row.all_found
        if each is None or not row.is_known:
            return
        x, y = self.x(row.expected_rate), self.y(1 - each.share)
        self._canvas.line([(x, y), (self.x(row.upper_rate), y)], colour)
        self._canvas.line([(x, self.y(1 - each.interval[0])), (x, self.y(1 - each.interval[1]))], colour)
        self._canvas.dot((x, y), colour, 5)
        told = f"{name}: {row.threshold:.4g}"
        self._canvas.text((x + 8, y - 8), told, colour)


__all__ = ["SUFFIXES", "check_suffix", "write_figure"]
