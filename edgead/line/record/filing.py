"""What others than the recorder write into a record: that a verdict was wrong, and that this was taught."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from edgead.errors import OptionError
from edgead.line.record.audit import MOST, plain_text
from edgead.line.record.schema import FILE, connect, sqlite_errors

FeedbackKind = Literal["false-alarm", "missed"]


def file_feedback(folder: Path, verdict: int, kind: FeedbackKind, user: str, reason: str = "") -> int:
    """File that a verdict was wrong; its image is kept from then on. It moves no threshold.

    Args:
        folder: the record's.
        verdict: the row's number.
        kind: ``false-alarm`` for a part that was rejected, ``missed`` for one that was accepted.

    Returns:
        The number of the feedback; where the same was filed before, that one's.

    Raises:
        OptionError: there's no such verdict or kind, they don't go together, or a text is too long.
        RecordError, OutputError: as ``schema.connect``.
    """
    if kind not in get_args(FeedbackKind):
        raise OptionError(f"'{str(kind)[:60]}' is no feedback: give {' or '.join(get_args(FeedbackKind))}")
    user, reason = plain_text(user), plain_text(reason)
    if not user or len(user) > MOST["user"] or len(reason) > MOST["reason"]:
        raise OptionError(
            f"feedback needs a user of {MOST['user']} characters at most, and a reason of {MOST['reason']}"
        )
    with _writing(folder) as connection:
        found = connection.execute('SELECT "decision" FROM verdicts WHERE "id" = ?', (verdict,)).fetchone()
        if found is None:
            raise OptionError(f"the record has no verdict {verdict}: look for it again")
        if found[0] != ("reject" if kind == "false-alarm" else "accept"):
            raise OptionError(
                f"verdict {verdict} is {found[0]}, which can't be '{kind}': file the other kind"
            )
        connection.execute(
            'INSERT INTO feedback("verdict", "kind", "user", "reason", "utc_ns", "state") '
            'VALUES (?, ?, ?, ?, ?, \'filed\') ON CONFLICT("verdict", "kind") DO NOTHING',
            (verdict, kind, user, reason, time.time_ns()),
        )
        (number,) = connection.execute(
            'SELECT "id" FROM feedback WHERE "verdict" = ? AND "kind" = ?', (verdict, kind)
        ).fetchone()
        return int(number)


def mark_taught(folder: Path, feedback: int) -> None:
    """Say that what was filed has been taught to a bundle; its image stays.

    Raises:
        OptionError: there's no such feedback.
        RecordError, OutputError: as ``schema.connect``.
    """
    with _writing(folder) as connection:
        cursor = connection.execute('UPDATE feedback SET "state" = \'taught\' WHERE "id" = ?', (feedback,))
        if not cursor.rowcount:
            raise OptionError(f"the record has no feedback {feedback}: look for it again")
        connection.execute(
            "UPDATE images SET \"kept\" = 'taught' "
            'WHERE "verdict" = (SELECT "verdict" FROM feedback WHERE "id" = ?)',
            (feedback,),
        )


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """A transaction of a connection of its own."""
    folder = Path(folder).absolute()
    with contextlib.closing(connect(folder, write=True)) as connection, sqlite_errors(folder / FILE):
        connection.execute("BEGIN IMMEDIATE")
        yield connection  # where that raises, closing rolls back
        connection.execute("COMMIT")


__all__ = ["FeedbackKind", "file_feedback", "mark_taught"]
