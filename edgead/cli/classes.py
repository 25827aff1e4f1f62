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

SHOWN = ("image_f1_max", "image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30")


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
    """The mean of each figure over the classes where it's defined; None where it is in none.

    Of escapes and false alarms it's the mean of the shares.
    """
    told = [each.found for each in found]
    columns: dict[str, list[float | None]] = {
        "escapes_share": [one.verdicts.escapes.value for one in told],
        "false_alarms_share": [one.verdicts.false_alarms.value for one in told],
        "image_f1": [one.verdicts.f1.value for one in told],
        **{name: [one.metrics[name].value for one in told] for name in told[0].metrics},
    }
    return {name: _mean(values) for name, values in columns.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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
    from edgead.evaluation.figures import threshold_words
    from edgead.evaluation.table import percent, remarks, share
    from edgead.evaluation.titles import TITLES, VERDICTS

    def text(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.2f}"

    rows = []
    for each in found:
        one = each.found
        figures = (share(one.verdicts.escapes), share(one.verdicts.false_alarms), percent(one.verdicts.f1))
        rows.append((shown(each.name), *figures, *(percent(one.metrics[metric]) for metric in SHOWN)))
    means = class_means(found)
    shares = (means["escapes_share"], means["false_alarms_share"], means["image_f1"])
    rows.append(("mean", *map(text, shares), *(text(means[metric]) for metric in SHOWN)))
    print_table(rows, ("class", *VERDICTS.values(), *(TITLES[metric] for metric in SHOWN)))
    click.echo(f"verdicts at {threshold_words(found[0].found.verdicts, own)}")
    print_notes((each.name, [*each.data.notes, *remarks(each.found)]) for each in found)


__all__ = ["Class", "class_means", "class_names", "classes_record", "judge_classes", "print_classes"]
