"""One row of windows across the web, judged: a strip of the map, and what of it there's none of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from edgead.errors import InferenceError, NotFiniteError, one_line
from edgead.types import Image
from edgead.web.judge import WindowJudge
from edgead.web.reports import Reason
from edgead.windows import Span, Window, cut, spans

_Judged = NDArray[np.float32] | InferenceError


@dataclass(frozen=True)
class Failure:
    """Columns, from ``left`` up to ``right``, of which there's no map; and why."""

    left: int
    right: int
    reason: Reason
    error: str


class Strip:
    """The map of a row of windows, in memory that's used for each of them again.

    Args:
        judge: what gives the windows' maps.
        width: of the web, in pixels.

    Attributes:
        rows: (h, width) float32, each column's from the window whose core it's in; -inf where there's none.
            All of the windows' rows, near their edges too: which of them count, the web says.
        missing: (width,) bool, the columns that there's no map of.
        failures: the same with the reasons, from left to right; neighbours with one reason are one.
    """

    def __init__(self, judge: WindowJudge, width: int) -> None:
        self._judge, self._spans = judge, spans(width, judge.size[1], judge.margin)
        self._held = np.zeros((judge.size[0], width), np.float32)
        self.rows = self._held[:0]
        self.missing = np.zeros(width, bool)
        self.failures: tuple[Failure, ...] = ()

    @property
    def nbytes(self) -> int:
        """What it takes, from beginning to end."""
        return self._held.nbytes + self.missing.nbytes

    def judge(self, lines: Image) -> None:
        """Judge (h, width, 3) lines, as many as a window has; fewer are continued by their mirror image."""
        rows = self._held[: len(lines)]
        self.missing[:] = False
        failed: list[Failure] = []
        for span, found in self._judged(lines):
            columns = slice(span.own, span.end)
            if isinstance(found, InferenceError):
                rows[:, columns], self.missing[columns] = -np.inf, True
                reason: Reason = "not-finite" if isinstance(found, NotFiniteError) else "inference"
                failed.append(Failure(span.own, span.end, reason, one_line(found, "message")))
            else:
                rows[:, columns] = found[: len(lines), span.own - span.start : span.end - span.start]
        self.rows, self.failures = rows, tuple(_together(failed))

    def _judged(self, lines: Image) -> Iterator[tuple[Span, _Judged]]:
        """Each window's map, or why there's none; behind one that fails the others are asked for anew."""
        size, rows, done = self._judge.size, Span(0, 0, len(lines)), 0
        while done < len(self._spans):
            left = self._spans[done:]
            images = (cut(lines, Window(rows, columns), size) for columns in left)
            try:
                for found, span in zip(self._judge.anomaly_maps(images), left, strict=False):
                    done += 1
                    yield span, _checked(found, size)
                if done < len(self._spans):
                    raise InferenceError("the detector gave no map of this window")
            except InferenceError as error:
                done += 1
                yield self._spans[done - 1], error


def _checked(found: NDArray[np.float32], size: tuple[int, int]) -> _Judged:
    if found.shape != tuple(size):
        return InferenceError(f"the detector gave a map of shape {found.shape}, not {tuple(size)}")
    return found if np.isfinite(found).all() else NotFiniteError("the map holds NaN or infinity")


def _together(failures: list[Failure]) -> Iterator[Failure]:
    for (reason, error), run in groupby(failures, lambda each: (each.reason, each.error)):
        part: Failure | None = None
        for each in run:
            if part is not None and part.right == each.left:
                part = Failure(part.left, each.right, reason, error)
                continue
            if part is not None:
                yield part
            part = each
        if part is not None:
            yield part


__all__ = ["Failure", "Strip"]
