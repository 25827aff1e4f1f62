"""What ``run`` says of each frame: a line for people, a line of JSON for scripts, a row of a CSV file."""

from __future__ import annotations

import csv
import io
import re
import statistics
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import coloured, json_line
from edgead.names import shown

if TYPE_CHECKING:
    from edgead.notices import Notice
    from edgead.types import Prediction, Region

HEATMAP = ".heatmap.png"
LONGEST_NAME = 180
"""Of a heatmap's file without its ending, in bytes: a file system takes 255, and writing adds to it."""
COLUMNS = (
    *("source", "frame", "score", "is_anomalous", "threshold", "regions", "heatmap", "error", "note"),
    "lesson",
)


@dataclass(frozen=True)
class Verdict:
    """What became of one frame, or of a source that ended in an error.

    Attributes:
        source: where it's from.
        frame: its number in a video or stream, or None.
        prediction: the verdict, or None where there's an error.
        error: why it couldn't be judged.
        note: what else is to be known.
        heatmap: the file that was written.
        milliseconds: what judging took.
        drift: what is news of the line with this frame.
    """

    source: str
    frame: int | None = None
    prediction: Prediction | None = None
    error: str | None = None
    note: str | None = None
    heatmap: Path | None = None
    milliseconds: float | None = None
    drift: tuple[Notice, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON: source, frame of a stream; then either the verdict or the error."""
        where: dict[str, Any] = {"source": shown(self.source)}
        if self.frame is not None:
            where["frame"] = self.frame
        if self.drift:
            where["drift"] = [notice.record() for notice in self.drift]
        if self.prediction is None:
            return where | {"error": shown(self.error or "")}
        verdict: dict[str, Any] = {
            "score": self.prediction.score,
            "is_anomalous": self.prediction.is_anomalous,
            "threshold": self.prediction.threshold,
            "regions": [
                {"box": list(r.box), "area": r.area, "peak": r.peak} for r in self.prediction.regions
            ],
        }
        if self.prediction.lesson is not None:
            verdict["lesson"] = self.prediction.lesson
        if self.heatmap is not None:
            verdict["heatmap"] = shown(self.heatmap)
        if self.note is not None:
            verdict["note"] = shown(self.note)
        return where | verdict


def print_json_line(verdict: Verdict) -> None:
    """Print the verdict as one line of JSON."""
    click.echo(json_line(verdict.record()))


def print_for_people(verdict: Verdict) -> None:
    """Print the verdict first, then how sure it is, where it's from and where to look."""
    where = shown(verdict.source) + ("" if verdict.frame is None else f" frame {verdict.frame}")
    if verdict.prediction is None:
        error = shown(verdict.error or "").removeprefix(f"{shown(verdict.source)}: ")
        click.echo(f"{coloured('ERROR    ', 'yellow')}  {where}: {error}")
        _print_drift(verdict)
        return
    p = verdict.prediction
    word = coloured("ANOMALOUS", "red") if p.is_anomalous else coloured("GOOD     ", "green")
    regions = _regions(p.regions) if p.is_anomalous else ""
    like = "" if p.lesson is None else f"; {_like(p.lesson)}"
    click.echo(f"{word}  score {p.score:<8.4g} threshold {p.threshold:<8.4g} {where}{regions}{like}")
    if verdict.note:
        click.echo(f"note: {where}: {shown(verdict.note)}")
    _print_drift(verdict)


def _print_drift(verdict: Verdict) -> None:
    for notice in verdict.drift:
        click.echo(f"drift: {shown(str(notice))}")


def _like(lesson: int) -> str:
    from edgead.showing import taught_text

    return taught_text(lesson)


def _regions(regions: tuple[Region, ...]) -> str:
    if not regions:
        return "; no region stands out"
    worst = max(regions, key=lambda region: region.peak)
    x, y, width, height = worst.box
    count = "1 region of" if len(regions) == 1 else f"{len(regions)} regions, the strongest of"
    return f"; {count} {width} x {height} pixels at x {x}, y {y}"


@dataclass
class Tally:
    """What was judged so far.

    Attributes:
        good, anomalous, failed: numbers of frames.
        milliseconds: what judging each took, of the last ``KEPT``.
    """

    KEPT = 10_000

    good: int = 0
    anomalous: int = 0
    failed: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        if verdict.prediction is None:
            self.failed += 1
        elif verdict.prediction.is_anomalous:
            self.anomalous += 1
        else:
            self.good += 1
        if verdict.milliseconds is not None:
            self.milliseconds.append(verdict.milliseconds)
            del self.milliseconds[: -self.KEPT]

    def __str__(self) -> str:
        judged = self.good + self.anomalous
        text = f"{judged:,} judged, {self.anomalous:,} anomalous, {self.failed:,} failed"
        if self.milliseconds:
            text += f", median {statistics.median(self.milliseconds):.1f} ms a frame"
        return text


# ---------------------------------------------------------------- files


@contextmanager
def csv_file(path: Path) -> Iterator[CSVRows]:
    """Open a CSV file for verdicts; each row is on the disk before the next frame is judged.

    An older file stays where the disk doesn't even take the names of the columns.

    Raises:
        OutputError: it can't be written.
    """
    from edgead.files import exists, is_file, output_errors, write_file

    is_new = is_file(path) or not exists(path)  # a pipe or a terminal is written to as it is
    if is_new:
        write_file(path, _line(COLUMNS))
    with output_errors(path):
        file = path.open("ab" if is_new else "wb", buffering=0)
    with file:
        rows = CSVRows(path, file)
        if not is_new:
            rows.write(COLUMNS)
        yield rows


class CSVRows:
    """The rows of a CSV file, written one by one."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self._path, self._file = path, file

    def write(self, values: tuple[object, ...]) -> None:
        """Write one row, whole; raises OutputError."""
        from edgead.files import output_errors

        data = _line(values)
        with output_errors(self._path):
            while data:  # a disk that's nearly full takes a part, and then none
                data = data[self._file.write(data) :]

    def __call__(self, verdict: Verdict) -> None:
        """Write a verdict's row."""
        record = verdict.record()
        if "regions" in record:
            record["regions"] = len(record["regions"])
        self.write(tuple(record.get(name) for name in COLUMNS))


def _line(values: tuple[object, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return line.getvalue().encode()


class HeatmapNames:
    """File names for heatmaps, no two alike in one run, on file systems that ignore case as well.

    A name is the source's last; where that's taken, the names of its folders come before it, and where that
    doesn't help, a number comes after.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, name: str, source: str) -> str:
        """Return a new file name.

        Args:
            name: the frame's.
            source: its path.
        """
        folders = [part for part in Path(source).parent.parts if part not in ("/", "..", ".")]
        longer = ("-".join([*folders[-count:], name]) for count in range(1, len(folders) + 1))
        for candidate in (name, *longer):
            if plain := self._take(candidate):
                return plain
        number = 2
        while not (plain := self._take(f"{name}-{number}")):
            number += 1
        return plain

    def _take(self, name: str) -> str | None:
        plain = _plain(name)
        key = unicodedata.normalize("NFKC", plain).casefold()
        if key in self._taken:
            return None
        self._taken.add(key)
        return plain + HEATMAP


def _plain(name: str) -> str:
    """A name that every file system takes: no space, no separator, and not too long."""
    plain = re.sub(r'[\s\\/:*?"<>|]+', "-", shown(name)).lstrip(".-") or "frame"
    data = plain.encode()
    return plain if len(data) <= LONGEST_NAME else data[-LONGEST_NAME:].decode(errors="ignore")


__all__ = [
    "CSVRows",
    "HeatmapNames",
    "Tally",
    "Verdict",
    "csv_file",
    "print_for_people",
    "print_json_line",
]
