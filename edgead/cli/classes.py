"""``edgead eval`` of one bundle on several data sets: a product class each, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import print_notes, print_table
from edgead.names import shown, told_apart

if TYPE_CHECKING:
    from edgead.datasets import Dataset
    from edgead.evaluation.evaluate import Evaluation
    from edgead.runtime.detector import Detector
    from edgead.types import Progress

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30")


@dataclass(frozen=True)
class Class:
    """A product class: what to call it, its data set, and what the bundle did on it."""

    name: str
    data: Dataset
    found: Evaluation


def judge_classes(
    detector: Detector,
    classes: Sequence[Dataset],
    draws: int,
    progress: Progress,
    threshold: float | None = None,
) -> list[Class]:
    """Evaluate on each data set by itself.

    Raises:
        DatasetError: one of them is given twice.
    """
    from edgead.evaluation.evaluate import judge

    return [
        Class(name, data, judge(detector, data.test, progress, shown(name), draws=draws, threshold=threshold))
        for name, data in zip(class_names(classes), classes, strict=True)
    ]


def class_names(classes: Sequence[Dataset]) -> list[str]:
    """Return the data sets' names; of those that share one, as much of the path as tells them apart.

    Raises:
        DatasetError: one of them is given twice.
    """
    from edgead.errors import DatasetError

    folders = [data.folder.resolve() for data in classes]
    for folder in folders:
        if folders.count(folder) > 1:
            raise DatasetError(f"{shown(folder)}: given twice; give each data set once")
    longer = told_apart(folders)
    names = [data.name for data in classes]
    return [long if names.count(name) > 1 else name for name, long in zip(names, longer, strict=True)]


def class_means(found: Sequence[Class]) -> dict[str, float | None]:
    """The mean of each metric over the classes where it's defined; None where it is in none."""
    means: dict[str, float | None] = {}
    for name in found[0].found.metrics:
        values = [v for each in found if (v := each.found.metrics[name].value) is not None]
        means[name] = sum(values) / len(values) if values else None
    return means


def classes_record(found: Sequence[Class]) -> dict[str, Any]:
    """One JSON object: ``classes`` by name, and ``mean``."""
    classes = {
        shown(each.name): {
            **each.found.record(),
            "dataset": str(each.data.folder),
            "notes": list(each.data.notes),
            "dataset_notices": [notice.record() for notice in each.data.notices],
        }
        for each in found
    }
    return {"classes": classes, "mean": class_means(found)}


def print_classes(found: Sequence[Class], own: float) -> None:
    """A row for each class and one for the mean, in percent; then what the threshold does.

    Args:
        own: the bundle's threshold.
    """
    from edgead.evaluation.table import TITLES, percent, remarks, share, threshold_words

    def text(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.2f}"

    rows = []
    for each in found:
        one = each.found
        counts = (share(one.escapes, len(one.bad)), share(one.false_alarms, len(one.good)))
        rows.append((shown(each.name), *counts, *(percent(one.metrics[metric]) for metric in SHOWN)))
    means = class_means(found)
    rows.append(("mean", "", "", *(text(means[metric]) for metric in SHOWN)))
    titles = [TITLES[metric] for metric in SHOWN]
    print_table(rows, ("class", "escapes", "false alarms", *titles))
    click.echo(f"verdicts at {threshold_words(found[0].found, own)}")
    print_notes((each.name, [*each.data.notes, *remarks(each.found)]) for each in found)


__all__ = ["Class", "class_means", "class_names", "classes_record", "judge_classes", "print_classes"]
