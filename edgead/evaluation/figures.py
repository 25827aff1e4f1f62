"""The figures of a threshold for people: the rows that come first wherever a bundle was judged."""

from __future__ import annotations

from edgead.evaluation.titles import VERDICTS, interval, percent, share_interval, share_percent
from edgead.evaluation.verdicts import Verdicts
from edgead.metrics.verdicts import Share
from edgead.names import shown
from edgead.notices import Notice, say

HEADER = ("images", "%", "95 % interval", "")
"""Over the columns of ``figures`` but the first."""
KINDS_HEADER = ("defect", "images", "escapes", "%", "95 % interval")

Row = tuple[str, str, str, str, str]


def figures(found: Verdicts) -> list[Row]:
    """(title, so many of all, percent, its 95 % interval, what to hold it against): the verdicts first."""
    return [
        _share(VERDICTS["escapes"], found.escapes, ""),
        _share(VERDICTS["false_alarms"], found.false_alarms, _stated(found)),
        _share("recall", found.found, _allowed(found)),
        (VERDICTS["image_f1"], "", percent(found.f1), interval(found.f1), _at_best(found)),
        ("lost to the threshold", "", percent(found.threshold_share), "", _lost(found)),
    ]


def kinds(found: Verdicts) -> list[Row]:
    """A row for each defect: images, escapes, percent, interval; the worst first."""
    worst = sorted(found.kinds.items(), key=lambda kind: -(kind[1].value or 0.0))
    return [
        (shown(kind), str(one.total), str(one.count), share_percent(one), share_interval(one))
        for kind, one in worst
    ]


def threshold_words(found: Verdicts, own: float) -> str:
    """Which threshold the verdicts were given at; ``own`` is the bundle's."""
    if found.source == "bundle":
        return f"the bundle's threshold {found.threshold:.6g}"
    return f"the given threshold {found.threshold:.6g}, not the bundle's {own:.6g}"


def _share(title: str, share: Share, beside: str) -> Row:
    return title, f"{share.count} of {share.total}", share_percent(share), share_interval(share), beside


def _stated(found: Verdicts) -> str:
    if found.stated is None:
        return _why(found.not_stated)
    return f"stated: {100 * found.stated.expected:.2f} to expect, under {100 * found.stated.upper:.2f}"


def _allowed(found: Verdicts) -> str:
    if found.allowed is None:
        return _why(found.not_allowed)
    may = found.allowed
    over = f"{may.false_alarms.count} of {may.false_alarms.total} good ones over it"
    aimed = f"the {100 * may.rate:.3g} % aimed at, read off these images"
    return f"{share_percent(may.found)} at {may.threshold:.6g}, {aimed} ({over})"


def _at_best(found: Verdicts) -> str:
    if found.best is None:
        return _why(found.f1.reason)
    return f"F1-max {100 * found.best.f1:.2f} at {found.best.threshold:.6g}, chosen on these images"


def _lost(found: Verdicts) -> str:
    if found.scores_share is None:
        return _why(found.threshold_share.reason)
    return f"of what F1 lacks; to the scores {100 * found.scores_share:.2f}"


def _why(reason: Notice | None) -> str:
    return "" if reason is None else say(reason)


__all__ = ["HEADER", "KINDS_HEADER", "Row", "figures", "kinds", "threshold_words"]
