"""From the areas of a map to the reports of defects: which are told, under which number, and when again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgead.web.encoder import Encoder
from edgead.web.judge import Limits
from edgead.web.merging import Blob
from edgead.web.reports import NotInspected, Reason, WebDefect


class Teller:
    """Makes reports, in the web's own coordinates and in mm.

    Args:
        limits: the thresholds.
        max_length: lines; a defect that's longer is reported before its end, and every so many lines again.
        mm_per_line, mm_per_pixel: None where they aren't known.
        encoder: knows the lines' counts.
    """

    def __init__(
        self,
        limits: Limits,
        max_length: int,
        mm_per_line: float | None,
        mm_per_pixel: float | None,
        encoder: Encoder,
    ) -> None:
        self._limits, self._max_length = limits, max_length
        self._mm_per_line, self._mm_per_pixel = mm_per_line, mm_per_pixel
        self._encoder = encoder
        self._last_id = 0

    def tell(self, closed: Sequence[Blob], live: list[Blob]) -> Iterator[WebDefect]:
        """Report what can't grow any more, and of what may what is due, which is noted in ``live``."""
        ended = [(blob, None) for blob in closed if blob.counts(self._limits)]
        due = [(blob, place) for place, blob in enumerate(live) if self._is_due(blob)]
        for blob, place in sorted([*ended, *due], key=lambda each: _order(each[0])):
            number = blob.id
            if number is None:
                number = self._last_id = self._last_id + 1
            yield self._defect(blob, number, place is not None)
            if place is not None:
                live[place] = replace(blob, id=number, told=blob.end, joined=())

    def not_inspected(
        self,
        lines: tuple[int, int],
        columns: tuple[int, int],
        counts: tuple[int | None, int | None],
        reason: Reason,
        error: str = "",
    ) -> NotInspected:
        """Report a stretch that nobody has looked at."""
        return NotInspected(
            start=lines[0],
            end=lines[1],
            left=columns[0],
            right=columns[1],
            start_encoder=counts[0],
            end_encoder=counts[1],
            start_mm=_times(lines[0], self._mm_per_line),
            end_mm=_times(lines[1], self._mm_per_line),
            left_mm=_times(columns[0], self._mm_per_pixel),
            right_mm=_times(columns[1], self._mm_per_pixel),
            reason=reason,
            error=error,
        )

    def _is_due(self, blob: Blob) -> bool:
        since = blob.start if blob.told is None else blob.told
        return blob.counts(self._limits) and (bool(blob.joined) or blob.end - since > self._max_length)

    def _defect(self, blob: Blob, number: int, is_open: bool) -> WebDefect:
        return WebDefect(
            id=number,
            start=blob.start,
            end=blob.end,
            left=blob.left,
            right=blob.right,
            start_encoder=blob.mark,
            end_encoder=self._encoder.at(blob.end - 1, 1),
            start_mm=_times(blob.start, self._mm_per_line),
            end_mm=_times(blob.end, self._mm_per_line),
            left_mm=_times(blob.left, self._mm_per_pixel),
            right_mm=_times(blob.right, self._mm_per_pixel),
            area=blob.area,
            peak=blob.peak,
            is_open=is_open,
            is_cut=blob.is_cut,
            joined=blob.joined,
        )


def _order(blob: Blob) -> tuple[float, ...]:
    """By where they begin, whatever else; the rest makes the order certain."""
    return blob.start, blob.left, blob.end, blob.right, blob.area, blob.peak


def _times(number: int, scale: float | None) -> float | None:
    return None if scale is None else number * scale


__all__ = ["Teller"]
