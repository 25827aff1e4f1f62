"""The inspection of a moving web: lines in, defects out, in memory that never grows."""

from __future__ import annotations

import logging
import math
from typing import Any, Literal

from numpy.typing import NDArray

from edgead.bgr import MIN_IMAGE_SIDE
from edgead.errors import OptionError, one_line
from edgead.notices import Notice
from edgead.runtime.detector import Detector
from edgead.runtime.engine_options import whole
from edgead.web.encoder import Encoder
from edgead.web.judge import Limits, WindowJudge
from edgead.web.lines import Lines
from edgead.web.merging import Blob, Merger
from edgead.web.numbers import plain_number
from edgead.web.of_detector import depth_of, judge_of
from edgead.web.pieces import AT_ONCE, Pieces, lines_in
from edgead.web.reports import Reason, Report
from edgead.web.strip import Strip
from edgead.web.telling import Teller
from edgead.windows import step_of

MAX_WIDTH = 1 << 17
"""Pixels of a line: over all line cameras, and what memory there must be for hangs on it."""
MAX_LINES = 1 << 53
"""Of a web, and of a stretch that was lost."""

_log = logging.getLogger(__name__)


class Web:
    """Inspects a web that moves under a line-scan camera: a picture that comes line by line and never ends.

    Lines come in pieces of any height, from one line to thousands; what is reported doesn't depend on how
    they are cut. A web judges them in windows of the model's own size and pixel for pixel, each once, as soon
    as its last line is there. Windows overlap, and of each one's anomaly map only the core is used
    (``edgead.windows``), so that each pixel of the web is judged by one window that sees what is around it.
    Pixels over the pixel threshold that touch each other, corners included, are a defect where the highest is
    over the threshold on the image score. One may go through any number of windows and pieces, and is
    reported once: when it can't grow any more.

    That is at the latest with the piece that brings the line ``latency_lines`` (a window's height) after its
    last: a report lags behind the end of its defect by at most the height of a window and that of a piece.
    Memory is the same from the first line to the last: lines for a window and a step, one strip of the map,
    and one row of areas.

    What wasn't inspected is reported too, and never silently passed over: treat it as defective. Lines before
    a gap are judged as a web's last ones, and those behind it as its first, so that exactly the gap wasn't.

    A web isn't safe for several threads at once: one thread feeds it. Several webs may share a detector.

    Args:
        detector: what ``edgead.load`` returns, or another judge of windows (``edgead.web.WindowJudge``).
        width: pixels of a line, 8 to 131,072; a web that's narrower than a window is continued by its mirror
            image.
        mm_per_line, mm_per_pixel: for reports in mm.
        max_length: lines. A defect that's longer is reported before its end, as open, and every so many lines
            again.
        margin: pixels of a window's map, from each of its edges, that a neighbour's are used for. If not
            given, what the bundle measured, or else an eighth of a window, and a notice says so.
        counts_per_line: encoder counts from a line to the next; under 0 where it counts down.
        encoder_bits: the encoder begins anew at 0 after 2 ** bits counts, 8 to 64; never, if not given.
        channel_order: of colour lines.
        depth: significant bits of uint16 lines, as ``edgead.load`` takes it.
        product: whose thresholds hold.

    Raises:
        OptionError: an argument is of the wrong type or out of range.
        UnknownNameError: the bundle has no such product.
        FrameError: the channel order is unknown.

    Attributes:
        width: pixels of a line.
        limits: the thresholds in force: ``score``, ``pixel`` and ``smallest_area``.
        notices: what is to be known of these settings.
        lines: how many lines of the web have passed, lost ones too.
        latency_lines: see above.
        highest: the highest value of the map in the lines that the last call judged; -inf where none were.

    Example:
        >>> web = edgead.Web(detector, width=4096, mm_per_line=0.1)  # doctest: +SKIP
        >>> for piece, count in camera:                              # doctest: +SKIP
        ...     for report in web.feed(piece, encoder=count):
        ...         print(report)
    """

    def __init__(
        self,
        detector: Detector | WindowJudge,
        *,
        width: int,
        mm_per_line: float | None = None,
        mm_per_pixel: float | None = None,
        max_length: int = 4096,
        margin: int | None = None,
        counts_per_line: float = 1,
        encoder_bits: int | None = None,
        channel_order: Literal["bgr", "rgb"] = "bgr",
        depth: int | None = None,
        product: str | None = None,
    ) -> None:
        judge, notices = judge_of(detector, whole("margin", margin), product)
        self.limits: Limits = _checked(judge.limits)
        self.width = _within("width", width, MIN_IMAGE_SIDE, MAX_WIDTH)
        height = judge.size[0]
        step = step_of(height, judge.margin)
        self._core = (step + height) // 2  # where a window's core ends, but for the last one's
        self._encoder = Encoder(counts_per_line, encoder_bits)
        self._pieces = Pieces(self.width, channel_order, depth_of(detector, whole("depth", depth)))
        self._lines = Lines(height, step, self.width)
        self._strip = Strip(judge, self.width)
        self._merger = Merger(self.width, self.limits, self._encoder.at)
        self._teller = Teller(
            self.limits,
            _within("max_length", max_length, 1, MAX_LINES),
            _scale("mm_per_line", mm_per_line),
            _scale("mm_per_pixel", mm_per_pixel),
            self._encoder,
        )
        self.latency_lines = height
        self.highest = -math.inf
        self.lines = 0
        self._told = 0  # all lines before are judged, and their areas with the merger
        self._refused: tuple[int, str] | None = None  # lines that weren't taken, and why, until it's told
        self._out: list[Report] = []
        self._is_finished = False
        if self.limits.score < self.limits.pixel:
            values = {"score": self.limits.score, "pixel": self.limits.pixel}
            notices = (*notices, Notice("web-pixel-decides", values))
        self.notices = notices
        for notice in notices:
            level = logging.INFO if notice.code == "web-pixel-decides" else logging.WARNING
            _log.log(level, "%s", notice)

    def __repr__(self) -> str:
        return f"Web({self.width} pixels wide, {self.lines} lines, judged up to line {self._told})"

    @property
    def judged(self) -> int:
        """The line up to which all are judged, or said not to be; the ones behind it wait for more."""
        return self._told

    @property
    def running(self) -> list[Blob]:
        """The defects that reach the last line judged so far, and may go on."""
        return [blob for blob in self._merger.live if blob.counts(self.limits)]

    def feed(self, piece: NDArray[Any], encoder: int | None = None) -> list[Report]:
        """Take the next lines of the web; returns what is to be reported by now.

        A piece is taken as a whole or not at all, and may be changed afterwards.

        Args:
            piece: (h, width, 3) uint8, (h, width) uint8 or uint16, at least one line, any strides.
            encoder: the count of its first line. Where it's half a line or more from where the pieces before
                lead to, lines are missing, and reported as not inspected.

        Raises:
            FrameError: the piece isn't one of these; its lines are reported as not inspected next time, as
                ``refused``.
            OptionError: the encoder's count isn't one, likewise; or the web is finished.
        """
        self._check_open()
        self.highest = -math.inf
        taken, wanted = 0, lines_in(piece)
        try:
            self._pieces.check(piece)
            count = None if encoder is None else self._encoder.read(encoder)
            self._settle()
            if count is not None:
                self._meet(count)
            while taken < wanted or not self._lines.room:
                if not self._lines.room:
                    self._judge()
                    continue
                part = piece[taken : taken + min(self._lines.room, AT_ONCE)]
                self._lines.put(self._pieces.bgr(part))
                taken += len(part)
                self.lines += len(part)
        except BaseException as error:  # what wasn't taken mustn't pass for judged
            if taken < wanted or not wanted:
                self._refuse(wanted - taken, one_line(error, "message"))
            raise
        return self._reports()

    def lost(self, lines: int) -> list[Report]:
        """Say that so many lines have passed, 1 or more, of which there's no picture.

        Returns what is to be reported by now.

        Raises:
            OptionError: it's no such number, or the web is finished.
        """
        self._check_open()
        lines = _within("lines", lines, 1, MAX_LINES)
        self.highest = -math.inf
        try:
            self._settle()
            self._gap(lines, "lost")
        except BaseException as error:
            self._refuse(lines, one_line(error, "message"))
            raise
        return self._reports()

    def finish(self) -> list[Report]:
        """The web ends here; returns all that's left to be reported. Again, it returns nothing."""
        if not self._is_finished:
            self._settle()
            self._end(is_gap=False)
            self._is_finished = True
        return self._reports()

    def _check_open(self) -> None:
        if self._is_finished:
            raise OptionError("this web is finished: make another edgead.Web for the next")

    def _settle(self) -> None:
        """Report the lines that weren't taken."""
        if self._refused is not None:
            lines, error = self._refused
            self._gap(lines, "refused", error)
            self._refused = None

    def _refuse(self, lines: int, error: str) -> None:
        before = 0 if self._refused is None else self._refused[0]
        self._refused = before + lines, error

    def _reports(self) -> list[Report]:
        found, self._out = self._out, []
        return found

    def _meet(self, count: int) -> None:
        missing = self._encoder.missing(self.lines, count)
        if missing:
            self._gap(max(missing, 0), "encoder-jump" if missing > 0 else "encoder-back", count=count)
        self._encoder.met(self.lines, count)

    def _gap(self, lines: int, reason: Reason, error: str = "", count: int | None = None) -> None:
        """What was fed ends here, and what follows begins anew after so many lines."""
        self._end(is_gap=True)
        start, self.lines = self.lines, self.lines + lines
        self._told = self.lines
        counts = self._encoder.at(start), self._encoder.at(self.lines) if count is None else count
        self._out.append(
            self._teller.not_inspected((start, self.lines), (0, self.width), counts, reason, error)
        )

    def _judge(self) -> None:
        """Judge the windows that are whole, and take their cores."""
        window = self._lines.window()
        self._strip.judge(window)
        self._take(self.lines - len(window) + self._core)
        self._lines.slide()

    def _end(self, is_gap: bool) -> None:
        """Judge what's left with what there is: nothing follows on it."""
        if self._lines.has_new:
            self._strip.judge(self._lines.window())
        if self._told < self.lines:
            self._take(self.lines)
        self._lines.clear()
        self._tell(self._merger.end(is_gap))

    def _take(self, end: int) -> None:
        """Take the strip's rows, which end with the web's last line, from where it's told up to a line."""
        start, first = self._told, self.lines - len(self._strip.rows)
        for each in self._strip.failures:
            counts = self._encoder.at(start), self._encoder.at(end - 1, 1)
            columns = each.left, each.right
            self._out.append(
                self._teller.not_inspected((start, end), columns, counts, each.reason, each.error)
            )
        rows = self._strip.rows[start - first : end - first]
        self.highest = max(self.highest, float(rows.max(initial=-math.inf)))
        closed = self._merger.add(start, rows, self._strip.missing)
        self._told = end
        self._tell(closed)
        self._encoder.forget(end - 1)

    def _tell(self, closed: list[Blob]) -> None:
        self._out += self._teller.tell(closed, self._merger.live)


def _checked(limits: Limits) -> Limits:
    if not (math.isfinite(limits.score) and math.isfinite(limits.pixel)):
        raise OptionError(f"thresholds {limits.score} and {limits.pixel} must be finite numbers")
    return limits


def _within(name: str, value: int, least: int, most: int) -> int:
    number = whole(name, value)
    if number is None or not least <= number <= most:
        raise OptionError(f"{name} {number} must be from {least} to {most}")
    return number


def _scale(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    number = plain_number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise OptionError(f"{name} {str(value)[:40]!r} must be a number over 0")
    return number


__all__ = ["MAX_LINES", "MAX_WIDTH", "Web"]
