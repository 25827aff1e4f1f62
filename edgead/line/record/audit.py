"""The audit: who changed what, when and why, in a chain that shows where somebody changed it later.

Each row holds the SHA-256 of itself and of the hash before it, so a row that was changed, put in or taken
out breaks the chain there. Rows cut off the end leave a whole chain; three things tell of them: SQLite's own
count of rows, the last hash in a file beside the database, and a hash that somebody noted elsewhere. Who can
write the folder can forge the first two; against them only the third helps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from edgead.errors import AuditChainError, OptionError, OutputError
from edgead.files import read_plain, write_file
from edgead.line.record.schema import FILE, connect, damaged, sqlite_errors
from edgead.names import shown

HEAD = "audit.head"
MOST = {"user": 100, "what": 100, "camera": 40, "old": 10_000, "new": 10_000, "reason": 1000}
"""Characters of each text."""


@dataclass(frozen=True)
class AuditRow:
    """One change.

    Attributes:
        id: counts from 1 without a gap.
        utc_ns: when, by the machine's clock.
        user: who.
        what: what was changed, ``threshold`` for instance.
        camera: whose, or None.
        old, new: the values, or None.
        reason: why, as the user said.
        before: the hash of the row before; the first's is the record's own.
        hash: of this row, in hexadecimal digits.
    """

    id: int
    utc_ns: int
    user: str
    what: str
    camera: str | None
    old: str | None
    new: str | None
    reason: str
    before: str
    hash: str


@dataclass(frozen=True)
class AuditState:
    """What a whole chain comes to.

    Attributes:
        rows: how many.
        hash: the last row's: note it elsewhere, and ``verify_audit`` can tell later that nothing before is
            gone.
        anchored: whether the file beside the database was there to be compared with.
    """

    rows: int
    hash: str
    anchored: bool

    @property
    def head(self) -> str:
        """Rows and last hash in one text, as ``verify_audit`` takes it."""
        return f"{self.rows}:{self.hash}"


def add_audit(
    folder: Path,
    user: str,
    what: str,
    *,
    camera: str | None = None,
    old: str | None = None,
    new: str | None = None,
    reason: str = "",
) -> AuditRow:
    """Add a row, with a connection of its own: from any process, beside the recorder.

    Args:
        folder: the record's.

    Raises:
        OptionError: a text is too long, or user or what is empty.
        AuditChainError: rows at the end are gone, which one more would hide.
        RecordError, OutputError: as ``connect``.
    """
    folder = Path(folder).absolute()
    with contextlib.closing(connect(folder, write=True)) as connection:
        return append(connection, folder, user, what, camera, old, new, reason)


def append(
    connection: sqlite3.Connection,
    folder: Path,
    user: str,
    what: str,
    camera: str | None,
    old: str | None,
    new: str | None,
    reason: str,
) -> AuditRow:
    """Add a row by a connection that is in no transaction; as ``add_audit``."""
    user, what, reason = plain_text(user), plain_text(what), plain_text(reason)
    camera, old, new = (None if text is None else plain_text(text) for text in (camera, old, new))
    texts = {"user": user, "what": what, "camera": camera, "old": old, "new": new, "reason": reason}
    for name, text in texts.items():
        if text is not None and len(text) > MOST[name]:
            raise OptionError(f"{name}: {len(text)} characters, and an audit takes {MOST[name]}: shorten it")
        if name in ("user", "what") and not text:
            raise OptionError(f"{name} is missing: an audit says who changed what")
    with sqlite_errors(folder / FILE):
        connection.execute("BEGIN IMMEDIATE")
        try:
            last = connection.execute('SELECT "id", "hash" FROM audit ORDER BY "id" DESC LIMIT 1').fetchone()
            number, before = last or (0, _first(connection, folder))
            _check_count(connection, folder, number)
            at = time.time_ns()
            row = (number + 1, at, user, what, camera, old, new, reason, before)
            added = AuditRow(number + 1, at, user, what, camera, old, new, reason, str(before), _hash(row))
            connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(added))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    head = {"record": _uid(connection, folder), "rows": added.id, "hash": added.hash}
    with contextlib.suppress(OutputError):  # what it names is there all the same: it's only behind
        write_file(folder / HEAD, json.dumps(head).encode())
    return added


def verify_audit(folder: Path, expect: str | None = None) -> AuditState:
    """Check the whole chain.

    Args:
        folder: the record's.
        expect: ``AuditState.head`` as it was noted before: those rows have to be there still, unchanged.

    Raises:
        OptionError: ``expect`` is none.
        AuditChainError: names the first row that isn't as it was written, or what is gone.
        RecordError: as ``connect``.
    """
    folder = Path(folder).absolute()
    marks = [] if expect is None else [(*_mark(expect), "the hash that was noted")]
    with contextlib.closing(connect(folder)) as connection, sqlite_errors(folder / FILE):
        connection.execute("BEGIN")
        uid, head = _uid(connection, folder), _head(folder)
        if head is not None and head[0] != uid:
            raise AuditChainError(
                f"{shown(folder)}: {HEAD} is another record's: the database was replaced; look for who did"
            )
        marks += [] if head is None else [(head[1], head[2], HEAD)]
        number, before = 0, _first(connection, folder)
        hashes = {0: before}
        for row in _rows(connection):
            number += 1
            if row[0] != number:
                raise _broken(folder, number, f"it's missing, row {row[0]} comes next")
            if row[-2] != before:
                raise _broken(folder, number, "it doesn't follow the row before it")
            if row[-1] != _hash(row[:-1]):
                raise _broken(folder, number, "it was changed")
            before = str(row[-1])
            if any(number == mark[0] for mark in marks):
                hashes[number] = before
        _check_count(connection, folder, number)
        for rows, found, whose in marks:
            if rows > number:
                raise _broken(folder, number + 1, f"it's missing, and by {whose} there were {rows} rows")
            if hashes[rows] != found:
                raise _broken(folder, rows, f"it isn't what {whose} says: the chain was written anew")
    return AuditState(number, before, head is not None)


def plain_text(text: str) -> str:
    """A text as UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    yield from connection.execute('SELECT * FROM audit ORDER BY "id"')


def _hash(row: tuple[object, ...]) -> str:
    """SHA-256 of a row's canonical form: its values but the hash, as JSON in ASCII."""
    return hashlib.sha256(json.dumps(list(row), separators=(",", ":"), default=repr).encode()).hexdigest()


def _uid(connection: sqlite3.Connection, folder: Path) -> str:
    row = connection.execute('SELECT "uid" FROM record').fetchone()
    if row is None:
        raise damaged(folder / FILE, "it has no name of its own")
    return str(row[0])


def _first(connection: sqlite3.Connection, folder: Path) -> str:
    """What the first row follows: a chain of another record doesn't fit."""
    return hashlib.sha256(f"edgead audit {_uid(connection, folder)}".encode()).hexdigest()


def _check_count(connection: sqlite3.Connection, folder: Path, last: int) -> None:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    counted = 0 if row is None else row[0]
    if counted != last:
        raise _broken(folder, last + 1, f"it's missing, and {counted} rows were written")


def _broken(folder: Path, row: int, why: str) -> AuditChainError:
    return AuditChainError(
        f"{shown(folder)}: the audit's chain is broken at row {row}: {why}; keep a copy and look for "
        "who did it"
    )


def _head(folder: Path) -> tuple[str, int, str] | None:
    try:
        found = json.loads(read_plain(folder / HEAD, 4096))
        return str(found["record"]), int(found["rows"]), str(found["hash"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _mark(expect: str) -> tuple[int, str]:
    rows, _, found = expect.partition(":")
    if not (rows.isdecimal() and len(rows) < 19 and len(found) == 64):
        raise OptionError(f"'{expect[:100]}' is no head of an audit: give ROWS:HASH as it was shown before")
    return int(rows), found


__all__ = ["HEAD", "AuditRow", "AuditState", "add_audit", "append", "plain_text", "verify_audit"]
