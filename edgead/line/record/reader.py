"""Reads a line's record, beside the recorder that writes it. What the database says is checked first."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from edgead.line.record.audit import AuditRow
from edgead.line.record.filing import FeedbackKind
from edgead.line.record.places import file_in, is_image_name, map_name
from edgead.line.record.rows import EventRow, FeedbackRow, ScoreRow, VerdictRow
from edgead.line.record.schema import FILE, connect, damaged, sqlite_errors
from edgead.types import Decision, Region

MOST_ROWS = 10_000
"""Rows that one call gives at most."""
MOST_REGIONS = 100
MOST_PIXELS = 1 << 53
"""Of a region's numbers; its line is far below."""

_VERDICT = (
    'SELECT v."id", "run", "trigger", "part", "camera", "decision", "why", "score", "threshold", "bundle", '
    '"encoder", "frame_id", "trigger_ns", "grab_ns", "judged_ns", "said_ns", "utc_ns", "regions", "kept" '
    'FROM verdicts v LEFT JOIN images i ON i."verdict" = v."id"'
)
_KINDS: tuple[tuple[type, ...], ...] = (
    (int,), (str,), (int,), (str,), (str,), (str,), (str,), (float, type(None)), (float, type(None)),
    (str, type(None)), (int, type(None)), (int, type(None)), (int,), (int, type(None)), (int, type(None)),
    (int, type(None)), (int,), (str,), (str, type(None)),
)  # fmt: skip


class RecordReader:
    """Reads a folder's record; safe from any thread.

    Args:
        folder: the record's.

    Raises:
        RecordError, OutputError: as ``schema.connect``; methods raise DamagedRecordError too, and
            RecordBusyError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self._connection = connect(self.folder)
        self._lock = threading.Lock()

    def verdicts(
        self,
        limit: int = 100,
        before: int | None = None,
        decision: Decision | None = None,
        camera: str | None = None,
    ) -> list[VerdictRow]:
        """Verdicts, the newest first.

        Args:
            limit: how many at most, up to ``MOST_ROWS``.
            before: only those with a smaller ``id``: the last one's of the page before.
        """
        terms: list[str] = []
        values: list[int | str] = []
        if before is not None:
            terms.append('v."id" < ?')
            values.append(_int64(before))
        if decision is not None:
            # As a literal: the index of rejects is used for nothing else.
            terms.append("\"decision\" = 'reject'" if decision == "reject" else "\"decision\" = 'accept'")
        if camera is not None:
            terms.append('"camera" = ?')
            values.append(camera)
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        order = f'{where} ORDER BY v."id" DESC LIMIT ?'
        return [self._verdict(row) for row in self._rows(_VERDICT + order, *values, _limit(limit))]

    def verdict(self, number: int) -> VerdictRow | None:
        """One verdict by its row's number."""
        rows = self._rows(f'{_VERDICT} WHERE v."id" = ?', _int64(number))
        return self._verdict(rows[0]) if rows else None

    def after(
        self, number: int, limit: int = 1000, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[VerdictRow]:
        """Verdicts with a larger ``id``, the oldest first: for going through all of them in batches.

        Args:
            since_ns, until_ns: only those whose trigger was then or later, and before that, by ``utc_ns``.
        """
        terms, values = ['v."id" > ?'], [_int64(number)]
        # By id, from which a batch goes on; the plus keeps SQLite from going by the index of times instead.
        if since_ns is not None:
            terms.append('+"utc_ns" >= ?')
            values.append(_int64(since_ns))
        if until_ns is not None:
            terms.append('+"utc_ns" < ?')
            values.append(_int64(until_ns))
        order = f' WHERE {" AND ".join(terms)} ORDER BY v."id" LIMIT ?'
        rows = self._rows(_VERDICT + order, *values, _limit(limit))
        return [self._verdict(row) for row in rows]

    def scores(self, camera: str, last: int = 1000) -> list[ScoreRow]:
        """The last scores of a camera, the oldest first; verdicts without a score are left out."""
        rows = self._rows(
            'SELECT "id", "score", "threshold", "decision", "bundle" FROM verdicts WHERE "camera" = ? '
            'AND "score" IS NOT NULL AND "threshold" IS NOT NULL ORDER BY "id" DESC LIMIT ?',
            camera,
            _limit(last),
        )
        kinds = ((int,), (float,), (float,), (str,), (str, type(None)))
        checked = [self._typed(row, kinds) for row in reversed(rows)]
        return [ScoreRow(*row) for row in checked]

    def counts(self, since_ns: int = 0, camera: str | None = None) -> dict[str, int]:
        """Verdicts by why, most first, since a time of the machine's clock."""
        term, values = (' AND "camera" = ?', [camera]) if camera is not None else ("", [])
        rows = self._rows(
            f'SELECT "why", count(*) FROM verdicts WHERE "utc_ns" >= ?{term} GROUP BY "why" '
            'ORDER BY count(*) DESC, "why"',
            _int64(since_ns),
            *values,
        )
        return {str(why): int(count) for why, count in rows}

    def decisions(self, since_ns: int = 0, camera: str | None = None) -> dict[str, int]:
        """Verdicts by decision, since a time of the machine's clock."""
        term, values = (' AND "camera" = ?', [camera]) if camera is not None else ("", [])
        rows = self._rows(
            f'SELECT "decision", count(*) FROM verdicts WHERE "utc_ns" >= ?{term} GROUP BY "decision"',
            _int64(since_ns),
            *values,
        )
        return {str(decision): int(count) for decision, count in rows}

    def image(self, verdict: int) -> Path | None:
        """The file of a verdict's image, or None; never outside of the record's folder."""
        name = self._image(verdict)
        return None if name is None else file_in(self.folder, name)

    def map(self, verdict: int) -> Path | None:
        """The file of its anomaly map, 8-bit PNG with 128 at the threshold, or None."""
        name = self._image(verdict)
        return None if name is None else file_in(self.folder, map_name(name))

    def feedback(self, state: str | None = None, limit: int = 1000) -> list[FeedbackRow]:
        """What was filed, the newest first; only what's ``filed`` or ``taught`` if given."""
        term, values = (' WHERE "state" = ?', [state]) if state is not None else ("", [])
        rows = self._rows(f'SELECT * FROM feedback{term} ORDER BY "id" DESC LIMIT ?', *values, _limit(limit))
        kinds = ((int,), (int,), (str,), (str,), (str,), (int,), (str,))
        found = [FeedbackRow(*self._typed(row, kinds)) for row in rows]
        for each in found:
            if each.kind not in get_args(FeedbackKind):  # it becomes an option's name where it's taught
                raise damaged(self.folder / FILE, f"feedback {each.id} is of no kind")
        return found

    def feedback_of(self, first: int, last: int) -> dict[int, list[str]]:
        """The kinds of what was filed on verdicts with such an ``id``."""
        found: dict[int, list[str]] = {}
        sql = 'SELECT "verdict", "kind" FROM feedback WHERE "verdict" BETWEEN ? AND ? ORDER BY "id"'
        for verdict, kind in self._rows(sql, _int64(first), _int64(last)):
            found.setdefault(int(verdict), []).append(str(kind))
        return found

    def files(self, first: int, last: int) -> dict[int, str]:
        """The names of the images, in the folder, of verdicts with such an ``id``; the files may be gone."""
        sql = 'SELECT "verdict", "file" FROM images WHERE "verdict" BETWEEN ? AND ?'
        rows = self._rows(sql, _int64(first), _int64(last))
        return {int(number): name for number, name in rows if isinstance(name, str) and is_image_name(name)}

    def audit_after(self, number: int, limit: int = 1000) -> list[AuditRow]:
        """The audit's rows with a larger ``id``, the oldest first."""
        sql = 'SELECT * FROM audit WHERE "id" > ? ORDER BY "id" LIMIT ?'
        return [self._audited(row) for row in self._rows(sql, _int64(number), _limit(limit))]

    def audit(self, limit: int = 1000, before: int | None = None) -> list[AuditRow]:
        """The audit's rows, the newest first; ``verify_audit`` checks their chain."""
        term, values = (' WHERE "id" < ?', [_int64(before)]) if before is not None else ("", [])
        rows = self._rows(f'SELECT * FROM audit{term} ORDER BY "id" DESC LIMIT ?', *values, _limit(limit))
        return [self._audited(row) for row in rows]

    def events(self, limit: int = 100, before: int | None = None) -> list[EventRow]:
        """What the line said of itself, the newest first."""
        term, values = (' WHERE "id" < ?', [_int64(before)]) if before is not None else ("", [])
        rows = self._rows(f'SELECT * FROM events{term} ORDER BY "id" DESC LIMIT ?', *values, _limit(limit))
        checked = [self._typed(row, ((int,), (int,), (str,), (str,))) for row in rows]
        return [EventRow(number, at, code, self._object(text)) for number, at, code, text in checked]

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------ in pieces

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(self.folder / FILE):
            yield self._connection

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows at once: a reader that lingers keeps the writer's log from being taken up."""
        with self._reading() as connection:
            return connection.execute(sql, values).fetchall()

    def _image(self, verdict: int) -> str | None:
        rows = self._rows('SELECT "file" FROM images WHERE "verdict" = ?', _int64(verdict))
        name = rows[0][0] if rows else None
        return name if isinstance(name, str) and is_image_name(name) else None

    def _typed(self, row: Sequence[Any], kinds: Sequence[tuple[type, ...]]) -> tuple[Any, ...]:
        for value, kind in zip(row, kinds, strict=True):
            if type(value) not in kind or (isinstance(value, float) and not math.isfinite(value)):
                raise damaged(self.folder / FILE, f"a row {str(row[0])[:20]} isn't as edgead writes it")
        return tuple(row)

    def _audited(self, row: Sequence[Any]) -> AuditRow:
        text, may = (str,), (str, type(None))
        kinds = ((int,), (int,), text, text, may, may, may, text, text, text)
        return AuditRow(*self._typed(row, kinds))

    def _verdict(self, row: Sequence[Any]) -> VerdictRow:
        values = list(self._typed(row, _KINDS))
        if values[5] not in get_args(Decision):
            raise damaged(self.folder / FILE, f"verdict {values[0]} has no decision")
        try:
            regions = json.loads(values[17])
            if len(regions) > MOST_REGIONS:
                raise ValueError
            values[17] = tuple(map(_region, regions))
        except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError):
            raise damaged(self.folder / FILE, f"verdict {values[0]} has no regions") from None
        return VerdictRow(*values)

    def _object(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {"text": text[:1000]}


def _region(value: Any) -> Region:
    x, y, width, height = (int(each) for each in value["box"])
    area, peak = int(value["area"]), float(value["peak"])
    if not math.isfinite(peak) or any(abs(each) > MOST_PIXELS for each in (x, y, width, height, area)):
        raise ValueError
    return Region((x, y, width, height), area, peak)


def _limit(number: int) -> int:
    return max(0, min(int(number), MOST_ROWS))


def _int64(number: int) -> int:
    """A whole number that SQLite takes."""
    return max(-(1 << 63), min(int(number), (1 << 63) - 1))


__all__ = ["MOST_ROWS", "RecordReader"]
