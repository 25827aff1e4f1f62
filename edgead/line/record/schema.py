"""The record's database: its tables, and how it's opened by whoever writes or reads it.

A database is a file that anybody may have changed: it's used only where its schema is to the letter the one
below, so that it brings no view or trigger of its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edgead.errors import (
    DamagedRecordError,
    NoRecordError,
    OutputError,
    RecordBusyError,
    RecordVersionError,
    one_line,
)
from edgead.files import output_errors
from edgead.leftovers import new_name
from edgead.names import shown

FILE = "record.db"
APPLICATION = 0x6564676C
"""What says in SQLite's header that a database is a line's record."""
VERSION = 1
MOST_TEXT = 4 << 20
"""Bytes of a row or a text at most."""
BUSY_SECONDS = 5.0
"""How long to wait for another process's transaction, which takes milliseconds."""

_TABLES = (
    'CREATE TABLE record("id" INTEGER PRIMARY KEY CHECK ("id" = 1), "uid" TEXT NOT NULL, '
    '"utc_ns" INTEGER NOT NULL) STRICT',
    'CREATE TABLE verdicts("id" INTEGER PRIMARY KEY, "run" TEXT NOT NULL, "trigger" INTEGER NOT NULL, '
    '"part" TEXT NOT NULL, "camera" TEXT NOT NULL, '
    "\"decision\" TEXT NOT NULL CHECK (\"decision\" IN ('accept', 'reject')), "
    '"why" TEXT NOT NULL, "score" REAL, "threshold" REAL, "bundle" TEXT, "encoder" INTEGER, '
    '"frame_id" INTEGER, "trigger_ns" INTEGER NOT NULL, "grab_ns" INTEGER, "judged_ns" INTEGER, '
    '"said_ns" INTEGER, "utc_ns" INTEGER NOT NULL, "regions" TEXT NOT NULL, '
    'UNIQUE ("run", "trigger")) STRICT',
    'CREATE TABLE images("verdict" INTEGER PRIMARY KEY REFERENCES verdicts("id"), "file" TEXT NOT NULL, '
    '"bytes" INTEGER NOT NULL, "width" INTEGER NOT NULL, "height" INTEGER NOT NULL, '
    '"kept" TEXT NOT NULL CHECK ("kept" IN '
    "('reject', 'fail-safe', 'near', 'sample', 'filed', 'taught'))) STRICT",
    'CREATE TABLE feedback("id" INTEGER PRIMARY KEY, "verdict" INTEGER NOT NULL REFERENCES verdicts("id"), '
    '"kind" TEXT NOT NULL CHECK ("kind" IN (\'false-alarm\', \'missed\')), "user" TEXT NOT NULL, '
    '"reason" TEXT NOT NULL, "utc_ns" INTEGER NOT NULL, '
    "\"state\" TEXT NOT NULL CHECK (\"state\" IN ('filed', 'taught')), "
    'UNIQUE ("verdict", "kind")) STRICT',
    'CREATE TABLE events("id" INTEGER PRIMARY KEY, "utc_ns" INTEGER NOT NULL, "code" TEXT NOT NULL, '
    '"fields" TEXT NOT NULL) STRICT',
    'CREATE TABLE audit("id" INTEGER PRIMARY KEY AUTOINCREMENT, "utc_ns" INTEGER NOT NULL, '
    '"user" TEXT NOT NULL, "what" TEXT NOT NULL, "camera" TEXT, "old" TEXT, "new" TEXT, '
    '"reason" TEXT NOT NULL, "before" TEXT NOT NULL, "hash" TEXT NOT NULL) STRICT',
    'CREATE INDEX verdicts_when ON verdicts("utc_ns")',
    # Rejects are few among many: the page asks for them by camera, the newest first.
    'CREATE INDEX verdicts_rejected ON verdicts("camera", "id") WHERE "decision" = \'reject\'',
    "CREATE TRIGGER verdicts_stay BEFORE UPDATE ON verdicts BEGIN "
    "SELECT RAISE(ABORT, 'a verdict is never changed'); END",
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN "
    "SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_remains BEFORE DELETE ON audit BEGIN "
    "SELECT RAISE(ABORT, 'the audit is append-only'); END",
    # INSERT OR REPLACE would delete without a word to the trigger above.
    "CREATE TRIGGER audit_follows BEFORE INSERT ON audit "
    'WHEN NEW."id" IS NOT (SELECT coalesce(max("id"), 0) + 1 FROM audit) BEGIN '
    "SELECT RAISE(ABORT, 'the audit is append-only'); END",
)


def create(folder: Path) -> None:
    """Begin a record in a folder that has none: whole, or not at all.

    Raises:
        OutputError: it can't be written, or this SQLite is too old.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise OutputError(f"SQLite {sqlite3.sqlite_version} is too old for a record: 3.37 or newer is needed")
    file = folder / FILE
    beside = new_name(file)
    try:
        with sqlite_errors(file):
            _fill(beside)
        with output_errors(file), contextlib.suppress(FileExistsError):  # another process was quicker
            try:
                os.link(beside, file)
            except PermissionError:  # a file system without such links
                beside.rename(file)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{beside}{suffix}").unlink()


def _fill(file: Path) -> None:
    """A database with the tables, in a file that isn't there yet."""
    with contextlib.closing(_connection(f"{file.as_uri()}?mode=rwc")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES:
            connection.execute(statement)
        row = (1, secrets.token_hex(16), time.time_ns())
        connection.execute("INSERT INTO record VALUES (?, ?, ?)", row)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def connect(folder: Path, *, write: bool = False) -> sqlite3.Connection:
    """A connection to a folder's record, its schema checked; for one thread at a time.

    Args:
        folder: absolute.

    Raises:
        NoRecordError: there's none in the folder.
        RecordVersionError: another version of edgead has written it.
        DamagedRecordError: it's no database, is damaged, or has another schema than edgead writes.
        RecordBusyError: another process held it for longer than ``BUSY_SECONDS``.
        OutputError: it can't be opened, or be written where that's asked for.
    """
    file = folder / FILE
    try:
        status = file.lstat()
    except (OSError, ValueError):
        raise NoRecordError(
            f"{shown(folder)}: no record ({FILE}) is here; give a line's file or the folder of its [log]"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise DamagedRecordError(f"{shown(file)}: a link or no file; a record is a plain file: look at it")
    uri = f"{file.as_uri()}?mode={'rw' if write else 'ro'}"
    if not write and not _can_share(folder):
        uri += "&immutable=1"  # a read-only copy, say, that nobody writes
    with sqlite_errors(file):
        connection = _connection(uri)
        try:
            _check(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def sqlite_errors(file: Path) -> Iterator[None]:
    """Turn what SQLite raises into errors of edgead's, one line about the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise RecordBusyError(
                f"{shown(file)}: another process holds it; end what works on it, and try again"
            ) from None
        raise OutputError(
            f"{shown(file)}: can't be used ({one_line(error, 'message')}); look at the disk and at the "
            "file's rights"
        ) from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise damaged(file, one_line(error, "message")) from None


def damaged(file: Path, why: str) -> DamagedRecordError:
    """The error that says so."""
    return DamagedRecordError(
        f"{shown(file)}: a damaged record ({why}); the recorder moves it aside and begins a new one, or give "
        "a copy"
    )


def _connection(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    if sys.version_info >= (3, 11):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_TEXT)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "foreign_keys = ON",
                   "synchronous = FULL", "journal_size_limit = 67108864"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check(connection: sqlite3.Connection, file: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise damaged(file, "the database isn't a line's record")
    if version != VERSION:
        raise RecordVersionError(
            f"{shown(file)}: a record of version {version}, and this edgead knows {VERSION}; use the edgead "
            "that wrote it, or another folder"
        )
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'").fetchall()
    if sorted(str(sql) for (sql,) in found) != sorted(_TABLES):
        raise damaged(file, "its tables aren't those that edgead makes")


def _can_share(folder: Path) -> bool:
    """Whether a reader may share the file with a writer: for that it has to write into the folder, or find
    what the writer made there."""
    return os.access(folder, os.W_OK) or (folder / f"{FILE}-shm").exists()


__all__ = ["BUSY_SECONDS", "FILE", "VERSION", "connect", "create", "damaged", "sqlite_errors"]
