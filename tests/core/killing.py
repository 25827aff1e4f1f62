"""Kill this process (-9) at a step of what it does next: for tests of what a kill leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection
from types import FrameType
from typing import Any


def die_at(step: int, watched: Collection[str | None], calls: tuple[str, ...]) -> None:
    """Be killed at the given step from now on, if there are that many.

    Args:
        step: from 0 on; a line of the watched files, or a call into the system that Python audits.
        watched: names of source files.
        calls: what the audited calls' names begin with, besides ``open``.
    """
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == -1:  # once: killing is audited too
            os.kill(os.getpid(), signal.SIGKILL)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in watched:
            return None
        if event == "line":
            count()
        return trace

    def audit(event: str, _: object) -> None:
        if event == "open" or event.startswith(calls):
            count()

    sys.addaudithook(audit)
    sys.settrace(trace)
