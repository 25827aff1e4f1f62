"""The first thing on the page: verdicts at the bundle's own threshold, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgead.evaluation.evaluate import Evaluation
from edgead.evaluation.table import interval, percent, remarks
from edgead.metrics.uncertainty import share_interval

SURE = 0.05
"""A share that's known to this, up or down, isn't worth a warning."""


def headline(found: Evaluation) -> str:
    """The verdicts in one sentence."""
    bad, good = len(found.bad), len(found.good)
    parts = []
    if bad:
        parts.append(f"{found.escapes} of {bad} defective images {_plural(found.escapes, 'escape')}")
    if good:
        parts.append(f"{found.false_alarms} of {good} good ones {_are(found.false_alarms)}")
    return ", ".join(parts)


def tiles(found: Evaluation, speed: Sequence[tuple[str, str]] = ()) -> str:
    """The figures to decide from, as list items; ``speed`` are more of them, value and what it is."""
    shown: list[tuple[str, ...]] = [
        _share("escapes", found.escapes, len(found.bad), "no defective images"),
        _share("false alarms", found.false_alarms, len(found.good), "no good images"),
    ]
    for name, title in (("image_auroc", "image AUROC"), ("pixel_auroc", "pixel AUROC")):
        metric = found.metrics[name]
        if metric.value is None:
            shown.append(("-", title, f"undefined: {metric.reason}"))
        else:
            between = (f"95 %: {interval(metric)}",) if metric.interval else ()
            shown.append((f"{percent(metric)} %", title, *between))
    shown += speed
    return "".join(
        f"<li><b>{escape(value)}</b><span>{escape(what)}</span>"
        + "".join(f"<small>{escape(line)}</small>" for line in more)
        + "</li>"
        for value, what, *more in shown
    )


def warnings(found: Evaluation) -> list[str]:
    """What the figures don't say: undefined metrics, and test sets too small for what one may read off."""
    lines = remarks(found)
    for what, count, total in (
        ("escapes", found.escapes, len(found.bad)),
        ("false alarms", found.false_alarms, len(found.good)),
    ):
        if not total:
            continue
        low, high = share_interval(count, total)
        if high - low > 2 * SURE:
            kind = "defective" if what == "escapes" else "good"
            lines.append(
                f"few images: with {total} {kind} ones, the share of {what} among all such parts may be "
                f"anything from {100 * low:.1f} % to {100 * high:.1f} % (95 % confidence)"
            )
    return lines


def _share(what: str, count: int, total: int, none: str) -> tuple[str, ...]:
    if not total:
        return "-", what, none
    low, high = share_interval(count, total)
    between = f"95 %: {100 * low:.1f} - {100 * high:.1f}"
    return f"{count} of {total}", what, f"{100 * count / total:.1f} %", between


def _plural(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb


def _are(count: int) -> str:
    return "is a false alarm" if count == 1 else "are false alarms"


__all__ = ["headline", "tiles", "warnings"]
