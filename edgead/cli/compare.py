"""``edgead compare``: bundles or methods side by side on one data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.api.values import MOST_DRAWS
from edgead.cli.arguments import count_of, engine_option
from edgead.cli.bundle_options import bundle_options
from edgead.cli.output import json_option, print_json, print_notes, print_table, quiet_option
from edgead.names import shown
from edgead.notices import count, say
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.evaluation.compare import Comparison
    from edgead.evaluation.evaluate import Evaluation


F1_MAX = "image_f1_max"
"""The metric that stands beside F1 at the threshold."""


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
@bundle_options
@engine_option
@click.option("--seed", metavar="N", type=count_of(0), default=0, help="Seed for fitting (default 0).")
@click.option(
    "--draws", metavar="N", type=count_of(0, MOST_DRAWS), default=1000, help="Bootstrap draws (default 1000)."
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
    from edgead.api.compare import compare

    if len(names) < 2:
        raise click.UsageError("give two bundles or methods at least", click.get_current_context())
    done = compare(
        names,
        dataset,
        layout=layout,
        category=category,
        engine=engine,
        seed=seed,
        draws=draws,
        progress=make_progress(quiet or as_json),
        **words,
    )
    found, comparisons, data = done.evaluations, done.against_first, done.evaluations[0].dataset
    assert data is not None
    if as_json:
        print_json({
            "dataset": str(dataset),
            "notes": list(data.notes),
            "dataset_notices": [notice.record() for notice in data.notices],
            "bundles": [{"name": name, **one.record()} for name, one in zip(names, found, strict=True)],
            "against_first": [
                {"name": name, **_record(one)}
                for name, one in zip(names[1:], comparisons, strict=True)
            ],
        })  # fmt: skip
        return
    _print(tuple(map(shown, names)), found, comparisons, data.notes)


def _record(comparison: Comparison) -> dict[str, Any]:
    """As JSON: of each difference the figures, and the reason as a sentence and as a code."""
    document = dataclasses.asdict(comparison)
    for difference, own in (
        (comparison.image_auroc, document["image_auroc"]),
        *((comparison.verdicts[name], document["verdicts"][name]) for name in comparison.verdicts),
        *((comparison.metrics[name], document["metrics"][name]) for name in comparison.metrics),
    ):
        own["reason"] = say(difference.reason) if difference.reason else None
        own["reason_code"] = difference.reason.code if difference.reason else None
    return document


def _print(
    names: tuple[str, ...],
    found: Sequence[Evaluation],
    comparisons: Sequence[Comparison],
    notes: Sequence[str],
) -> None:
    from edgead.evaluation.table import percent, remarks, share
    from edgead.evaluation.titles import TITLES, VERDICTS

    rows = [
        (VERDICTS["escapes"], *(share(one.verdicts.escapes) for one in found)),
        (VERDICTS["false_alarms"], *(share(one.verdicts.false_alarms) for one in found)),
        (VERDICTS["image_f1"], *(percent(one.verdicts.f1) for one in found)),
        (TITLES[F1_MAX], *(percent(one.metrics[F1_MAX]) for one in found)),
        ("lost to the threshold", *(percent(one.verdicts.threshold_share) for one in found)),
    ]
    rows += [
        (TITLES.get(metric, metric), *(percent(one.metrics[metric]) for one in found))
        for metric in found[0].metrics
        if metric != F1_MAX
    ]
    print_table(rows, ("%", *names))
    click.echo("verdicts at each one's own threshold; lost to it: the share of what F1 lacks")
    titles = VERDICTS | TITLES
    for name, comparison in zip(names[1:], comparisons, strict=True):
        click.echo(f"\n{name} less {names[0]}, in points, with the 95 % interval and the p value:")
        lines = []
        reasons: dict[str, list[str]] = {}
        for metric, difference in [*comparison.verdicts.items(), *comparison.metrics.items()]:
            if metric == "image_auroc" and comparison.image_auroc.p_value is not None:
                difference = comparison.image_auroc
            if difference.value is None:
                continue
            if difference.reason:
                reasons.setdefault(say(difference.reason), []).append(titles.get(metric, metric))
            low, high = difference.interval or (None, None)
            p = difference.p_value
            lines.append((
                titles.get(metric, metric),
                f"{100 * difference.value:+.2f}",
                "" if low is None or high is None else f"{100 * low:+.2f} .. {100 * high:+.2f}",
                "-" if p is None else f"{p:.3f}",
                "" if p is None or p >= 0.05 else "more than chance",
            ))  # fmt: skip
        print_table(lines, indent="  ")
        for reason, mine in reasons.items():
            click.echo(f"  {', '.join(mine)}: no interval, {reason}")
        better = count(comparison.better, "image")
        click.echo(f"  verdicts: {better} right with {name} alone, {comparison.worse} with {names[0]} alone")
    print_notes((name, [*notes, *remarks(one)]) for name, one in zip(names, found, strict=True))
    click.echo(
        "\nescapes, false alarms and F1 by exact tests on the images where verdicts differ (McNemar's), "
        "image AUROC by DeLong's, all else by paired bootstrap; p isn't corrected for many tests"
    )
