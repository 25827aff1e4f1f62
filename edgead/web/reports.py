"""What a web reports: defects, and what of it wasn't inspected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgead.notices import Notice

Reason = Literal["lost", "refused", "encoder-jump", "encoder-back", "inference", "not-finite"]
"""Why a stretch wasn't inspected: the caller said that it was lost; the piece was none that a web takes; the
encoder jumped; it went back, so that the lines don't follow one another; the engine failed; the model yielded
no numbers."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Where something lies on the web.

    Attributes:
        start, end: lines, counted from the web's first, lost ones too: from ``start`` up to ``end``, which
            isn't in it any more.
        left, right: pixels across the web, likewise.
        start_encoder, end_encoder: the encoder's counts of both lines; None where no piece had brought one.
        start_mm, end_mm: from the web's start; None where ``mm_per_line`` wasn't given.
        left_mm, right_mm: from the line's first pixel; None where ``mm_per_pixel`` wasn't given.
    """

    start: int
    end: int
    left: int
    right: int
    start_encoder: int | None = None
    end_encoder: int | None = None
    start_mm: float | None = None
    end_mm: float | None = None
    left_mm: float | None = None
    right_mm: float | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels, as a region's; y is a line of the web."""
        return self.left, self.start, self.right - self.left, self.end - self.start


@dataclass(frozen=True, kw_only=True)
class WebDefect(Stretch):
    """A defect: pixels over the pixel threshold that touch each other, one of them over the score's.

    Attributes:
        id: counts the web's defects from 1, in the order of their first report.
        area: how many pixels.
        peak: the highest anomaly in it, in the anomaly map's units.
        is_open: it's longer than ``max_length`` and may go on: all here is so far. Another report with the
            same ``id`` follows, the last of them with ``is_open`` False.
        is_cut: it touches what wasn't inspected, so that there may be more of it.
        joined: ids of defects that were reported open, and turn out to be parts of this one. No further
            report comes under them.
    """

    id: int
    area: int
    peak: float
    is_open: bool = False
    is_cut: bool = False
    joined: tuple[int, ...] = ()

    def notice(self) -> Notice:
        """In one sentence."""
        kind = "web-defect-open" if self.is_open else "web-defect-cut" if self.is_cut else "web-defect"
        return Notice(kind, asdict(self))

    def record(self) -> dict[str, Any]:
        """As JSON values: ``report`` is ``defect``; the sentence is with it."""
        return _record("defect", self, self.notice()) | {"joined": list(self.joined)}

    def __str__(self) -> str:
        return str(self.notice())


@dataclass(frozen=True, kw_only=True)
class NotInspected(Stretch):
    """A stretch that nobody has looked at: treat it as defective.

    With ``encoder-back`` and, where nothing is known of its length, ``refused``, it has no line: the web is
    interrupted there.

    Attributes:
        reason: why.
        error: what the engine or the check said, or empty.
    """

    reason: Reason
    error: str = ""

    def notice(self) -> Notice:
        """In one sentence, with what to do."""
        unknown = self.reason == "refused" and self.start == self.end
        return Notice("web-refused-unknown" if unknown else f"web-{self.reason}", asdict(self))

    def record(self) -> dict[str, Any]:
        """As JSON values: ``report`` is ``not-inspected``; the sentence is with it."""
        return _record("not-inspected", self, self.notice())

    def __str__(self) -> str:
        return str(self.notice())


Report = WebDefect | NotInspected


def _record(kind: str, stretch: Report, notice: Notice) -> dict[str, Any]:
    return {"report": kind, **asdict(stretch), "box": list(stretch.box), "text": str(notice)}


__all__ = ["NotInspected", "Reason", "Report", "Stretch", "WebDefect"]
