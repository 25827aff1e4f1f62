"""An evaluation as a table: for a terminal, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from edgead.evaluation.evaluate import Evaluation, Judged
from edgead.evaluation.titles import TITLES, interval, percent
from edgead.metrics.scores import Metric
from edgead.metrics.verdicts import Share
from edgead.names import shown
from edgead.notices import Notice, say


def share(one: Share) -> str:
    """``3 of 32 (9.4 %, 95 %: 3.2 - 24.2)``: a count, the share that it is, and where it may lie at large."""
    if one.value is None or one.interval is None:
        return f"{one.count} of {one.total}"
    limits = " - ".join(f"{100 * end:.1f}" for end in one.interval)
    return f"{one.count} of {one.total} ({100 * one.value:.1f} %, 95 %: {limits})"


def metric_rows(found: Evaluation) -> list[tuple[str, str, str]]:
    """(title, percent, interval) of every metric over all images."""
    return [(TITLES.get(name, name), percent(m), interval(m)) for name, m in found.metrics.items()]


def defect_rows(found: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A header, and a row for each defect: the metrics that are defined for any."""
    names = [n for n in found.metrics if any(m[n].value is not None for m in found.defects.values())]
    rows = [
        (shown(defect), *(percent(metrics[name]) for name in names))
        for defect, metrics in found.defects.items()
    ]
    return ("defect", *(TITLES.get(n, n) for n in names)), rows


def undefined(found: Evaluation) -> list[str]:
    """One line for each reason why metrics have no value, or no interval."""
    lines = _by_reason(found, "undefined", lambda metric: metric.reason)
    return lines + _by_reason(found, "no interval", lambda metric: metric.no_interval)


def _by_reason(found: Evaluation, what: str, reason: Callable[[Metric], Notice | None]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, metric in found.metrics.items():
        if why := reason(metric):
            reasons.setdefault(say(why), []).append(TITLES.get(name, name))
    return [f"{', '.join(titles)}: {what}, {why}" for why, titles in reasons.items()]


def remarks(found: Evaluation) -> list[str]:
    """What to know of an evaluation, a line each: of its images and masks, of the bundle, of its figures."""
    told = [*map(say, found.notices), *(f"the bundle says: {say(n)}" for n in found.bundle_notices)]
    return [*told, *undefined(found)]


def metrics_csv(found: Evaluation) -> str:
    """One row for all images, with the intervals' ends, and one for each defect; in fractions.

    The verdicts at the threshold come first, then the metrics, then these' intervals.
    """
    told = found.verdicts
    ends = [f"{name}_{end}" for name in found.metrics for end in ("low", "high")]
    header = ["defect", "images", *_with_ends("escapes", "false_alarms", "image_f1"), "threshold_share"]
    header += [*found.metrics, *ends]
    whole = ["all", len(found.images), *_counted(told.escapes), *_counted(told.false_alarms)]
    whole += [*_bounded(told.f1), _cell(told.threshold_share.value), *_values(found.metrics.values())]
    whole += [end for metric in found.metrics.values() for end in _bounded(metric)[1:]]
    rows = [whole]
    for defect, metrics in found.defects.items():
        escapes, f1 = told.kinds[defect], told.f1_of_kinds[defect]
        row = [shown(defect), escapes.total, *_counted(escapes), "", "", "", _cell(f1.value), "", "", ""]
        rows.append([*row, *_values(metrics.values()), *[""] * len(ends)])
    return _csv([header, *rows])


def _with_ends(*names: str) -> list[str]:
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


def _counted(share: Share) -> list[object]:
    low, high = share.interval or (None, None)
    return [share.count, _cell(low), _cell(high)]


def _bounded(metric: Metric) -> list[str]:
    low, high = metric.interval or (None, None)
    return [_cell(metric.value), _cell(low), _cell(high)]


def verdicts_csv(images: Sequence[Judged], threshold: float) -> str:
    """One row for each image."""
    header = ["image", "defect", "score", "threshold", "is_anomalous", "is_wrong"]
    rows = [
        [
            *(shown(j.sample.image), shown(j.sample.defect)),
            *(repr(j.score), repr(threshold), j.is_anomalous, j.is_wrong),
        ]
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
    "remarks",
    "share",
    "undefined",
    "verdicts_csv",
]
