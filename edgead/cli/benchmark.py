"""``edgead benchmark``: methods by data sets, resumable; and the process that runs one cell of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.making import making_options
from edgead.cli.output import json_option, print_json, print_notes, print_table, quiet_option
from edgead.cli.progress import make_progress
from edgead.cli.signals import Ended, ended_by_signals
from edgead.names import shown
from edgead.progress import silent

if TYPE_CHECKING:
    from edgead.evaluation.cell import Cell
    from edgead.evaluation.grid import Line, Run

METRICS = "image_auroc,pixel_auroc,aupro_30"
GRACE_SECONDS = 5.0
"""How long a cell may clean up when the benchmark ends before it."""


def _words(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(texts))


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"'{text}' isn't a list of numbers, 0,1,2 for instance") from None


@click.command("benchmark")
@click.option(
    "--methods", "-m", multiple=True, required=True, metavar="METHOD", callback=_words,
    help="A method, with options after a colon: patchcore:coreset_ratio=0.1,neighbors=3. May be repeated.",
)  # fmt: skip
@click.option(
    "--datasets", "-d", multiple=True, required=True, metavar="DIR", callback=_words,
    help="A data set, or the root of several categories: then all of them. May be repeated.",
)  # fmt: skip
@click.option("--layout", metavar="NAME", help="The layout of all DIRs instead of the recognised ones.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), default="benchmark.jsonl",
    help="Results, a line each; cells that it holds aren't run again (default benchmark.jsonl).",
)  # fmt: skip
@making_options
@click.option(
    "--seeds", metavar="N,...", default="0", callback=_numbers, help="Repeat with each seed (default 0)."
)
@click.option(
    "--jobs", metavar="N", type=click.IntRange(1), default=1,
    help="Cells at a time, each in a process of its own; latency is only measured with 1 (default).",
)  # fmt: skip
@click.option(
    "--metrics", metavar="NAME,...", default=METRICS, help=f"What the table shows (default {METRICS})."
)
@click.option(
    "--draws", metavar="N", type=click.IntRange(0), default=1000, help="Bootstrap draws; 0 for none."
)
@quiet_option
@json_option
def command(
    methods: list[str],
    datasets: list[str],
    layout: str | None,
    out: Path,
    seeds: list[int],
    jobs: int,
    metrics: str,
    draws: int,
    quiet: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Fit, export and evaluate every method on every data set, and print one table.

    Killed or interrupted, the same command goes on where it stopped: finished cells are in the results file.
    """
    from edgead.errors import GateError
    from edgead.evaluation.grid import names, run_grid, table

    cells = _cells(methods, datasets, layout, seeds, words)
    columns = _metrics(metrics)
    with _processes(draws, timed=jobs == 1) as run:
        progress = make_progress(quiet or as_json)
        lines = run_grid(cells, out, run, jobs, progress)
    failed = [line for line in lines if "error" in line]
    if as_json:
        print_json([{**line, "name": name} for line, name in zip(lines, names(lines), strict=True)])
    else:
        header, rows = table(lines, columns)
        print_table(rows, header)
        click.echo(f"cells are {' / '.join(columns)} in %; all results: {shown(out)}")
        print_notes(_notes(lines))
        for line in failed:
            making = line["cell"]["making"]
            click.echo(shown(f"failed: {making['method']} on {line['cell']['dataset']}: {line['error']}"))
    if failed:
        raise GateError(f"{len(failed)} of {len(lines)} cells failed; the same command tries them again")


def _cells(
    methods: list[str], datasets: list[str], layout: str | None, seeds: list[int], words: dict[str, Any]
) -> list[Cell]:
    from edgead.datasets import find_categories
    from edgead.evaluation.cell import Cell, Making
    from edgead.plugins import registry

    for method in methods:
        registry().entry("methods", method.partition(":")[0])  # a misspelt one costs no fitting
    weights = words.pop("weights")
    shared = words | {"weights": None if weights is None else str(weights.resolve())}
    cells = [
        Cell(Making(method, seed=seed, **shared), str(Path(folder).resolve()), layout, category)
        for folder in datasets
        for category in find_categories(Path(folder), layout) or (None,)
        for method in methods
        for seed in seeds
    ]
    return list(dict.fromkeys(cells))  # one folder may be given under two names


def _notes(lines: Sequence[Line]) -> Iterator[tuple[str, list[str]]]:
    """What the data sets' files and the bundles say of themselves, with whose it is."""
    from edgead.evaluation.grid import names

    for line, name in zip(lines, names(lines), strict=True):
        result, method = line.get("result", {}), line["cell"]["making"]["method"]
        told = [*result.get("dataset_notices", ()), *result.get("notices", ())]
        yield name, [notice["text"] for notice in told]
        yield f"{method} on {name}", [notice["text"] for notice in result.get("bundle_notices", ())]


def _metrics(text: str) -> list[str]:
    from edgead.errors import UnknownNameError
    from edgead.evaluation.table import TITLES

    names = text.split(",")
    for name in names:
        if name not in TITLES:
            raise UnknownNameError("metric", name, list(TITLES))
    return names


@contextmanager
def _processes(draws: int, timed: bool) -> Iterator[Run]:
    """What runs a cell in a process of its own; those still running at the block's end are ended."""
    from edgead.errors import one_line

    running: set[subprocess.Popen[str]] = set()

    def run(cell: Cell) -> dict[str, Any]:
        request = json.dumps({"cell": cell.record(), "draws": draws, "timed": timed})
        with subprocess.Popen(
            [sys.executable, "-m", "edgead.cli.benchmark"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            running.add(process)
            out, err = process.communicate(request)
            running.discard(process)
        if process.returncode == 0:
            answer: dict[str, Any] = json.loads(out.splitlines()[-1])
            return answer
        reason = one_line(err, "last")
        return {"error": f"its process ended with {process.returncode}: {reason}"}

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
        result = run_cell(Cell.from_record(request["cell"]), request["draws"], request["timed"], silent)
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
