"""An evaluation as a table: for a terminal, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from edgead.evaluation.evaluate import Evaluation, Judged
from edgead.evaluation.metrics import Metric

TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "aupro_30": "PRO 30 %",
    "aupro_5": "PRO 5 %",
    "iap": "instance AP",
    "iap_90": "IAP@90",
}
"""Name of a metric to what people call it."""


def percent(metric: Metric) -> str:
    """The value with two decimals, or ``-``."""
    return "-" if metric.value is None else f"{100 * metric.value:.2f}"


def interval(metric: Metric) -> str:
    """``low - high`` in percent, or nothing."""
    return "" if metric.interval is None else " - ".join(f"{100 * end:.2f}" for end in metric.interval)


def metric_rows(found: Evaluation) -> list[tuple[str, str, str]]:
    """(title, percent, interval) of every metric over all images."""
    return [(TITLES.get(name, name), percent(m), interval(m)) for name, m in found.metrics.items()]


def defect_rows(found: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A header, and a row for each defect: images, escapes and the metrics that are defined for any."""
    names = [n for n in found.metrics if any(m[n].value is not None for m in found.defects.values())]
    rows = []
    for defect, metrics in found.defects.items():
        mine = [judged for judged in found.bad if judged.sample.defect == defect]
        escapes = sum(judged.is_wrong for judged in mine)
        rows.append((defect, str(len(mine)), str(escapes), *(percent(metrics[n]) for n in names)))
    return ("defect", "images", "escapes", *(TITLES.get(n, n) for n in names)), rows


def undefined(found: Evaluation) -> list[str]:
    """One line for each reason why metrics have no value."""
    reasons: dict[str, list[str]] = {}
    for name, metric in found.metrics.items():
        if metric.reason:
            reasons.setdefault(metric.reason, []).append(TITLES.get(name, name))
    return [f"{', '.join(titles)}: undefined, {reason}" for reason, titles in reasons.items()]


def metrics_csv(found: Evaluation) -> str:
    """One row for all images, with the intervals' ends, and one for each defect; in fractions."""
    ends = [(name, end) for name in found.metrics for end in ("low", "high")]
    header = ["defect", "images", "escapes", *found.metrics, *(f"{name}_{end}" for name, end in ends)]
    limits = [m.interval for m in found.metrics.values()]
    whole = ["all", len(found.images), found.escapes, *_values(found.metrics.values())]
    rows = [[*whole, *(_cell(end) for limit in limits for end in limit or (None, None))]]
    for defect, metrics in found.defects.items():
        mine = [judged for judged in found.bad if judged.sample.defect == defect]
        rows.append([defect, len(mine), sum(j.is_wrong for j in mine), *_values(metrics.values())])
    return _csv([header, *rows])


def verdicts_csv(images: Sequence[Judged], threshold: float) -> str:
    """One row for each image."""
    header = ["image", "defect", "score", "threshold", "is_anomalous", "is_wrong"]
    rows = [
        [str(j.sample.image), j.sample.defect, repr(j.score), repr(threshold), j.is_anomalous, j.is_wrong]
        for j in images
    ]
    return _csv([header, *rows])


def _values(metrics: Iterable[Metric]) -> list[str]:
    return [_cell(metric.value) for metric in metrics]


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


__all__ = [
    "TITLES",
    "defect_rows",
    "interval",
    "metric_rows",
    "metrics_csv",
    "percent",
    "undefined",
    "verdicts_csv",
]
