"""``edgead eval`` of one bundle on several data sets: a product class each, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import print_table

if TYPE_CHECKING:
    from edgead.evaluation.datasets import Dataset
    from edgead.evaluation.evaluate import Evaluation
    from edgead.runtime.detector import Detector
    from edgead.types import Progress

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30")


def judge_classes(
    detector: Detector, classes: Sequence[Dataset], draws: int, progress: Progress
) -> dict[str, Evaluation]:
    """Evaluate on each data set by itself, by name.

    Raises:
        DatasetError: two of them have the same name.
    """
    from edgead.errors import DatasetError
    from edgead.evaluation.evaluate import evaluate

    found: dict[str, Evaluation] = {}
    for data in classes:
        if data.name in found:
            raise DatasetError(f"{data.folder}: a second data set named {data.name}; give each once")
        with progress(f"judging {data.name}", len(data.test)) as advance:
            found[data.name] = evaluate(detector, data.test, lambda *image, a=advance: a(1), draws)
    return found


def class_means(found: Mapping[str, Evaluation]) -> dict[str, float | None]:
    """The mean of each metric over the classes where it's defined; None where it is in none."""
    means: dict[str, float | None] = {}
    for name in next(iter(found.values())).metrics:
        values = [v for each in found.values() if (v := each.metrics[name].value) is not None]
        means[name] = sum(values) / len(values) if values else None
    return means


def classes_record(found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """One JSON object: ``classes`` by name, and ``mean``."""
    return {"classes": {name: each.record() for name, each in found.items()}, "mean": class_means(found)}


def print_classes(found: Mapping[str, Evaluation]) -> None:
    """A row for each class and one for the mean, in percent; then what the threshold does."""
    from edgead.evaluation.table import TITLES, percent, undefined

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.2f}"

    rows = []
    for name, each in found.items():
        counts = (f"{len(each.good)}/{len(each.bad)}", str(each.false_alarms), str(each.escapes))
        rows.append((name, *counts, *(percent(each.metrics[metric]) for metric in SHOWN)))
    means = class_means(found)
    rows.append(("mean", "", "", "", *(shown(means[metric]) for metric in SHOWN)))
    titles = [TITLES[metric] for metric in SHOWN]
    print_table(rows, ("class", "good/bad", "false alarms", "escapes", *titles))
    for name, each in found.items():
        for line in undefined(each):
            click.echo(f"note: {name}: {line}")


__all__ = ["class_means", "classes_record", "judge_classes", "print_classes"]
