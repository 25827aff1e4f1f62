"""Pieces of a web, judged one by one: each trigger is some lines of a picture that never ends.

A piece's verdict speaks of the lines that were judged with it, which lag behind the camera by a window's
height at most, since a window's last line has to be there. Every line is spoken of once: by a verdict, or by
the rejection that stands for lines that nobody has judged.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from edgead.errors import FrameError
from edgead.line.config import StripTable
from edgead.line.events import Scored
from edgead.runtime.detector import Detector
from edgead.types import Region
from edgead.web import NotInspected, Web, WebDefect
from edgead.web.judge import WindowJudge
from edgead.web.reports import Report

MOST_MISSING = 1_000_000
"""Pieces that a jump of the count stands for at most."""


class StripJudge:
    """Judges pieces in the order in which they come.

    Rejected is each piece that doesn't follow on the one that it judged before: the first, one behind a gap
    in the camera's count, and one whose predecessor another judge had, for the last lines of that were judged
    by nobody.

    Args:
        detector: of a bundle that judges in windows, as ``edgead.Web`` takes it.
        table: the strip's settings.
        product: whose thresholds hold.
        depth: significant bits of 16-bit lines.
    """

    def __init__(
        self,
        detector: Detector | WindowJudge,
        table: StripTable,
        product: str | None = None,
        depth: int | None = None,
    ) -> None:
        self._detector, self._table, self._product, self._depth = detector, table, product, depth
        self._web: Web | None = None
        self._last: int | None = None

    def __call__(self, piece: NDArray[Any], number: int | None, follows: bool = True) -> Scored:
        """Take the next piece.

        Args:
            piece: lines, as ``Web.feed`` takes them.
            number: the camera's count of pieces, or None.
            follows: whether this judge has judged the piece before, and none is missing, as far as the line
                knows.

        Returns:
            The highest value of the map in the lines that were judged now and of the defects in them (0 where
            there's neither), anomalous where one of them has a defect in it that's finished or still running,
            or wasn't inspected. Regions count their rows from the piece's first line, so that those before it
            are under 0.

        Raises:
            FrameError: it isn't lines, or of another width than those before.
        """
        fresh = self._web is None or not follows
        web = self._web = self._web or self._made(piece)
        if piece.shape[1] != web.width:
            raise FrameError(f"a piece of {piece.shape[1]} pixels across, those before had {web.width}")
        missing, self._last = self._missing(number, follows), number
        before, reports = web.judged, list[Report]()
        if missing:
            reports += web.lost(missing * piece.shape[0])
        first = web.lines
        highest = web.highest if missing else -math.inf
        reports += web.feed(piece)
        highest = max(highest, web.highest)
        regions = [
            _region(each, first) for each in reports if isinstance(each, NotInspected) or each.end > before
        ]
        regions += [
            Region((blob.left, blob.start - first, blob.right - blob.left, blob.end - blob.start), blob.area,
                   blob.peak)
            for blob in web.running
        ]  # fmt: skip
        highest = max([highest, *(region.peak for region in regions)])
        score = highest if math.isfinite(highest) else 0.0
        return Scored(score, float(web.limits.score), fresh or bool(regions), tuple(dict.fromkeys(regions)))

    def _made(self, piece: NDArray[Any]) -> Web:
        lines = max(1, round(self._table.max_length_mm / self._table.mm_per_line))
        return Web(
            self._detector,
            width=piece.shape[1],
            mm_per_line=self._table.mm_per_line,
            max_length=lines,
            depth=self._depth,
            product=self._product,
        )

    def _missing(self, number: int | None, follows: bool) -> int:
        """Pieces between the last one and this; one where nobody knows: the count went back, or ended, or
        there's none, and this piece doesn't follow."""
        last = self._last
        if self._web is None or self._web.lines == 0:
            return 0
        if last is None or number is None:
            return int(not follows or last != number)
        missing = number - last - 1
        return min(missing, MOST_MISSING) if missing > 0 else int(missing < 0 or not follows)


def _region(report: Report, first: int) -> Region:
    x, y, width, height = report.box
    found = isinstance(report, WebDefect)
    area, peak = (report.area, report.peak) if isinstance(report, WebDefect) else (width * height, 0.0)
    return Region((x, y - first, width, height), area, float(peak) if found else 0.0)


__all__ = ["StripJudge"]
