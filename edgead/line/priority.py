"""How urgent a process's work is: a judge that is warmed while another judges takes what that one leaves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def be_idle(process: int) -> None:
    """Let a new process, and what threads it starts, run only where nobody else wants to."""
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))


def be_normal(process: int) -> None:
    """Take that back, for each of its threads: they have inherited it one by one."""
    if not hasattr(os, "SCHED_IDLE"):
        return
    for _ in range(2):  # one that was started meanwhile
        for thread in _threads(process):
            with suppress(OSError):
                if os.sched_getscheduler(thread) == os.SCHED_IDLE:
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def keep_on(process: int, cores: Sequence[int]) -> None:
    """Keep each of a process's threads on these logical processors."""
    if hasattr(os, "sched_setaffinity"):
        for _ in range(2):
            for thread in _threads(process):
                with suppress(OSError):
                    os.sched_setaffinity(thread, cores)


def _threads(process: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return [process]


__all__ = ["be_idle", "be_normal", "keep_on"]
