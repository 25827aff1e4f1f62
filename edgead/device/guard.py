"""Runs one command with a limit on its time, and ends every process that came of it.

``edgead.device.trial`` starts it as a program of its own, of the standard library alone. On Linux it has its
descendants' orphans given to itself instead of to the system's first process, which nobody should do to a
process that has other children. So what forks, begins a session of its own or keeps the answer's pipe open
neither lives on nor is waited for. It ends with its parent, whose death closes its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MOST = 16_000
"""Bytes of an answer; a child that writes more waits for its end."""
ENDING = 10.0
"""Seconds in which everything must have ended; a process that waits for a device may take longer."""
_OFTEN = 0.02
_SET_CHILD_SUBREAPER = 36


def main(seconds: float, command: list[str]) -> None:
    """Run the command, and print how it ended and what it printed, as a line of JSON."""
    # Ignored, as a parent may hand it on, it hides how a child ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _adopt_orphans()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    code, answer = _watch(process, seconds)
    gone = _end_all(process.pid)
    told = {"code": code, "answer": answer.decode("utf-8", "replace"), "gone": gone}
    os.write(1, json.dumps(told).encode())


def _adopt_orphans() -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _watch(process: subprocess.Popen[bytes], seconds: float) -> tuple[int | None, bytes]:
    """How the child ended, None where it didn't in time or the parent is gone; and what it has printed."""
    ends = time.monotonic() + seconds
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    answer, is_open, code = b"", True, None
    while code is None and (left := ends - time.monotonic()) > 0:
        watched = [0, pipe] if is_open and len(answer) < MOST else [0]
        ready, _, _ = select.select(watched, [], [], min(left, _OFTEN))
        if 0 in ready:
            return None, answer
        if pipe in ready:
            more = os.read(pipe, MOST - len(answer))
            answer, is_open = answer + more, bool(more)
        code = process.poll()
    with contextlib.suppress(BlockingIOError):  # of a descendant that keeps it open
        while more := os.read(pipe, MOST - len(answer)):
            answer += more
    return code, answer


def _end_all(session: int) -> bool:
    """Kill the child and whatever came of it; False where something is still there."""
    ends = time.monotonic() + ENDING
    while time.monotonic() < ends:
        for pid in _children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # where orphans go elsewhere, those of its session at least
            os.killpg(session, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(_OFTEN / 4)
    return False


def _children() -> Iterator[int]:
    """This process's, those that it was given with them."""
    own = str(os.getpid())
    with contextlib.suppress(OSError):
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if (place / "stat").read_bytes().rpartition(b")")[2].split()[1].decode() == own:
                    yield int(place.name)


__all__ = ["ENDING", "main"]

if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
