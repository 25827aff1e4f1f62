"""``edgead benchmark``: methods by data sets, resumable, from the command line or a grid file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.api.values import MOST, MOST_DRAWS
from edgead.cli.arguments import count_of
from edgead.cli.bundle_options import bundle_options
from edgead.cli.cell_process import processes
from edgead.cli.output import json_option, print_json, print_notes, print_table, quiet_option
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.evaluation.cell import Cell
    from edgead.evaluation.grid import Line

METRICS = "image_auroc,pixel_auroc,aupro_30"
FORMS = {"target": "openvino", "precision": "fp32"}
"""The options that may name several, and what they are where nobody says."""
OF_THRESHOLDS = {
    "cells-over-stated": {"alarms-over-stated"},
    "cells-lose-to-threshold": {"threshold-too-high", "threshold-too-low"},
}
"""A notice on the whole table to those of its cells that it counts."""
NOT_IN_GRID = ("grid", "json", "as_json", "quiet", "data", "out", "jobs")
"""Options of one machine or of one call."""


def _words(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(texts))


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
        if not all(0 <= number <= MOST for number in numbers):
            raise ValueError
        return numbers
    except ValueError:
        raise click.BadParameter(f"'{text}' isn't a list of numbers, 0,1,2 for instance") from None


def _list(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",")))


def _load(context: click.Context, parameter: click.Parameter, file: Path | None) -> None:
    """What the grid file says is the default of each option that the command line leaves out."""
    from edgead.cli.gridfile import read_grid

    if file is None:
        return
    options = [p for p in context.command.params if isinstance(p, click.Option) and p.name not in NOT_IN_GRID]
    typed = {word.lstrip("-"): p for p in options for word in p.opts if word.startswith("--")}
    context.default_map = read_grid(file, typed)


MOST_JOBS = 1024
"""Cells at a time, each a process."""


@click.command("benchmark")
@click.option(
    "--grid", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    is_eager=True, expose_value=False, callback=_load,
    help="A TOML file that holds these options by name; those of the command line come first.",
)  # fmt: skip
@click.option(
    "--methods", "-m", multiple=True, required=True, metavar="METHOD", callback=_words,
    help="A method, with options after a colon: patchcore:coreset_ratio=0.1,neighbors=3. May be repeated.",
)  # fmt: skip
@click.option(
    "--datasets", "-d", multiple=True, required=True, metavar="DIR", callback=_words,
    help="A data set, or the root of several categories: then all of them. May be repeated.",
)  # fmt: skip
@click.option(
    "--data", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default=".",
    help="Where relative names of data sets begin (default: the working directory).",
)  # fmt: skip
@click.option("--layout", metavar="NAME", help="The layout of all DIRs instead of the recognised ones.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), default="benchmark.jsonl",
    help="Results, a line each; cells that it holds aren't run again (default benchmark.jsonl).",
)  # fmt: skip
@bundle_options
@click.option(
    "--preset", metavar="NAME",
    help="A preset, quick or paper for instance, of those methods that have it.",
)  # fmt: skip
@click.option(
    "--holdout", metavar="SHARE", type=float, default=0.2,
    help="Share of the good images held out for threshold and gates (default 0.2).",
)  # fmt: skip
@click.option(
    "--final-fit/--no-final-fit",
    default=None,
    help="Fit what ships on all good images, or not (default: as each method prefers).",
)
@click.option(
    "--image-score", metavar="WHICH", default="auto",
    help="Which number of the map judges an image: auto (default), paper, maximum, top or a share.",
)  # fmt: skip
@click.option(
    "--seeds", metavar="N,...", default="0", callback=_numbers, help="Repeat with each seed (default 0)."
)
@click.option(
    "--jobs", metavar="N", type=count_of(1, MOST_JOBS), default=1,
    help="Cells at a time, each in a process of its own; latency is only measured with 1 (default).",
)  # fmt: skip
@click.option(
    "--metrics", metavar="NAME,...", default=METRICS, callback=_list,
    help=f"What the second table shows (default {METRICS}); the first has the verdicts. Costs too: "
    "p50_ms and cpu_ms (the processor's time) a frame, fit_seconds, fit_cpu_seconds, mib (the bundle's "
    "size), and expected_loss, the points of AUROC that the precision gate expects the form to lose.",
)  # fmt: skip
@click.option(
    "--draws", metavar="N", type=count_of(0, MOST_DRAWS), default=1000, help="Bootstrap draws; 0 for none."
)
@quiet_option
@json_option
def command(
    methods: list[str],
    datasets: list[str],
    data: Path,
    layout: str | None,
    out: Path,
    seeds: list[int],
    jobs: int,
    metrics: list[str],
    draws: int,
    quiet: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Fit, export and evaluate every method on every data set: a table of the verdicts, and one of metrics.

    --target and --precision take several, with a comma between: then each is a column. The whole table can be
    kept as a file, with the options as keys:

    \b
    methods = ["patchcore", "padim:form=low-rank"]
    datasets = ["cookie", "kolektor_sdd"]
    size = "256x256"
    seeds = [0, 1, 2]
    precision = ["fp32", "int8"]

    Killed or interrupted, the same command goes on where it stopped: finished cells are in the results file.
    """
    from edgead.errors import GateError
    from edgead.evaluation.grid import run_grid
    from edgead.evaluation.grid_table import made, names, table, verdict_table

    columns = _metrics(metrics)
    cells = _cells(methods, [str(data / folder) for folder in datasets], layout, seeds, words)
    forms = sorted({form for cell in cells for form in cell.making.forms})
    with processes(draws, jobs == 1, forms) as run:
        progress = make_progress(quiet or as_json)
        lines = run_grid(cells, out, run, jobs, progress)
    failed = [line for line in lines if "error" in line]
    if as_json:
        print_json([{**line, "name": name} for line, name in zip(lines, names(lines), strict=True)])
    else:
        header, rows = verdict_table(lines)
        print_table(rows, header)
        click.echo("verdicts at each bundle's own threshold, in %; lost to it: the share of what F1 lacks\n")
        header, rows = table(lines, columns)
        print_table(rows, header)
        click.echo(f"cells are {_units(columns)}; all results: {shown(out)}")
        print_notes(_notes(lines))
        print_notes(("", [say(notice)]) for notice in _of_thresholds(lines))
        for line, method in zip(lines, made(lines), strict=True):
            if "error" in line:
                click.echo(shown(f"failed: {method} on {line['cell']['dataset']}: {line['error']}"))
    if failed:
        raise GateError(f"{len(failed)} of {len(lines)} cells failed; the same command tries them again")


def _cells(
    methods: list[str], datasets: list[str], layout: str | None, seeds: list[int], words: dict[str, Any]
) -> list[Cell]:
    from edgead.datasets import find_categories
    from edgead.evaluation.cell import Cell, Making
    from edgead.plugins import registry

    weights, preset = words.pop("weights"), words.pop("preset", None)
    targets, precisions = (_several(words.pop(name, default)) for name, default in FORMS.items())
    for target in targets:
        registry().entry("exporters", target)  # a misspelt name costs no fitting
    presets = _presets(methods, preset)
    shared = words | {"weights": None if weights is None else str(weights.resolve())}
    cells = [
        Cell(
            Making(method, seed=seed, target=target, precision=form, preset=presets[method], **shared),
            str(Path(folder).resolve()),
            layout,
            category,
        )
        for folder in datasets
        for category in find_categories(Path(folder), layout) or (None,)
        for method in methods
        for seed in seeds
        for target in targets  # cells of one fit follow each other
        for form in precisions
    ]
    return list(dict.fromkeys(cells))  # one folder may be given under two names


def _several(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",")))


def _presets(methods: list[str], preset: str | None) -> dict[str, str | None]:
    """Of each method the preset, where it has it."""
    from edgead.errors import UnknownNameError
    from edgead.plugins import registry

    has = {m: registry().get("methods", m.partition(":")[0])().presets for m in methods}
    known = {name for presets in has.values() for name in presets}
    if preset is not None and preset not in known:
        raise UnknownNameError("preset of these methods", preset, known)
    return {method: preset if preset in presets else None for method, presets in has.items()}


def _notes(lines: Sequence[Line]) -> Iterator[tuple[str, list[str]]]:
    """What the data sets' files and the bundles say of themselves, with whose it is."""
    from edgead.evaluation.grid_table import made, names
    from edgead.evaluation.verdicts import TOLD

    for line, name, method in zip(lines, names(lines), made(lines), strict=True):
        result = line.get("result", {})
        told = [*result.get("dataset_notices", ()), *result.get("notices", ())]
        yield name, [notice["text"] for notice in told if notice["code"] not in TOLD]
        yield f"{method} on {name}", [notice["text"] for notice in result.get("bundle_notices", ())]


def _of_thresholds(lines: Sequence[Line]) -> Iterator[Notice]:
    """What the cells' thresholds lack, counted: one sentence for each cell would hide the table."""
    told = [
        {notice["code"] for notice in line["result"].get("notices", ())} for line in lines if "result" in line
    ]
    for code, codes in OF_THRESHOLDS.items():
        if cells := sum(bool(codes & one) for one in told):
            yield Notice(code, {"cells": cells, "total": len(told)})


def _units(columns: Sequence[str]) -> str:
    """``a / b in %``, or each with its unit where they differ."""
    from edgead.evaluation.grid_table import COSTS

    if not any(column in COSTS for column in columns):
        return f"{' / '.join(columns)} in %"
    return " / ".join(f"{c} in {COSTS[c][2]}" if c in COSTS else f"{c} in %" for c in columns)


def _metrics(names: list[str]) -> list[str]:
    from edgead.errors import UnknownNameError
    from edgead.evaluation.grid_table import COSTS, VERDICT_COLUMNS
    from edgead.evaluation.titles import TITLES

    known = list(dict.fromkeys([*VERDICT_COLUMNS, *TITLES, *COSTS]))
    for name in names:
        if name not in known:
            raise UnknownNameError("metric", name, known)
    return names
