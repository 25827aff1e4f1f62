"""What the page reads of the line's record, and writes into it; blocking, so called from a thread."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from edgead.errors import EdgeadError, InputError, OutputError
from edgead.line.record import RecordReader, VerdictRow, add_audit, file_feedback, mark_taught
from edgead.line.record.filing import FeedbackKind

AGAIN = 2.0
"""Seconds until a record that couldn't be opened is looked at again."""
LOOKED_THROUGH = 2000
"""Verdicts of a camera among which one is looked for by its trigger."""


class History:
    """A record that may be absent, not there yet, or replaced while the page runs.

    Args:
        folder: the record's, or None where the line keeps none.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._reader: RecordReader | None = None
        self._file: tuple[int, int] | None = None
        self._error: EdgeadError | None = None
        self._tried = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether the line keeps a record at all."""
        return self.folder is not None

    def reader(self) -> RecordReader:
        """The record, open.

        Raises:
            InputError: the line keeps none.
            RecordError, OutputError: as ``RecordReader``.
        """
        folder = self._folder()
        with self._lock:
            file = _identity(folder)
            if self._reader is not None and file == self._file:
                return self._reader
            if self._error is not None and time.monotonic() - self._tried < AGAIN:
                raise self._error
            self._close()
            self._tried = time.monotonic()
            try:
                self._reader, self._error = RecordReader(folder), None
            except EdgeadError as error:
                self._error = error
                raise
            self._file = file
            return self._reader

    def state(self) -> tuple[bool, str]:
        """Whether the record can be read, and why not."""
        try:
            self.reader()
        except EdgeadError as error:
            return False, str(error)
        return True, ""

    def find(self, camera: str, run: str, trigger: int) -> VerdictRow | None:
        """A verdict that was said a moment ago; None where it isn't recorded yet, or long gone by."""
        rows = self.reader().verdicts(LOOKED_THROUGH, camera=camera)
        return next((row for row in rows if row.run == run and row.trigger == trigger), None)

    def file(self, verdict: int, kind: FeedbackKind, user: str, reason: str) -> int:
        """As ``edgead.line.record.file_feedback``."""
        return file_feedback(self._folder(), verdict, kind, user, reason)

    def taught(self, feedback: int) -> None:
        """As ``edgead.line.record.mark_taught``."""
        mark_taught(self._folder(), feedback)

    def audit(
        self, user: str, what: str, camera: str | None, old: str | None, new: str | None, reason: str
    ) -> None:
        """As ``edgead.line.record.add_audit``; texts are cut to what an audit takes."""
        was, now = (None if text is None else text[:10_000] for text in (old, new))
        add_audit(self._folder(), user, what, camera=camera, old=was, new=now, reason=reason[:1000])

    def note(self, user: str, what: str) -> None:
        """Audit what needs no audit to be done, logging in for instance; where it can't be, it's left."""
        if self.folder is not None:
            with suppress(EdgeadError):
                self.audit(user, what, None, None, None, "")

    def _folder(self) -> Path:
        if self.folder is None:
            raise InputError("this line keeps no record: add [log] to its file, and start it again")
        return self.folder

    def _close(self) -> None:
        if self._reader is not None:
            with suppress(OutputError):
                self._reader.close()
        self._reader = None


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which file the record is now: a damaged one is moved aside, and another begun."""
    from edgead.line.record.schema import FILE

    try:
        status = (folder / FILE).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


__all__ = ["History"]
