"""Many cells, several at a time, into one file of JSON lines that survives a kill at any moment.

A finished cell is a line in the file; a run that finds it there doesn't repeat it. A line is written whole
with one call and synced; what a kill left of a last line is cut off by the next run.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from edgead.errors import DatasetError, EdgeadError
from edgead.evaluation.cell import Cell
from edgead.files import output_errors, read_plain
from edgead.names import json_text
from edgead.types import Progress

MOST_BYTES = 1 << 30
"""Largest results file that is read."""

Line = Mapping[str, Any]
"""``key``, ``cell``, and either ``result`` or ``error``."""
Run = Callable[[Cell], Mapping[str, Any]]
"""Runs a cell: ``{"result": ...}`` or ``{"error": ...}``."""


def run_grid(
    cells: Sequence[Cell],
    file: Path,
    run: Run,
    jobs: int,
    progress: Progress,
    on_line: Callable[[Line], None] = lambda line: None,
) -> list[Line]:
    """Run the cells that the file doesn't hold yet; those that failed before are tried again.

    Args:
        file: grows by a line for each cell that ends, whether it succeeds or fails.
        run: is called in ``jobs`` threads at a time.
        on_line: is given each new line.

    Returns:
        A line for each cell, in their order.

    Raises:
        DatasetError: a data set can't be opened, or the file holds something else.
        OutputError: the file can't be written; cells that are written already are kept.
    """
    keys = [cell.key() for cell in cells]
    finished = {line["key"]: line for line in read_lines(file) if "result" in line}
    todo = {key: cell for key, cell in zip(keys, cells, strict=True) if key not in finished}
    failed: dict[str, Line] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        with progress("benchmark", len(set(keys))) as advance:
            advance(len(set(keys)) - len(todo))
            running = {pool.submit(_guarded, run, cell): key for key, cell in todo.items()}
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    key = running.pop(future)
                    line = {"key": key, "cell": todo[key].record(), **future.result()}
                    _append(file, line)
                    (finished if "result" in line else failed)[key] = line
                    on_line(line)
                    advance(1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [finished.get(key) or failed[key] for key in keys]


def read_lines(file: Path) -> list[Line]:
    """Read a results file; a last line that a kill cut short is removed from it.

    Raises:
        DatasetError: the file holds something else.
    """
    try:
        data = read_plain(file, MOST_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror}); give a file of results") from None
    whole, newline, rest = data.rpartition(b"\n")
    lines = []
    for number, text in enumerate(whole.splitlines(), 1):
        try:
            line = json.loads(text)
            parts = (line["cell"], line.get("result", {}))
            if not isinstance(line["key"], str) or not all(isinstance(part, dict) for part in parts):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DatasetError(
                f"{file}, line {number}: not a benchmark's result; give another file"
            ) from None
        lines.append(line)
    if rest and (lines or rest.startswith(b"{")):
        with output_errors(file):
            os.truncate(file, len(whole) + len(newline))
    elif rest:
        raise DatasetError(f"{file}: holds something else than results; give another file")
    return lines


def _guarded(run: Run, cell: Cell) -> Mapping[str, Any]:
    try:
        return run(cell)
    except EdgeadError as error:
        return {"error": str(error)}


def _append(file: Path, line: Line) -> None:
    data = (json_text(line) + "\n").encode()
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab", buffering=0) as stream:
            start = stream.tell()
            try:
                if stream.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(start)
                raise


__all__ = ["Line", "Run", "read_lines", "run_grid"]
