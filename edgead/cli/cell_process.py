"""A benchmark's cells, each in a process of its own: memory, threads and a crash are the cell's alone."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgead.cli.signals import Ended, ended_by_signals
from edgead.errors import one_line
from edgead.leftovers import scratch_folder
from edgead.progress import silent

if TYPE_CHECKING:
    from edgead.evaluation.cell import Cell
    from edgead.evaluation.grid import Run

GRACE_SECONDS = 5.0
"""How long a cell may clean up when the benchmark ends before it."""


@contextmanager
def processes(draws: int, timed: bool, forms: Sequence[str] = ()) -> Iterator[Run]:
    """What runs a cell in a process of its own; those still running at the block's end are ended.

    Each thread that runs cells has a folder in which one process leaves its fit for the next. Whatever its
    processes write for a while lies in there too.
    """
    running: set[subprocess.Popen[str]] = set()
    mine = threading.local()
    numbers = itertools.count()

    def run(cell: Cell) -> dict[str, Any]:
        if not hasattr(mine, "folder"):
            number = next(numbers)
            mine.folder = scratch / f"{number}-scratch"
            mine.kept = scratch / f"{number}-kept"  # apart: a cell empties it, and may not of its own
            mine.folder.mkdir()
            mine.kept.mkdir()
        how = {"draws": draws, "timed": timed, "forms": list(forms), "kept": str(mine.kept)}
        request = json.dumps({"cell": cell.record(), **how})
        with subprocess.Popen(
            [sys.executable, "-m", "edgead.cli.cell_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What a killed cell leaves goes with the rest.
            env=os.environ | {"TMPDIR": str(mine.folder)},
        ) as process:
            running.add(process)
            out, err = process.communicate(request)
            running.discard(process)
        if process.returncode == 0:
            answer: dict[str, Any] = json.loads(out.splitlines()[-1])
            return answer
        reason = one_line(err, "last")
        return {"error": f"its process ended with {process.returncode}: {reason}"}

    with scratch_folder() as scratch:
        try:
            yield run
        finally:
            _end(list(running))


def _end(processes: list[subprocess.Popen[str]]) -> None:
    """Let them remove what they have half-written; one that's busy in an engine for long is killed."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _run_cell() -> None:
    """Read a request from stdin and print the answer, the last line of stdout."""
    from edgead.errors import EdgeadError
    from edgead.evaluation.cell import Cell, run_cell

    request = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        cell, kept = Cell.from_record(request["cell"]), Path(request["kept"])
        result = run_cell(cell, request["draws"], request["timed"], silent, kept, request["forms"])
        answer = {"result": result}
    except EdgeadError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, allow_nan=False))


def _main() -> int:
    try:
        with ended_by_signals():
            _run_cell()
    except Ended as ended:
        return ended.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
