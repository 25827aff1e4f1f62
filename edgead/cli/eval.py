"""``edgead eval``: a bundle on labelled images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.arguments import engine_options, find_bundle
from edgead.cli.output import json_option, print_json, print_table, quiet_option
from edgead.cli.progress import make_progress

if TYPE_CHECKING:
    from edgead.evaluation.evaluate import Evaluation


@click.command("eval")
@click.argument("bundle")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--layout", metavar="NAME", help="DATASET's layout instead of the recognised one; see `edgead datasets`."
)
@engine_options
@quiet_option
@json_option
def command(
    bundle: str,
    dataset: Path,
    layout: str | None,
    device: str,
    engine: str | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE on the labelled images in DATASET.

    DATASET holds test/good, a folder test/NAME for each defect and, for the pixel metrics, masks in
    ground_truth/NAME, as MVTec's; or just good and a folder for each defect.
    """
    from edgead.evaluation.datasets import find_samples
    from edgead.evaluation.evaluate import evaluate
    from edgead.runtime.detector import load

    samples = find_samples(dataset, layout)
    path = find_bundle(bundle)
    detector = load(path, device=device, engine=engine, threads=threads, throughput=True)
    with make_progress(quiet)("judging images", len(samples)) as advance:
        found = evaluate(detector, samples, lambda sample, prediction: advance(1))
    if as_json:
        print_json({"bundle": str(path), "dataset": str(dataset)} | dataclasses.asdict(found))
    else:
        _print(found)


def _print(found: Evaluation) -> None:
    rows = [
        ("images", f"{found.good} good, {found.bad} defective"),
        ("image AUROC", _percent(found.image_auroc)),
        *((f"  {defect}", _percent(value)) for defect, value in found.per_defect.items()),
        ("pixel AUROC", _percent(found.pixel_auroc)),
        ("false alarms", _share(found.false_alarms, found.good)),
        ("escapes", _share(found.escapes, found.bad)),
        ("threshold", f"{found.threshold:.6g}"),
    ]
    print_table(rows)
    for metric, reason in found.undefined.items():
        click.echo(f"no {metric}: {reason}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _share(count: int, total: int) -> str:
    return f"{count} of {total}" + (f" ({count / total:.1%})" if total else "")
