"""``edgead compare``: bundles or methods side by side on one data set."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import engine_option, find_bundle
from edgead.cli.making import making_options
from edgead.cli.output import json_option, print_json, print_notes, print_table, quiet_option
from edgead.cli.progress import make_progress
from edgead.names import shown
from edgead.notices import count

if TYPE_CHECKING:
    from edgead.datasets import Dataset
    from edgead.evaluation.compare import Comparison
    from edgead.evaluation.evaluate import Evaluation
    from edgead.types import Progress


@click.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="A B...")
@click.option(
    "--dataset",
    "-d",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The labelled images.",
)
@click.option("--layout", metavar="NAME", help="DIR's layout instead of the recognised one.")
@click.option("--category", metavar="NAME", help="The category, where DIR is the root of several.")
@making_options
@engine_option
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, help="Seed for fitting (default 0).")
@click.option(
    "--draws", metavar="N", type=click.IntRange(0), default=1000, help="Bootstrap draws (default 1000)."
)
@quiet_option
@json_option
def command(
    names: tuple[str, ...],
    dataset: Path,
    layout: str | None,
    category: str | None,
    engine: str | None,
    seed: int,
    draws: int,
    quiet: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Evaluate bundles on the same images, and say which differences are more than chance.

    A, B... are bundles or methods; a method may have options, as in patchcore:coreset_ratio=0.1, and is
    fitted on DIR's training images first. The others are compared with A.
    """
    from edgead.datasets import open_dataset
    from edgead.evaluation.checking import ANY_SIZE, check
    from edgead.evaluation.compare import compare
    from edgead.resize import ResizeRule

    if len(names) < 2:
        raise click.UsageError("give two bundles or methods at least", click.get_current_context())
    data = open_dataset(dataset, layout, category)
    progress = make_progress(quiet or as_json)
    check(data.test, ResizeRule(ANY_SIZE))  # a bad file shows before anything is fitted
    found = [_evaluate(name, data, {**words, "seed": seed}, engine, draws, progress) for name in names]
    comparisons = [compare(found[0], other) for other in found[1:]]
    if as_json:
        print_json({
            "dataset": str(dataset),
            "notes": list(data.notes),
            "dataset_notices": [notice.record() for notice in data.notices],
            "bundles": [{"name": name, **one.record()} for name, one in zip(names, found, strict=True)],
            "against_first": [
                {"name": name, **dataclasses.asdict(one)}
                for name, one in zip(names[1:], comparisons, strict=True)
            ],
        })  # fmt: skip
        return
    _print(tuple(map(shown, names)), found, comparisons, data.notes)


def _evaluate(
    name: str, data: Dataset, words: dict[str, Any], engine: str | None, draws: int, progress: Progress
) -> Evaluation:
    from edgead.evaluation.cell import Making, make_bundle
    from edgead.evaluation.evaluate import judge
    from edgead.plugins import registry
    from edgead.runtime.detector import load

    with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
        is_bundle = any(Path(text).is_dir() for text in (name, f"{name}.edgead"))
        if not is_bundle and name.partition(":")[0] in registry().names("methods"):
            made = make_bundle(Making(name, **words), data, Path(folder), progress)[0]
            path, engine = made.path, engine or made.manifest.engine  # its target was named
        else:
            path = find_bundle(name)
        detector = load(path, engine=engine, throughput=True)
        return judge(detector, data.test, progress, f"images: {shown(name)}", draws=draws)


def _print(
    names: tuple[str, ...], found: list[Evaluation], comparisons: list[Comparison], notes: Sequence[str]
) -> None:
    from edgead.evaluation.table import TITLES, percent, remarks, share

    rows = [
        ("escapes", *(share(one.escapes, len(one.bad)) for one in found)),
        ("false alarms", *(share(one.false_alarms, len(one.good)) for one in found)),
    ]
    rows += [
        (TITLES.get(metric, metric), *(percent(one.metrics[metric]) for one in found))
        for metric in found[0].metrics
    ]
    print_table(rows, ("%", *names))
    for name, comparison in zip(names[1:], comparisons, strict=True):
        click.echo(f"\n{name} less {names[0]}, in points, with the 95 % interval and the p value:")
        lines = []
        reasons: dict[str, list[str]] = {}
        for metric, difference in comparison.metrics.items():
            if metric == "image_auroc" and comparison.image_auroc.p_value is not None:
                difference = comparison.image_auroc
            if difference.value is None:
                continue
            if difference.reason:
                reasons.setdefault(difference.reason, []).append(TITLES.get(metric, metric))
            low, high = difference.interval or (None, None)
            p = difference.p_value
            lines.append((
                TITLES.get(metric, metric),
                f"{100 * difference.value:+.2f}",
                "" if low is None or high is None else f"{100 * low:+.2f} .. {100 * high:+.2f}",
                "-" if p is None else f"{p:.3f}",
                "" if p is None or p >= 0.05 else "more than chance",
            ))  # fmt: skip
        print_table(lines, indent="  ")
        for reason, titles in reasons.items():
            click.echo(f"  {', '.join(titles)}: no interval, {reason}")
        better = count(comparison.better, "image")
        click.echo(
            f"  verdicts at each one's own threshold: {better} right with {name} "
            f"alone, {comparison.worse} with {names[0]} alone"
        )
    print_notes((name, [*notes, *remarks(one)]) for name, one in zip(names, found, strict=True))
    click.echo(
        "\nimage AUROC by DeLong's test, all else by paired bootstrap; p isn't corrected for many tests"
    )
