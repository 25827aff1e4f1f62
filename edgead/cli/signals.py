"""SIGTERM and SIGHUP as an exception, so that a command that is told to end cleans up first.

A service manager, a time limit or a closed terminal ends a process with them; by default nothing of Python
runs then, and what a writer keeps beside its output would stay.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


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

    A signal that is ignored or handled already, as ``nohup`` has it, stays so; outside the main thread, where
    Python has no signals, nothing is done.
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
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["Ended", "ended_by_signals"]
