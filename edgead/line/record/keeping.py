"""The recorder's thread for the database: rows in, many in one transaction, and word of what is on the disk.

What the disk doesn't take is tried again, in the same order, for as long as it takes. Only what no database
would ever take is left out, and said.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.errors import DamagedRecordError, EdgeadError, one_line
from edgead.line.channel import Message
from edgead.line.pauses import Pauses
from edgead.line.record.writer import Kept, RecordWriter
from edgead.names import shown
from edgead.notices import Notice

MOST_AT_ONCE = 500
"""Rows of one transaction."""
SLOWEST = 5.0
"""Seconds between two tries, at most."""


@dataclass
class Row:
    """One row of the line's: a verdict, or what the line says of itself; ``number`` counts up."""

    number: int
    values: Mapping[str, Any]


@dataclass
class ImageRow:
    """That an image is being kept; ``done`` is set once that's on the disk, and the file may be written.

    Attributes:
        verdict: its record; added where it isn't there yet.
        ok: whether the row is there.
    """

    verdict: Mapping[str, Any]
    utc_ns: int
    file: str
    size: int
    width: int
    height: int
    kept: Kept
    done: threading.Event = field(default_factory=threading.Event)
    ok: bool = False


@dataclass
class Gone:
    """An image's file couldn't be written: its row goes."""

    file: str


Item = Row | ImageRow | Gone


class Keeping:
    """Writes rows in a thread.

    Args:
        folder: the record's.
        say: takes messages to the line's own process, from this thread.
    """

    def __init__(self, folder: Path, say: Callable[[Message], object]) -> None:
        self._folder, self._say = folder, say
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._pending: list[Item] = []
        self._writer: RecordWriter | None = None
        self._pauses = Pauses()
        self._why = ""
        self._is_up = self._ends = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="edgead-keeping", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Have something written; never waits. How much may be under way, whoever calls sees to."""
        self._queue.put(item)

    def close(self, seconds: float) -> None:
        """Write what was put, as far as that goes in so many seconds."""
        self._hurry.set()
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while not (self._ends and not self._pending):
            self._take()
            if not self._pending and self._is_up:
                continue
            try:
                self._write()
            except EdgeadError as error:
                self._failed(error)
                if self._ends:
                    return
                pause = min(SLOWEST, self._pauses.failed(time.monotonic()))
                self._hurry.wait(pause)

    def _take(self) -> None:
        """Wait for something, and take what is there."""
        wait = not self._pending and self._is_up and not self._ends
        try:
            while len(self._pending) < MOST_AT_ONCE:
                item = self._queue.get(timeout=0.5) if wait else self._queue.get_nowait()
                wait = False
                if item is None:
                    self._ends = True
                    return
                self._pending.append(item)
        except queue.Empty:
            pass

    def _write(self) -> None:
        """Write all that's pending in one transaction."""
        if self._writer is not None and not self._writer.is_there:
            self._writer.close()
            self._writer, self._is_up = None, False
        if self._writer is None:
            self._writer = RecordWriter(self._folder)
        try:
            self._put_all(self._writer)
        except DamagedRecordError as error:
            self._writer.begin_anew(error)
            self._put_all(self._writer)
        for notice in self._writer.notices:
            self._say(said(notice))
        self._writer.notices.clear()
        if not self._is_up:
            self._is_up, self._why = True, ""
            self._pauses.up(time.monotonic())
            self._say(said(Notice("line-record-up", {"folder": shown(self._folder)})))

    def _put_all(self, writer: RecordWriter) -> None:
        pending = self._pending
        if not pending:
            return
        bad: list[str] = []
        try:
            for item in pending:
                self._put(writer, item)
            writer.commit()
        except EdgeadError:
            raise
        except Exception:  # one of them: each by itself
            writer.roll_back()
            for item in pending:
                try:
                    self._put(writer, item)
                    writer.commit()
                except EdgeadError:
                    raise
                except Exception as error:
                    writer.roll_back()
                    bad.append(one_line(error))
                    if isinstance(item, ImageRow):
                        item.ok = False
        self._pending = []
        if bad:
            self._say({"is": "lost", "rows": len(bad), "why": bad[0]})
            self._say(said(Notice("line-record-refused", {"rows": len(bad), "why": bad[0]})))
        numbers = [item.number for item in pending if isinstance(item, Row)]
        if numbers:
            self._say({"is": "done", "number": numbers[-1]})
        for item in pending:
            if isinstance(item, ImageRow):
                item.done.set()

    def _put(self, writer: RecordWriter, item: Item) -> None:
        if isinstance(item, ImageRow):
            number = writer.verdict(item.verdict, item.utc_ns)
            writer.image(number, item.file, item.size, item.width, item.height, item.kept)
            item.ok = True
        elif isinstance(item, Gone):
            writer.without_image(item.file)
        elif "verdict" in item.values:
            writer.verdict(item.values["verdict"], int(item.values["utc_ns"]))
        else:
            values = item.values
            writer.event(Notice(str(values["code"]), dict(values["values"])), int(values["utc_ns"]))

    def _failed(self, error: EdgeadError) -> None:
        self._is_up, why = False, one_line(error, "message")
        if why != self._why:
            self._why = why
            self._say(said(Notice("line-record-down", {"why": why})))


def said(notice: Notice) -> Message:
    """A notice as the line's own process is told it."""
    return {"is": "said", "code": notice.code, "values": dict(notice.values)}


__all__ = ["Gone", "ImageRow", "Keeping", "Row", "said"]
