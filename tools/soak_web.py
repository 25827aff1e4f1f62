"""Feed a web of a million lines and see whether each defect is reported once, and whether anything grows.

    python tools/soak_web.py [--lines N] [--width W] [--defects N] [--lost N] [--jumps N] [--bundle PATH]
    python tools/soak_web.py --good FOLDER       # images of the web without defects, to fit a bundle on

The web is a texture with strokes, rings, specks and dust drawn on it, some of them longer than
``max_length``. It comes in pieces of 1 to 2,048 lines. Some pieces are lost, some lines are missing and only
the encoder, which overflows on the way, tells so.

Without ``--bundle`` the judge is a stand-in whose map is the pixels themselves, but 0 within the margin of a
window's edges, so that a mistake in the cores shows. What it must find is known by labelling each defect as
it's drawn, and the exit code is 1 where a report is missing, doubled or off by a line, a pixel or a count,
where what wasn't inspected isn't exactly what's missing, where a report came later than promised, or where
memory grew by more than 2 MB since 1 % of the way. With ``--bundle`` the code is 1 for the last three.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

import edgead
from edgead.evaluation.memory import resident
from edgead.web import Report, WindowJudge

LANES, TEXTURE, HIGHEST, MOST = 4, 1021, 2048, 2 << 20
"""Defects abreast; lines after which the texture comes again; of a piece; bytes that memory may grow by."""
COUNTS, BITS = 7, 20
MAX_LENGTH = 500
Gap = tuple[int, int, bool]
"""From a line up to another, and whether somebody says so."""


@dataclass(frozen=True)
class Limits:
    """The stand-in's thresholds."""

    score: float = 200.0
    pixel: float = 180.0
    smallest_area: int = 0


class Pixels:
    """A stand-in for a detector: the map is the picture, and 0 near a window's edges."""

    def __init__(self, side: int) -> None:
        self.size, self.margin, self.limits = (side, side), side // 8, Limits()

    def anomaly_maps(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """As ``edgead.web.WindowJudge`` says."""
        m = self.margin
        for image in images:
            found = np.zeros(self.size, np.float32)
            found[m:-m, m:-m] = image[m:-m, m:-m, 0]
            yield found


@dataclass
class Truth:
    """One connected area as it must be reported, and what was."""

    start: int
    end: int
    left: int
    right: int
    area: int
    peak: float
    reports: int = 0
    off: int = 0
    differs: bool = False


class World:
    """The web as it is: any of its lines, and what is on them; each defect has a place of its own.

    Args:
        lines, width: its size.
        defects: how many.
        margin: from the web's edges there are none.
        seed: of all that's random.
    """

    def __init__(self, lines: int, width: int, defects: int, margin: int, seed: int) -> None:
        self.lines, self.width, self.seed = lines, width, seed
        self.slots = max(1, defects // LANES)
        self._tall, self._wide, self._margin = lines // self.slots, width // LANES, margin
        rng = np.random.default_rng(seed)
        noise = cv2.GaussianBlur(rng.normal(0, 1, (TEXTURE, width)).astype(np.float32), (0, 0), 1.5)
        stripes = 12 * np.sin(np.arange(width) * (2 * np.pi / 37))
        self._texture = np.clip(90 + 60 * noise + stripes, 0, 150).astype(np.uint8)
        self._near: dict[tuple[int, int], tuple[int, int, np.ndarray]] = {}

    def cut(self, start: int, end: int) -> np.ndarray:
        """Lines (end - start, width) uint8."""
        piece = self._texture[np.arange(start, end) % TEXTURE]
        slots = range(start // self._tall, min((end - 1) // self._tall, self.slots - 1) + 1)
        self._near = {key: self._near.get(key) or self.defect(*key) for key in self._keys(slots)}
        for y, x, canvas in self._near.values():
            top, bottom = max(start, y), min(end, y + len(canvas))
            if top < bottom:
                place = piece[top - start : bottom - start, x : x + canvas.shape[1]]
                np.maximum(place, canvas[top - y : bottom - y], out=place)
        return piece

    def defect(self, slot: int, lane: int) -> tuple[int, int, np.ndarray]:
        """Line and column of a defect, and its pixels; 0 where there's none of it."""
        rng = np.random.default_rng([self.seed, slot, lane])
        tall, wide = self._tall - 4, self._wide - 2 * self._margin - 4
        kind = int(rng.integers(6))
        h = int(rng.integers(1, max(2, tall * 2 // 3 if kind == 0 else min(tall, 400))))
        w = int(rng.integers(2, max(3, min(wide, 300))))
        canvas, value = np.zeros((h, w), np.uint8), int(rng.integers(201, 256))
        if kind in (0, 1):
            cv2.line(canvas, (0, 0), (w - 1, h - 1), value, int(rng.integers(1, 4)))
        elif kind == 2:
            cv2.ellipse(
                canvas, (w // 2, h // 2), (max(1, w // 2 - 1), max(1, h // 2 - 1)), 0, 0, 300, value, 1
            )
        elif kind == 3:
            canvas = np.full((1, 1), value, np.uint8)
        elif kind == 4:
            index = np.arange(min(h, w))
            canvas[index, index] = value
        else:
            canvas = canvas[:24, :24]
            canvas[rng.random(canvas.shape) < 0.45] = value
        y = slot * self._tall + 2 + int(rng.integers(max(1, tall - len(canvas))))
        x = lane * self._wide + self._margin + 2 + int(rng.integers(max(1, wide - canvas.shape[1])))
        return y, x, canvas

    def truths(self, gaps: list[Gap], blank: int) -> Iterator[Truth]:
        """What must be reported, where the map is 0 for ``blank`` lines before and behind a gap."""
        edges = [(0, 0), *((start, end) for start, end, _ in gaps), (self.lines, self.lines)]
        shown = [(end + blank, start - blank) for (_, end), (start, _) in pairwise(edges)]
        for slot, lane in self._keys(range(self.slots)):
            y, x, canvas = self.defect(slot, lane)
            for start, end in shown:
                top, bottom = max(start, y), min(end, y + len(canvas))
                if top < bottom:
                    yield from _labelled(canvas[top - y : bottom - y], top, x)

    def _keys(self, slots: Iterable[int]) -> Iterator[tuple[int, int]]:
        return ((slot, lane) for slot in slots for lane in range(LANES))

    def place(self, report: Report) -> list[tuple[int, int]]:
        """The slots and lanes that a report lies in."""
        slots = range(report.start // self._tall, (report.end - 1) // self._tall + 1)
        lanes = range(report.left // self._wide, (report.right - 1) // self._wide + 1)
        return [(slot, lane) for slot in slots for lane in lanes]


def _labelled(canvas: np.ndarray, line: int, column: int) -> Iterator[Truth]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((canvas > 0).astype(np.uint8), connectivity=8)
    for label in range(1, count):
        x, y, w, h, area = map(int, stats[label])
        peak = float(canvas[labels == label].max())
        yield Truth(line + y, line + y + h, column + x, column + x + w, area, peak)


class Ledger:
    """Which report is of which truth."""

    def __init__(self, world: World, truths: Iterable[Truth]) -> None:
        self._world, self.truths = world, list(truths)
        self._at: dict[tuple[int, int], list[Truth]] = {}
        for truth in self.truths:
            for key in world.place(truth):  # type: ignore[arg-type]
                self._at.setdefault(key, []).append(truth)
        self.strange, self.opened, self.unknown_ids = 0, 0, set[int]()
        self.not_inspected: list[tuple[int, int, str]] = []

    def note(self, report: Report, counts: tuple[int, int]) -> None:
        """One report, and the counts that its lines have."""
        wrong = (report.start_encoder, report.end_encoder) != counts
        if isinstance(report, edgead.NotInspected):
            self.not_inspected.append((report.start, report.end, "counts" if wrong else report.reason))
            return
        if report.is_open:
            self.opened += 1
            return
        near = {id(truth): truth for key in self._world.place(report) for truth in self._at.get(key, ())}
        near = {key: truth for key, truth in near.items() if _overlap(truth, report)}
        if not near:
            self.strange += 1
            return
        truth = min(near.values(), key=lambda each: _distance(each, report))
        truth.reports += 1
        truth.off = max(truth.off, abs(truth.start - report.start), abs(truth.end - report.end))
        truth.differs |= wrong or _distance(truth, report) > 0
        truth.differs |= (truth.area, truth.peak) != (report.area, report.peak)


def _overlap(truth: Truth, report: Report) -> bool:
    across = truth.left < report.right and report.left < truth.right
    return across and truth.start < report.end and report.start < truth.end


def _distance(truth: Truth, report: Report) -> int:
    return sum(
        abs(getattr(truth, name) - getattr(report, name)) for name in ("start", "end", "left", "right")
    )


def main() -> int:
    options = _arguments()
    if options.good is not None:
        return _write_good(options)
    judge: WindowJudge | edgead.Detector = Pixels(options.side)
    if options.bundle is not None:
        judge = edgead.load(options.bundle, throughput=True, threads=options.threads)
    web = edgead.Web(
        judge, width=options.width, counts_per_line=COUNTS, encoder_bits=BITS, max_length=MAX_LENGTH
    )
    margin = judge.margin if isinstance(judge, Pixels) else 0
    world = World(options.lines, options.width, options.defects, options.side // 8, options.seed)
    gaps = _gaps(options)
    ledger = Ledger(world, world.truths(gaps, margin))
    began, settled = time.perf_counter(), [0]
    memory, late, over = [0, 0], 0, 0
    heights = np.random.default_rng([options.seed, 2])

    def take(reports: list[Report], piece: int, seen: int) -> None:
        nonlocal late, over
        for report in reports:
            ledger.note(report, (_count(report.start), _count(report.end)))
            if isinstance(report, edgead.WebDefect) and not report.is_open:
                lateness = seen - _seen(report.end, gaps)
                late, over = max(late, lateness), max(over, lateness - piece)
        if seen >= options.lines // 100:
            now = resident()
            memory[:] = [memory[0] or now, max(memory[1], now)]
            if seen >= settled[0]:
                settled[0] += options.lines // 10
                print(f"{web.lines:,} lines, {time.perf_counter() - began:.0f} s", flush=True)

    at = seen = 0
    for start, end, is_told in [*gaps, (options.lines, options.lines, False)]:
        while at < start:
            height = min(int(HIGHEST ** heights.random()), start - at)
            seen += height
            take(web.feed(world.cut(at, at + height), encoder=_count(at)), height, seen)
            at += height
        if is_told:
            take(web.lost(end - at), 0, seen)
        at = end
    take(web.finish(), 0, seen)
    return _told(options, web, ledger, gaps, memory, (late, over))


def _told(
    options: argparse.Namespace,
    web: edgead.Web,
    ledger: Ledger,
    gaps: list[Gap],
    memory: list[int],
    lateness: tuple[int, int],
) -> int:
    truths = ledger.truths
    once = sum(truth.reports == 1 for truth in truths)
    never = sum(truth.reports == 0 for truth in truths)
    exact = sum(truth.reports == 1 and not truth.differs for truth in truths)
    off = [truth.off for truth in truths if truth.reports]
    want = [(start, end, "lost" if is_told else "encoder-jump") for start, end, is_told in gaps]
    is_right, is_flat = ledger.not_inspected == want, memory[1] - memory[0] <= MOST
    print(f"areas drawn                     {len(truths):,} (of {options.defects:,} defects)")
    often = len(truths) - once - never
    print(f"reported exactly once           {once:,}; never {never:,}, more often {often:,}")
    print(f"box, area, peak, counts exact   {exact:,}")
    print(
        f"ends off, lines                 median {np.median(off or [0]):.0f}, largest {max(off, default=0)}"
    )
    print(f"reports of nothing drawn        {ledger.strange:,}; while still open {ledger.opened:,}")
    print(f"not inspected                   {len(ledger.not_inspected)} ranges, exact: {is_right}")
    print(f"largest latency, lines          {lateness[0]}; without the piece's own height {lateness[1]}, "
          f"promised {web.latency_lines}")  # fmt: skip
    print(f"memory, MB                      {memory[0] / 1e6:.1f} at 1 %, {memory[1] / 1e6:.1f} at most")
    as_promised = is_right and is_flat and lateness[1] <= web.latency_lines
    return int(
        not (as_promised and (options.bundle is not None or exact == len(truths) > ledger.strange == 0))
    )


def _gaps(options: argparse.Namespace) -> list[Gap]:
    """Where lines are missing: in order, apart, and of any length up to a piece's."""
    rng = np.random.default_rng([options.seed, 1])
    count = options.lost + options.jumps
    if not count:
        return []
    told = rng.permutation(np.arange(count) < options.lost)
    room = options.lines // (count + 1)
    starts = [room * (1 + index) - int(rng.integers(room // 2)) for index in range(count)]
    return [
        (start, start + int(rng.integers(1, min(HIGHEST, room // 3))), bool(each))
        for start, each in zip(starts, told, strict=True)
    ]


def _count(line: int) -> int:
    return (12_345 + COUNTS * line) % (1 << BITS)


def _seen(line: int, gaps: list[Gap]) -> int:
    """How many lines up to this one came in."""
    return line - sum(min(end, line) - start for start, end, _ in gaps if start < line)


def _write_good(options: argparse.Namespace) -> int:
    options.good.mkdir(parents=True, exist_ok=True)
    world = World(TEXTURE * 4, options.width, 0, 0, options.seed)
    world.slots = 0  # nothing is drawn
    rng = np.random.default_rng(options.seed)
    for index in range(options.images):
        y = int(rng.integers(world.lines - options.side))
        x = int(rng.integers(world.width - options.side + 1))
        cv2.imwrite(
            str(options.good / f"{index:03d}.png"), world.cut(y, y + options.side)[:, x : x + options.side]
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--defects", type=int, default=2000)
    parser.add_argument(
        "--lost", type=int, default=20, help="pieces of which somebody says that they are lost"
    )
    parser.add_argument("--jumps", type=int, default=5, help="lines that only the encoder misses")
    parser.add_argument("--side", type=int, default=256, help="of the stand-in's windows, and of --good")
    parser.add_argument("--bundle", type=Path, help="compiled; judges in place of the stand-in")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--good", type=Path, help="write images of the web without defects there, and end")
    parser.add_argument("--images", type=int, default=120, help="how many of them")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
