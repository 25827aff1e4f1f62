"""SIGTERM and SIGHUP as an exception, so that a command that is told to end cleans up first.

A service manager, a time limit or a closed terminal ends a process with them; by default nothing of Python
runs then, and what a writer keeps beside its output would stay.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
GRACE_SECONDS = 10.0
"""How long the work in hand and the cleaning up may take after a signal."""


class Ended(BaseException):
    """A signal said that the process should end; no ``except Exception`` takes it for a fault.

    Attributes:
        signal: its name.
        exit_code: 128 and its number, the code that a shell gives to it.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number).name
        self.exit_code = 128 + number
        super().__init__(self.signal)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise ``Ended`` in the main thread where a signal comes; a second one doesn't disturb the cleaning up.

    Python handles a signal between two of its own steps. A process that's busy in an engine for longer than
    ``GRACE_SECONDS`` is ended as it is; the next writer removes what it leaves.

    A signal that is ignored or handled already, as ``nohup`` has it, stays so; outside the main thread, where
    Python has no signals, nothing is done. A command that handles one itself meanwhile isn't ended, for
    instance a line that is told to look for other bundles.
    """
    before: dict[int, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        with _watched(before, end) if before else nullcontext():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _watched(numbers: Container[int], end: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """End the process where the main thread doesn't leave the block in time after one of these signals.

    Args:
        end: their handler, which ignores further ones once it has run; those of another's are its own.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    left = threading.Event()

    def watch() -> None:
        with reader:
            while number := reader.recv(1):  # Python writes a signal's number, whatever the main thread does
                if number[0] not in numbers or signal.getsignal(number[0]) not in (end, signal.SIG_IGN):
                    continue
                if not left.wait(GRACE_SECONDS):
                    os._exit(128 + number[0])

    known = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="edgead-signals", daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(known)
        writer.close()


__all__ = ["Ended", "ended_by_signals"]
