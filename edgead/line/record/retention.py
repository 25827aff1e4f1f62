"""How long images and rows are kept: the oldest go first, and those with feedback stay."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import EdgeadError, NoRecordError, one_line
from edgead.line.channel import Message
from edgead.line.record.keeping import said
from edgead.line.record.places import file_in, is_image_name, map_name
from edgead.line.record.schema import FILE, connect, sqlite_errors
from edgead.line.record.storing import be_modest
from edgead.notices import Notice

EVERY = 60.0
"""Seconds between two looks; one comes at once where too much was kept."""
FAILED = 5
"""Looks in a row that fail until that's said."""
AT_ONCE = 200
ROWS_AT_ONCE = 2000
_STAYS = 'i."kept" = \'taught\' OR EXISTS (SELECT 1 FROM feedback f WHERE f."verdict" = i."verdict")'


@dataclass(frozen=True)
class Limits:
    """How long, and how much.

    Attributes:
        days: that an image is kept.
        most: bytes of all images.
        row_days: that a row is kept that has neither an image nor feedback; 0 for ever.
    """

    days: float
    most: int
    row_days: float = 0.0


class Retention:
    """Removes images in a thread.

    Args:
        folder: the record's.
        limits: what is kept.
        say: takes messages to the line's own process.
    """

    def __init__(self, folder: Path, limits: Limits, say: Callable[[Message], object]) -> None:
        self._folder, self._limits, self._most, self._say = folder, limits, limits.most, say
        self._bytes = 0
        self._told = False
        self._failed = 0
        self._due = threading.Event()
        threading.Thread(target=self._work, name="edgead-retention", daemon=True).start()

    def stored(self, size: int) -> None:
        """So many bytes more are kept."""
        self._bytes += size
        if self._bytes > self._most:
            self._due.set()

    def _work(self) -> None:
        be_modest()
        while True:
            self._look()
            time.sleep(1.0)
            self._due.wait(EVERY)
            self._due.clear()

    def _look(self) -> None:
        try:
            self._bytes = look(self._folder, self._limits)
        except NoRecordError:  # none is begun yet, and why not the recorder says
            return
        except (EdgeadError, sqlite3.Error, OSError) as error:  # busy, full, away: at the next look
            self._failed += 1
            if self._failed == FAILED:
                why = one_line(error, "message", 300)
                self._say(said(Notice("line-record-stuck", {"why": why})))
            return
        self._failed = 0
        self._tell()

    def _tell(self) -> None:
        over = self._bytes > self._most
        if over and not self._told:
            values = {"gigabytes": self._bytes / 1e9, "most": self._most / 1e9}
            self._say(said(Notice("line-record-exempt", values)))
        self._told = over


def look(folder: Path, limits: Limits) -> int:
    """Remove what is too old or too much, and return the bytes of images that are left."""
    most = limits.most
    with contextlib.closing(connect(folder, write=True)) as connection, sqlite_errors(folder / FILE):
        before = _before(limits.days)
        old = (
            'SELECT i."verdict", "file", "bytes" FROM images i JOIN verdicts v ON v."id" = i."verdict" '
            f'WHERE v."utc_ns" < {before} AND NOT ({_STAYS}) ORDER BY v."utc_ns" LIMIT {AT_ONCE}'
        )
        while _remove(connection, folder, old, None):
            pass
        total = _total(connection)
        oldest = (
            f'SELECT i."verdict", "file", "bytes" FROM images i WHERE NOT ({_STAYS}) '
            f'ORDER BY i."verdict" LIMIT {AT_ONCE}'
        )
        while total > most and (freed := _remove(connection, folder, oldest, total - most)):
            total -= freed
        if limits.row_days:
            _forget(connection, _before(limits.row_days))
        return _total(connection)


def _before(days: float) -> int:
    return time.time_ns() - int(days * 86_400e9)


def _forget(connection: sqlite3.Connection, before: int) -> None:
    """Remove rows of verdicts, some at a time: the recorder writes between."""
    old = (
        f'DELETE FROM verdicts WHERE "id" IN (SELECT v."id" FROM verdicts v WHERE v."utc_ns" < {before} '
        'AND NOT EXISTS (SELECT 1 FROM images i WHERE i."verdict" = v."id") '
        f'AND NOT EXISTS (SELECT 1 FROM feedback f WHERE f."verdict" = v."id") LIMIT {ROWS_AT_ONCE})'
    )
    while connection.execute(old).rowcount:
        time.sleep(0.05)


def _total(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute('SELECT coalesce(sum("bytes"), 0) FROM images').fetchone()
    return int(total)


def _remove(connection: sqlite3.Connection, folder: Path, sql: str, enough: int | None) -> int:
    """Remove some images, until enough bytes are free, and return how many bytes; files go before rows."""
    freed, gone = 0, []
    for verdict, name, size in connection.execute(sql).fetchall():
        if enough is not None and freed >= enough:
            break
        if isinstance(name, str) and is_image_name(name):
            for each in (name, map_name(name)):
                if (path := file_in(folder, each)) is not None:
                    path.unlink(missing_ok=True)
        freed += max(1, int(size))
        gone.append((verdict,))
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany('DELETE FROM images WHERE "verdict" = ?', gone)
    connection.execute("COMMIT")
    return freed


__all__ = ["Limits", "Retention", "look"]
