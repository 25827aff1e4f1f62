"""A record as a table for others: CSV, or Parquet; batch by batch, however long the record is."""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgead.errors import OptionError
from edgead.extras import explained
from edgead.files import output_errors
from edgead.leftovers import new_name
from edgead.line.config import read_line
from edgead.line.record.reader import RecordReader
from edgead.names import shown

BATCH = 5000
"""Rows in memory at most."""
Kind = Literal["text", "whole", "number", "time"]
VERDICTS: dict[str, Kind] = {
    "utc": "time", "utc_ns": "whole", "run": "text", "trigger": "whole", "part": "text", "camera": "text",
    "decision": "text", "why": "text", "score": "number", "threshold": "number", "regions": "text",
    "bundle": "text", "encoder": "whole", "frame_id": "whole", "trigger_ns": "whole", "grab_ns": "whole",
    "judged_ns": "whole", "said_ns": "whole", "kept": "text", "image": "text", "feedback": "text",
}  # fmt: skip
"""Columns of verdicts: ``regions`` as JSON, ``image`` as its file's name in the folder."""
AUDIT: dict[str, Kind] = {
    "id": "whole", "utc": "time", "utc_ns": "whole", "user": "text", "what": "text", "camera": "text",
    "old": "text", "new": "text", "reason": "text", "before": "text", "hash": "text",
}  # fmt: skip
"""Columns of the audit."""
Row = tuple[Any, ...]
_FORMULA = re.compile(r"((?:^|[;\t\r\n])[ ;\t\r\n]*)([=+\-@])")
"""Where a cell begins with a formula's sign, or would where the list separator is a semicolon."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: where.
        rows: how many.
        columns: their names.
    """

    file: Path
    rows: int
    columns: tuple[str, ...]


def export_log(
    record: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    since: str | None = None,
    until: str | None = None,
    audit: bool = False,
) -> Exported:
    """Write a record's verdicts, or its audit, as a table; the recorder may go on meanwhile.

    In CSV, a text that a spreadsheet takes for a formula has a ``'`` before it. Parquet has texts as they
    are, and needs the extra ``log``.

    Args:
        record: the record's folder, or the file of a line that has a ``[log]``.
        out: a file that ends in ``.csv`` or ``.parquet``; one that's there is replaced.
        since, until: only what was then or later, and before that: a day or a time as ISO 8601 has it, in UTC
            where it names no other zone.
        audit: the audit instead of the verdicts.

    Raises:
        OptionError: ``out`` has another ending, a time is none, or the line records nothing.
        RecordError: there's no record, or it's damaged.
        OutputError: the file can't be written.
        MissingDependencyError: Parquet, without pyarrow.
    """
    out, folder = Path(out), record_folder(record)
    bounds = (_time(since, "since"), _time(until, "until"))
    columns = AUDIT if audit else VERDICTS
    writers: dict[str, Callable[..., int]] = {".csv": _write_csv, ".parquet": _write_parquet}
    if out.suffix.lower() not in writers:
        raise OptionError(f"{shown(out)}: no kind of table: give a file that ends in .csv or .parquet")
    write = writers[out.suffix.lower()]
    with RecordReader(folder) as reader:
        batches = _audit(reader, *bounds) if audit else _verdicts(reader, *bounds)
        with output_errors(out, out.absolute().parent):
            beside = new_name(out)
            try:
                rows = write(beside, columns, batches)
                beside.replace(out)
            finally:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
    return Exported(out, rows, tuple(columns))


def record_folder(record: str | os.PathLike[str]) -> Path:
    """The folder of a record, or of that which a line's file names.

    Raises:
        OptionError: the line's file has no ``[log]``.
        DatasetError, OptionError, UnknownNameError: as ``read_line``.
    """
    path = Path(record)
    if path.is_dir() or path.suffix != ".toml":
        return path
    line = read_line(path)
    if line.log is None:
        raise OptionError(
            f"{shown(path)}: this line records nothing: it has no [log]; give a record's folder"
        )
    return line.path(line.log.table.folder)


def _verdicts(reader: RecordReader, since: int | None, until: int | None) -> Iterator[list[Row]]:
    last = 0
    while rows := reader.after(last, BATCH, since, until):
        first, last = rows[0].id, rows[-1].id
        files, feedback = reader.files(first, last), reader.feedback_of(first, last)
        batch = []
        for row in rows:
            regions = [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in row.regions]
            batch.append((
                row.utc_ns, row.utc_ns, row.run, row.trigger, row.part, row.camera, row.decision, row.why,
                row.score, row.threshold, json.dumps(regions, separators=(",", ":")), row.bundle, row.encoder,
                row.frame_id, row.trigger_ns, row.grab_ns, row.judged_ns, row.said_ns, row.kept,
                files.get(row.id), " ".join(feedback.get(row.id, ())) or None,
            ))  # fmt: skip
        yield batch


def _audit(reader: RecordReader, since: int | None, until: int | None) -> Iterator[list[Row]]:
    last = 0
    while rows := reader.audit_after(last, BATCH):
        last = rows[-1].id
        yield [
            (r.id, r.utc_ns, r.utc_ns, r.user, r.what, r.camera, r.old, r.new, r.reason, r.before, r.hash)
            for r in rows
            if (since is None or r.utc_ns >= since) and (until is None or r.utc_ns < until)
        ]


def _write_csv(file: Path, columns: dict[str, Kind], batches: Iterator[list[Row]]) -> int:
    kinds, count = tuple(columns.values()), 0
    with file.open("x", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        for batch in batches:
            writer.writerows([_cell(*each) for each in zip(row, kinds, strict=True)] for row in batch)
            count += len(batch)
        opened.flush()
        os.fsync(opened.fileno())
    return count


def _cell(value: Any, kind: Kind) -> Any:
    if value is None:
        return ""
    if kind == "time":
        return _iso(value)
    if kind == "text":  # a part's name is anybody's, and what begins so is a formula to a spreadsheet
        value = _FORMULA.sub(r"\1'\2", value)
        return f"'{value}" if value[:1] in ("\t", "\r", "\n") else value
    return value


def _iso(utc_ns: int) -> str:
    """A time in UTC, to the microsecond; empty where no calendar has it."""
    try:
        moment = datetime.datetime.fromtimestamp(utc_ns // 1_000_000_000, datetime.timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{utc_ns % 1_000_000_000 // 1000:06d}Z"


@explained("a table as Parquet")
def _write_parquet(file: Path, columns: dict[str, Kind], batches: Iterator[list[Row]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64(),
             "time": pa.timestamp("ns", tz="UTC")}  # fmt: skip
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            arrays = [
                pa.array([row[place] for row in batch], field.type) for place, field in enumerate(schema)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def _time(text: str | None, name: str) -> int | None:
    """Nanoseconds since 1970 of a day or a time."""
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        since_1970 = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    except (ValueError, OverflowError):
        raise OptionError(
            f"{name} '{text[:60]}' must be a day, 2027-01-31, or a time, 2027-01-31T18:00:00Z"
        ) from None
    return (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000_000 + since_1970.microseconds * 1000


__all__ = ["AUDIT", "BATCH", "VERDICTS", "Exported", "export_log", "record_folder"]
