"""``edgead eval``: a bundle on labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.api.values import MOST_DRAWS
from edgead.bundle_names import find_bundle
from edgead.cli.arguments import count_of, engine_options
from edgead.cli.classes import classes_record, judge_classes, print_classes
from edgead.cli.fit_options import depth_option
from edgead.cli.output import json_option, print_json, print_table, quiet_option
from edgead.manifest import DEFAULT
from edgead.names import shown
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.datasets import Dataset
    from edgead.evaluation.evaluate import Evaluation
    from edgead.types import Progress

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("eval")
@click.argument("bundle")
@click.argument("dataset", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--layout", metavar="NAME", help="DATASET's layout instead of the recognised one; see `edgead datasets`."
)
@click.option("--category", metavar="NAME", help="The category, where DATASET is the root of several.")
@click.option(
    "--report",
    metavar="FILE.html",
    type=FILE,
    help="Write one page with every image, its heatmap and a threshold to move.",
)
@click.option("--csv", "csv_file", metavar="FILE", type=FILE, help="Write the table, as fractions.")
@click.option("--verdicts", metavar="FILE", type=FILE, help="Write a CSV line for each image.")
@click.option(
    "--best-threshold",
    is_flag=True,
    help="Also show the threshold of F1-max, which is chosen on these very images.",
)
@click.option(
    "--threshold",
    metavar="T",
    type=float,
    help="Use this threshold for the verdicts instead of the bundle's own.",
)
@click.option(
    "--product", metavar="NAME", help="Judge by this product's thresholds, in a bundle for several."
)
@click.option(
    "--draws",
    metavar="N",
    type=count_of(0, MOST_DRAWS),
    default=1000,
    help="Bootstrap draws for the 95 % intervals; 0 for none (default 1000).",
)
@engine_options
@depth_option
@quiet_option
@json_option
def command(
    bundle: str,
    dataset: tuple[Path, ...],
    layout: str | None,
    category: str | None,
    report: Path | None,
    csv_file: Path | None,
    verdicts: Path | None,
    best_threshold: bool,
    threshold: float | None,
    product: str | None,
    draws: int,
    device: str,
    engine: str | None,
    threads: int | None,
    depth: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE on the labelled images in DATASET.

    DATASET is in one of the published layouts (see `edgead datasets`), or just a folder with good/ and a
    folder for each defect. Verdicts are given at the bundle's own threshold, unless --threshold says another;
    nothing is tuned on DATASET. An image that can't be read ends it before the first is judged.

    Of a bundle for several products, give each one's data set: a row for each, and their mean.
    """
    from edgead.api.evaluate import evaluate

    engine_words: dict[str, Any] = {"device": device, "engine": engine, "threads": threads, "depth": depth}
    progress = make_progress(quiet)
    if len(dataset) > 1:
        _refuse_for_several(report=report, csv=csv_file, verdicts=verdicts, best_threshold=best_threshold)
        engine_words |= {"product": product}
        _several(bundle, dataset, layout, category, threshold, draws, engine_words, progress, as_json)
        return
    found = evaluate(
        bundle,
        dataset[0],
        layout=layout,
        category=category,
        threshold=threshold,
        product=product,
        report=report,
        csv=csv_file,
        verdicts=verdicts,
        draws=draws,
        progress=progress,
        **engine_words,
    )
    data, tested = found.dataset, found.bundle
    assert data is not None and tested is not None
    best = _best_threshold(found) if best_threshold else None
    own = tested.manifest.thresholds[found.product].score
    if as_json:
        chosen = {"best_threshold_on_test": best} if best_threshold else {}
        head = {
            "bundle": str(tested.path),
            "dataset": str(dataset[0]),
            "layout": data.layout,
            "category": data.category,
        }
        told = {
            "notes": list(data.notes),
            "dataset_notices": [notice.record() for notice in data.notices],
            "bundle_threshold": own,
            "product": found.product,
        }
        print_json(head | found.record() | chosen | told)
        _end(found.problems)
        return
    _print(found, data, own)
    if report is not None:
        click.echo(f"report: {shown(report.resolve())}")
    if best is not None:
        click.echo(
            f"best threshold {best:.6g} (F1-max): chosen on these test images, "
            "so it promises nothing for others"
        )
    _end(found.problems)


def _several(
    bundle: str,
    folders: Sequence[Path],
    layout: str | None,
    category: str | None,
    threshold: float | None,
    draws: int,
    engine_words: Mapping[str, Any],
    progress: Progress,
    as_json: bool,
) -> None:
    """A row for each data set, and their mean."""
    from edgead.datasets import open_dataset
    from edgead.runtime.detector import load

    data = [open_dataset(folder, layout, category) for folder in folders]
    path = find_bundle(bundle)
    detector = load(path, **engine_words, throughput=True)
    judged = judge_classes(detector, data, draws, progress, threshold)
    if as_json:
        print_json({"bundle": str(path)} | classes_record(judged))
    else:
        print_classes(judged, detector.bundle.manifest.thresholds[detector.product].score)
    _end([problem for one in judged for problem in one.found.problems])


def _end(problems: Sequence[str]) -> None:
    """Images that were left out are in the output; the exit code says so too."""
    from edgead.errors import ImageError

    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ImageError(f"judged without {problems[0]}{more}")


def _refuse_for_several(**words: Any) -> None:
    for name, value in words.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} is for one DATASET: give them one by one")


def _best_threshold(found: Evaluation) -> float | None:
    from edgead.metrics.scores import best_threshold

    return best_threshold([j.score for j in found.images], [not j.sample.is_good for j in found.images])


def _print(found: Evaluation, data: Dataset, own: float) -> None:
    from edgead.evaluation.figures import HEADER, KINDS_HEADER, figures, kinds, threshold_words
    from edgead.evaluation.table import defect_rows, metric_rows, remarks

    good, bad = len(found.good), len(found.bad)
    of = "" if found.product == DEFAULT else f", product {shown(found.product)}"
    click.echo(f"{shown(data.name)} ({data.layout}): {good} good and {bad} defective images{of}")
    print_table(figures(found.verdicts), (f"at {threshold_words(found.verdicts, own)}", *HEADER))
    if len(found.verdicts.kinds) > 1:
        click.echo()
        print_table(kinds(found.verdicts), KINDS_HEADER)
    click.echo()
    print_table(metric_rows(found), ("metric", "%", "95 % interval"))
    header, rows = defect_rows(found)
    if len(rows) > 1:
        click.echo()
        print_table(rows, header)
    notes = [*data.notes, *remarks(found)]
    if notes:
        click.echo()
    for note in notes:
        click.echo(f"note: {shown(note)}")
