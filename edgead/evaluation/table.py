"""An evaluation as a table: for a terminal, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from edgead.evaluation.evaluate import Evaluation, Judged
from edgead.evaluation.titles import TITLES, interval, percent
from edgead.metrics.scores import Metric
from edgead.metrics.uncertainty import share_interval
from edgead.names import shown
from edgead.notices import Notice, say


def share(count: int, total: int) -> str:
    """``3 of 32 (9.4 %, 95 %: 3.2 - 24.2)``: a count, the share that it is, and where it may lie at large."""
    if not total:
        return f"{count} of {total}"
    return f"{count} of {total} ({100 * count / total:.1f} %, 95 %: {share_limits(count, total)})"


def share_limits(count: int, total: int) -> str:
    """``low - high`` of a share in percent, or nothing where there's none."""
    return " - ".join(f"{100 * end:.1f}" for end in share_interval(count, total)) if total else ""


def threshold_words(found: Evaluation, own: float) -> str:
    """Which threshold the verdicts were given at."""
    if found.threshold_source == "bundle":
        return f"the bundle's threshold {found.threshold:.6g}"
    return f"the given threshold {found.threshold:.6g}, not the bundle's {own:.6g}"


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
        counts = (str(len(mine)), str(escapes), share_limits(escapes, len(mine)))
        rows.append((shown(defect), *counts, *(percent(metrics[n]) for n in names)))
    return ("defect", "images", "escapes", "95 % of all", *(TITLES.get(n, n) for n in names)), rows


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
    """One row for all images, with the intervals' ends, and one for each defect; in fractions."""
    ends = [(name, end) for name in found.metrics for end in ("low", "high")]
    shares = [f"{name}_{end}" for name in ("escapes", "false_alarms") for end in ("low", "high")]
    header = ["defect", "images", "escapes", *found.metrics, *(f"{name}_{end}" for name, end in ends)]
    header += ["false_alarms", *shares]
    limits = [m.interval for m in found.metrics.values()]
    whole = ["all", len(found.images), found.escapes, *_values(found.metrics.values())]
    whole += [_cell(end) for limit in limits for end in limit or (None, None)]
    good, bad = len(found.good), len(found.bad)
    rows = [[*whole, found.false_alarms, *_ends(found.escapes, bad), *_ends(found.false_alarms, good)]]
    for defect, metrics in found.defects.items():
        mine = [judged for judged in found.bad if judged.sample.defect == defect]
        escapes = sum(j.is_wrong for j in mine)
        row = [shown(defect), len(mine), escapes, *_values(metrics.values()), *[""] * (len(ends) + 1)]
        rows.append([*row, *_ends(escapes, len(mine)), "", ""])
    return _csv([header, *rows])


def _ends(count: int, total: int) -> list[str]:
    return [_cell(end) for end in share_interval(count, total)] if total else ["", ""]


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
    "share_limits",
    "threshold_words",
    "undefined",
    "verdicts_csv",
]
