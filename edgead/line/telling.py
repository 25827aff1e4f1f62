"""What a line says of itself, written from a thread: who reads it may stop reading, and the line goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from edgead.line.hearing import Told

MOST = 10_000
"""What may wait to be written; what is over that is dropped, and counted."""


class Telling:
    """Hands on what it's told.

    Args:
        write: writes one thing; may wait. What it raises ends the writing, and not the line.

    Attributes:
        dropped: how much nobody was there to write.
    """

    def __init__(self, write: Callable[[Told], None]) -> None:
        self._write = write
        self._queue: queue.Queue[Told | None] = queue.Queue(MOST)
        self.dropped = 0
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="edgead-telling", daemon=True)
        self._thread.start()

    def __call__(self, told: Told) -> None:
        """Have something written; never waits."""
        if self._broken:
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(told)
        except queue.Full:
            self.dropped += 1

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, as far as that goes in so many seconds."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _work(self) -> None:
        while (told := self._queue.get()) is not None:
            try:
                self._write(told)
            except Exception:  # a closed pipe, a full disk
                self._broken = True
                return


__all__ = ["MOST", "Telling"]
