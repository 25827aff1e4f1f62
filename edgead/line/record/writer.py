"""Writes a line's record: the recorder's side, which alone adds verdicts."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from edgead.errors import DamagedRecordError, NoRecordError, OutputError
from edgead.files import output_errors
from edgead.line.record.audit import append, plain_text
from edgead.line.record.schema import FILE, connect, create, sqlite_errors
from edgead.names import shown
from edgead.notices import Notice

Kept = Literal["reject", "fail-safe", "near", "sample", "filed", "taught"]
_BIG = 1 << 63


class RecordWriter:
    """Writes into a folder's record, which is begun where there's none.

    What is added is there, whatever happens then, once ``commit`` has returned. For one thread.

    Args:
        folder: made where it isn't there.

    Attributes:
        folder: absolute.
        notices: what is to be said: that a damaged record was moved aside, for instance. Take them out.

    Raises:
        RecordVersionError, RecordBusyError, OutputError: as ``schema.connect``. A damaged record is moved
            aside, and a new one begun.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self.notices: list[Notice] = []
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._opened()
        except DamagedRecordError as error:
            self._connection = self._anew(error)

    def verdict(self, record: Mapping[str, Any], utc_ns: int) -> int:
        """Add a verdict; one that is there already, by run and trigger, is left as it is.

        Args:
            record: as ``edgead.line.records.record_of`` makes it. Whole numbers that don't go into 64 bits
                are left out.
            utc_ns: when its trigger was, by the machine's clock.

        Returns:
            The row's number.
        """
        times = record["times"]
        row = (
            plain_text(str(record["run"])),
            int(record["trigger"]),
            *(plain_text(str(record[name])) for name in ("part", "camera", "decision", "why")),
            record["score"],
            record["threshold"],
            record["bundle"],
            _whole(record["encoder"]),
            _whole(record["frame_id"]),
            *(_whole(times[name]) for name in ("trigger", "grab", "judged", "sent")),
            int(utc_ns),
            json.dumps(record["regions"], separators=(",", ":")),
        )
        with self._adding() as connection:
            cursor = connection.execute(
                'INSERT INTO verdicts("run", "trigger", "part", "camera", "decision", "why", "score", '
                '"threshold", "bundle", "encoder", "frame_id", "trigger_ns", "grab_ns", "judged_ns", '
                f'"said_ns", "utc_ns", "regions") VALUES ({", ".join("?" * 17)}) '
                'ON CONFLICT("run", "trigger") DO NOTHING',
                row,
            )
            if cursor.rowcount:
                assert cursor.lastrowid is not None
                return cursor.lastrowid
            (number,) = connection.execute(
                'SELECT "id" FROM verdicts WHERE "run" = ? AND "trigger" = ?', row[:2]
            ).fetchone()
            return int(number)

    def image(self, verdict: int, file: str, size: int, width: int, height: int, kept: Kept) -> None:
        """Add that a verdict's image was kept.

        Args:
            verdict: the row's number.
            file: its name in the folder, as ``places.image_name`` makes it.
            size: bytes, its map's among them.
        """
        with self._adding() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?)",
                (verdict, file, size, width, height, kept),
            )

    def without_image(self, file: str) -> None:
        """Take back that an image was kept."""
        with self._adding() as connection:
            connection.execute('DELETE FROM images WHERE "file" = ?', (file,))

    def event(self, notice: Notice, utc_ns: int | None = None) -> None:
        """Add what the line says of itself."""
        fields = plain_text(json.dumps(dict(notice.values), default=str))[:100_000]
        with self._adding() as connection:
            connection.execute(
                'INSERT INTO events("utc_ns", "code", "fields") VALUES (?, ?, ?)',
                (time.time_ns() if utc_ns is None else utc_ns, plain_text(notice.code)[:100], fields),
            )

    def commit(self) -> None:
        """Have what was added since the last time on the disk; where that raises, none of it is there.

        Raises:
            OutputError: the disk is full, or can't be written.
            DamagedRecordError: the database is damaged; see ``begin_anew``.
        """
        with self._adding() as connection:
            connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Forget what was added since the last ``commit``."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    @property
    def is_there(self) -> bool:
        """Whether the database is still the file in the folder: what a removed one gets is lost."""
        try:
            status = (self.folder / FILE).lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._opened_as

    def begin_anew(self, error: DamagedRecordError) -> None:
        """Move a record that turned out to be damaged aside, and begin a new one; see ``notices``."""
        self.close()
        self._connection = self._anew(error)

    def close(self) -> None:
        """Let go of the database; what wasn't committed is lost."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    # ------------------------------------------------------------ in pieces

    @contextlib.contextmanager
    def _adding(self) -> Iterator[sqlite3.Connection]:
        """A transaction, begun where there's none; ``commit`` ends it, and so does an error."""
        with sqlite_errors(self.folder / FILE):
            try:
                if not self._connection.in_transaction:
                    self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def _opened(self) -> sqlite3.Connection:
        try:
            connection = connect(self.folder, write=True)
        except NoRecordError:
            create(self.folder)
            connection = connect(self.folder, write=True)
        with output_errors(self.folder / FILE):
            status = (self.folder / FILE).lstat()
        self._opened_as = status.st_dev, status.st_ino
        return connection

    def _anew(self, error: DamagedRecordError) -> sqlite3.Connection:
        mark = f"damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        aside = f"{FILE}.{mark}"
        moved = [(f"{FILE}{suffix}", f"{aside}{suffix}") for suffix in ("-wal", "-shm", "")]
        with output_errors(self.folder / FILE):
            for name, other in [("images", f"images.{mark}"), *moved]:  # which nobody would count any more
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / name).rename(self.folder / other)
        values = {"folder": shown(self.folder), "aside": aside, "why": str(error)}
        self.notices.append(Notice("line-record-damaged", values))
        connection = self._opened()
        with contextlib.suppress(OutputError):
            append(connection, self.folder, "edgead", "record", None, aside, "begun anew", str(error)[:1000])
        return connection


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) and -_BIG <= number < _BIG else None


__all__ = ["Kept", "RecordWriter"]
