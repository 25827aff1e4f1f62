"""Work of the page's that takes seconds: a verb of edgead's, one at a time, in a process that comes last.

Teaching and setting a threshold compile and judge; whoever judges parts goes first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from edgead.errors import InputError, TimedOutError, one_line

SECONDS = 900.0
MOST_OUTPUT = 8 << 20
MOST_JOBS = 30
"""Jobs whose outcome is remembered."""
_START = """
import ctypes, json, os, signal, sys
sys.path[:] = json.loads(sys.argv[1])
if sys.platform.startswith("linux"):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
os.nice(19)
if hasattr(os, "SCHED_IDLE"):
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        pass
sys.argv = ["edgead", *sys.argv[2:]]
from edgead.cli import main
sys.exit(main())
"""


@dataclass
class Job:
    """One piece of work.

    Attributes:
        number: counts up.
        what: in a few words.
        user: who asked for it; nobody else is told of it.
        state: where it is.
        result: what came of it, where it's done.
        error: one sentence, where it failed.
        seconds: how long it took, or takes so far.
    """

    number: int
    what: str
    user: str
    state: Literal["running", "done", "failed"] = "running"
    result: Any = None
    error: str = ""
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            name: getattr(self, name) for name in ("number", "what", "state", "result", "error", "seconds")
        }


class Jobs:
    """Runs them, one at a time.

    Args:
        environment: variables that edgead's process gets beside this one's.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def get(self, number: int) -> Job | None:
        """A job that was begun, if it's remembered."""
        return self._jobs.get(number)

    def begin(self, what: str, user: str, work: Callable[[], Awaitable[Any]]) -> Job:
        """Begin a job.

        Args:
            work: does it, and returns its result as JSON values; what it raises is the job's error.

        Raises:
            InputError: another one runs.
        """
        if any(job.state == "running" for job in self._jobs.values()):
            raise InputError("another lesson or threshold is under way: wait until it's done, and try again")
        self._count += 1
        job = self._jobs[self._count] = Job(self._count, what, user)
        while len(self._jobs) > MOST_JOBS:
            self._jobs.popitem(last=False)
        task = asyncio.ensure_future(self._work(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def edgead(self, words: Sequence[str]) -> Any:
        """Run a verb that prints one JSON document, and return that.

        Raises:
            InputError: the verb says why not.
            TimedOutError: it took too long, and was ended.
        """
        path = json.dumps([entry or os.getcwd() for entry in sys.path])  # noqa: PTH109
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _START,
            path,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment},
        )
        assert process.stdout is not None and process.stderr is not None
        try:
            reading = asyncio.gather(_read(process.stdout), _read(process.stderr))
            out, err = await asyncio.wait_for(reading, SECONDS)
            code = await asyncio.wait_for(process.wait(), 10)
        except asyncio.TimeoutError:
            raise TimedOutError(
                f"it took over {SECONDS / 60:.0f} min and was ended: try it at a stop"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        if code:
            raise InputError(_reason(err.decode("utf-8", "replace"), code))
        return json.loads(out)

    async def _work(self, job: Job, work: Callable[[], Awaitable[Any]]) -> None:
        began = time.monotonic()
        try:
            job.result = await work()
            job.state = "done"
        except Exception as error:
            job.error, job.state = one_line(error, "message", 1000), "failed"
        job.seconds = time.monotonic() - began


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All that comes, up to a bound; what is over that is thrown away."""
    data = b""
    while more := await stream.read(1 << 16):
        if len(data) < MOST_OUTPUT:
            data += more
    return data


def _reason(text: str, code: int) -> str:
    """The sentence of an error that a verb ended with, from what it wrote to stderr."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    line = (errors or lines or [f"it ended with exit code {code}"])[-1]
    return line.partition(":")[2].strip() if line.lower().startswith("error:") else line


__all__ = ["Job", "Jobs"]
