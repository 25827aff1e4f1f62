"""A benchmark's results for people: the verdicts first, then the metrics as the papers print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgead.evaluation.grid import Line
from edgead.evaluation.titles import TITLES, VERDICTS
from edgead.metrics.scores import Metric
from edgead.metrics.verdicts import Share, f1, threshold_share
from edgead.names import shown, told_apart

COSTS: Mapping[str, tuple[str, float, str]] = {
    "p50_ms": ("p50_ms", 1.0, "ms"),
    "cpu_ms": ("cpu_ms", 1.0, "ms"),
    "fit_seconds": ("fit_seconds", 1.0, "s"),
    "fit_cpu_seconds": ("fit_cpu_seconds", 1.0, "s"),
    "expected_loss": ("expected_loss", 100.0, "points"),
    "mib": ("bundle_bytes", 2.0**-20, "MiB"),
}
"""What the table can show beside metrics: a result's key, the factor to its unit, and the unit."""
VERDICT_COLUMNS = {
    **VERDICTS,
    "image_f1_max": TITLES["image_f1_max"],
    "threshold_share": "lost to the threshold",
}
"""What the first table shows, to its heading."""

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""A header and rows."""
Place = tuple[str, str]
"""A data set and a method, as the table calls them."""


def verdict_table(lines: Sequence[Line]) -> Table:
    """A row for each data set and method, and for each method's mean; columns are ``VERDICT_COLUMNS``.

    All in percent; over several seeds the mean, and ± their standard deviation.
    """
    places, values, failures = _values(lines, list(VERDICT_COLUMNS))
    datasets, methods = _axes(places)
    unknown = ["-"] * len(VERDICT_COLUMNS)
    rows = []
    for data in datasets:
        for method in methods:
            place = (data, method)
            failed = ["failed", *[""] * (len(unknown) - 1)]
            figures = failed if place in failures else _texts(values.get(place, [])) or unknown
            rows.append((shown(data), method, *figures))
    if len(datasets) > 1:
        rows += [("mean", method, *_means(values, datasets, method, len(unknown))) for method in methods]
    return ("data set", "method", *VERDICT_COLUMNS.values()), rows


def table(lines: Sequence[Line], metrics: Sequence[str]) -> Table:
    """As the papers print it: a row for each data set and the mean, a column for each method.

    A cell has the metrics in percent and the costs in their units, with a slash between; over several seeds
    the mean, and ± their standard deviation. The mean over data sets is only given for a method that has all
    of them.

    Args:
        metrics: metrics, 0 to 1, those of ``VERDICT_COLUMNS``, and those of ``COSTS``.

    Returns:
        The header and the rows.
    """
    places, values, failures = _values(lines, metrics)
    datasets, methods = _axes(places)
    rows = [
        (shown(d), *("failed" if (d, m) in failures else _cell(values.get((d, m), [])) for m in methods))
        for d in datasets
    ]
    if len(datasets) > 1:
        rows.append(("mean", *(" / ".join(_means(values, datasets, m, len(metrics))) for m in methods)))
    return ("data set", *methods), rows


def made(lines: Sequence[Line]) -> list[str]:
    """Return what to call each line's method: with the target and the form, where the lines have several."""
    makings = [line["cell"]["making"] for line in lines]
    told = [key for key in ("target", "precision") if len({making[key] for making in makings}) > 1]
    return [", ".join([making["method"], *(making[key] for key in told)]) for making in makings]


def names(lines: Sequence[Line]) -> list[str]:
    """Return what to call each line's data set: the end of its path, as much as tells it from the others."""
    folders = [Path(line["cell"]["dataset"]) for line in lines]
    categories = [line["cell"]["category"] for line in lines]
    roots = told_apart(folders)
    return [f"{root}/{part}" if part else root for root, part in zip(roots, categories, strict=True)]


def _values(
    lines: Sequence[Line], metrics: Sequence[str]
) -> tuple[list[Place], dict[Place, list[list[float | None]]], set[Place]]:
    """Each line's place, the figures of the runs at each place, and the places with a failure."""
    places = list(zip(names(lines), made(lines), strict=True))
    values: dict[Place, list[list[float | None]]] = {}
    failures = set()
    for place, line in zip(places, lines, strict=True):
        if "error" in line:
            failures.add(place)
        else:
            values.setdefault(place, []).append([value(line["result"], metric) for metric in metrics])
    return places, values, failures


def _axes(places: Sequence[Place]) -> tuple[list[str], list[str]]:
    datasets, methods = zip(*places, strict=True) if places else ((), ())
    return list(dict.fromkeys(datasets)), list(dict.fromkeys(methods))


def value(result: Mapping[str, Any], metric: str) -> float | None:
    """A metric, verdict or cost, in percent or its unit; None of what a former version's result lacks."""
    key, factor, _ = COSTS.get(metric, (metric, 100.0, "%"))
    found = _verdict(result, metric) if metric in (*VERDICTS, "threshold_share") else result.get(key)
    return None if found is None else float(found) * factor


def _verdict(result: Mapping[str, Any], figure: str) -> float | None:
    """From the counts, which results of every version have."""
    if not {"escapes", "bad", "false_alarms", "good"} <= set(result):
        return None
    escapes, alarms = Share(result["escapes"], result["bad"]), Share(result["false_alarms"], result["good"])
    figures: Mapping[str, float | None] = {
        "escapes": escapes.value,
        "false_alarms": alarms.value,
        "image_f1": f1(escapes, alarms).value,
        "threshold_share": _lost(f1(escapes, alarms), result.get("image_f1_max")),
    }
    return figures[figure]


def _lost(at_threshold: Metric, f1_max: float | None) -> float | None:
    return threshold_share(at_threshold, f1_max).value


def _cell(runs: Sequence[Sequence[float | None]]) -> str:
    return " / ".join(_texts(runs)) if runs else "-"


def _texts(runs: Sequence[Sequence[float | None]]) -> list[str]:
    """Each figure over the runs; nothing where there are none."""
    texts = []
    for column in zip(*runs, strict=True):
        numbers = [value for value in column if value is not None]
        if len(numbers) < len(column):
            texts.append("-")
        elif len(numbers) == 1:
            texts.append(f"{numbers[0]:.1f}")
        else:
            texts.append(f"{np.mean(numbers):.1f}±{np.std(numbers, ddof=1):.1f}")
    return texts


def _means(
    values: Mapping[Place, Sequence[Sequence[float | None]]],
    datasets: Sequence[str],
    method: str,
    width: int,
) -> list[str]:
    texts = []
    for index in range(width):
        means = []
        for data in datasets:
            numbers = [run[index] for run in values.get((data, method), [])]
            known = [n for n in numbers if n is not None]
            if known and len(known) == len(numbers):
                means.append(float(np.mean(known)))
        texts.append(f"{np.mean(means):.1f}" if len(means) == len(datasets) else "-")
    return texts


__all__ = ["COSTS", "VERDICT_COLUMNS", "made", "names", "table", "value", "verdict_table"]
