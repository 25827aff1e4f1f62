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

import numpy as np

from edgead.errors import DatasetError, EdgeadError
from edgead.evaluation.cell import Cell
from edgead.files import output_errors
from edgead.names import json_text, shown, told_apart
from edgead.types import Progress

Line = Mapping[str, Any]
"""``key``, ``cell``, and either ``result`` or ``error``."""
Run = Callable[[Cell], Mapping[str, Any]]
"""Runs a cell: ``{"result": ...}`` or ``{"error": ...}``."""


COSTS: Mapping[str, tuple[str, float, str]] = {
    "p50_ms": ("p50_ms", 1.0, "ms"),
    "fit_seconds": ("fit_seconds", 1.0, "s"),
    "mib": ("bundle_bytes", 2.0**-20, "MiB"),
}
"""What the table can show beside metrics: a result's key, the factor to its unit, and the unit."""


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
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror}); give a file of results") from None
    whole, newline, rest = data.rpartition(b"\n")
    lines = []
    for number, text in enumerate(whole.splitlines(), 1):
        try:
            line = json.loads(text)
            if not isinstance(line["key"], str) or not isinstance(line["cell"], dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
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


def table(lines: Sequence[Line], metrics: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """As the papers print it: a row for each data set and the mean, a column for each method.

    A cell has the metrics in percent and the costs in their units, with a slash between; over several seeds
    the mean, and ± their standard deviation. The mean over data sets is only given for a method that has all
    of them.

    Args:
        metrics: keys of a result: metrics, 0 to 1, and those of ``COSTS``.

    Returns:
        The header and the rows.
    """
    values: dict[tuple[str, str], list[list[float | None]]] = {}
    failures = set()
    called, makings = names(lines), made(lines)
    for name, making, line in zip(called, makings, lines, strict=True):
        place = (name, making)
        if "error" in line:
            failures.add(place)
        else:
            values.setdefault(place, []).append([_value(line["result"], metric) for metric in metrics])
    datasets = list(dict.fromkeys(called))
    methods = list(dict.fromkeys(makings))
    rows = [
        (shown(d), *("failed" if (d, m) in failures else _cell(values.get((d, m), [])) for m in methods))
        for d in datasets
    ]
    if len(datasets) > 1:
        rows.append(("mean", *(_mean(values, datasets, m, len(metrics)) for m in methods)))
    return ("data set", *methods), rows


def made(lines: Sequence[Line]) -> list[str]:
    """Return what to call each line's method: with the target and the form, where the lines have several."""
    makings = [line["cell"]["making"] for line in lines]
    told = [key for key in ("target", "precision") if len({making[key] for making in makings}) > 1]
    return [", ".join([making["method"], *(making[key] for key in told)]) for making in makings]


def _value(result: Mapping[str, Any], metric: str) -> float | None:
    """In percent, or in a cost's unit."""
    key, factor, _ = COSTS.get(metric, (metric, 100.0, "%"))
    value = result[key]
    return None if value is None else float(value) * factor


def names(lines: Sequence[Line]) -> list[str]:
    """Return what to call each line's data set: the end of its path, as much as tells it from the others."""
    folders = [Path(line["cell"]["dataset"]) for line in lines]
    categories = [line["cell"]["category"] for line in lines]
    roots = told_apart(folders)
    return [f"{root}/{part}" if part else root for root, part in zip(roots, categories, strict=True)]


def _cell(runs: Sequence[Sequence[float | None]]) -> str:
    if not runs:
        return "-"
    texts = []
    for column in zip(*runs, strict=True):
        numbers = [value for value in column if value is not None]
        if len(numbers) < len(column):
            texts.append("-")
        elif len(numbers) == 1:
            texts.append(f"{numbers[0]:.1f}")
        else:
            texts.append(f"{np.mean(numbers):.1f}±{np.std(numbers, ddof=1):.1f}")
    return " / ".join(texts)


def _mean(
    values: Mapping[tuple[str, str], Sequence[Sequence[float | None]]],
    datasets: Sequence[str],
    method: str,
    width: int,
) -> str:
    texts = []
    for index in range(width):
        means = []
        for data in datasets:
            numbers = [run[index] for run in values.get((data, method), [])]
            known = [n for n in numbers if n is not None]
            if known and len(known) == len(numbers):
                means.append(float(np.mean(known)))
        texts.append(f"{np.mean(means):.1f}" if len(means) == len(datasets) else "-")
    return " / ".join(texts)


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


__all__ = ["COSTS", "Line", "made", "names", "read_lines", "run_grid", "table"]
