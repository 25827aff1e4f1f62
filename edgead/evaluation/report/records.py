"""What the page tells of an evaluation and its timing, as records of numbers; the templates say them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Evaluation
from edgead.metrics.scores import Metric
from edgead.metrics.verdicts import Share
from edgead.notices import say

SURE = 0.05
"""A share that's known to this, up or down, isn't worth a warning."""


@dataclass(frozen=True)
class Row:
    """A row of the tables of metrics: all defective images, or those of one defect.

    Attributes:
        name: the defect.
        metrics: by name, against all good images.
    """

    name: str
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class Timing:
    """What was timed, for the report.

    Attributes:
        latencies: by the form's name; where there are several, the reference first and the evaluated bundle
            last.
        machine: where, in a sentence: processor and threads.
    """

    latencies: Mapping[str, Latency] = field(default_factory=dict)
    machine: str = ""

    @property
    def reference(self) -> str:
        return next(iter(self.latencies))

    @property
    def own(self) -> str:
        return list(self.latencies)[-1]

    @property
    def slowest_ms(self) -> float:
        return max(one.p50_ms for one in self.latencies.values())

    def speed(self, form: str) -> float:
        """How many times as fast as the reference a form is, by the medians."""
        return self.latencies[self.reference].p50_ms / self.latencies[form].p50_ms


@dataclass(frozen=True)
class Part:
    """A part of F1's bar, from 0 to 1.

    Attributes:
        name: what it is: ``reached``, ``threshold`` or ``scores``.
        start, size: where it begins and how long it is.
    """

    name: str
    start: float
    size: float


def is_unsure(share: Share) -> bool:
    """Whether so few images say little of the share among all such parts."""
    return share.interval is not None and share.interval[1] - share.interval[0] > 2 * SURE


def parts(found: Evaluation) -> list[Part]:
    """F1, and what it lacks: what the threshold costs, and then the scores; none where F1 is undefined."""
    f1, best = found.verdicts.f1.value, found.verdicts.best
    if f1 is None or best is None:
        return []
    return [
        Part("reached", 0.0, f1),
        Part("threshold", f1, best.f1 - f1),
        Part("scores", best.f1, 1 - best.f1),
    ]


def rows(found: Evaluation) -> list[Row]:
    """All defective images first, then those of each defect."""
    return [Row("all", found.metrics), *(Row(defect, own) for defect, own in found.defects.items())]


def reasons(all_rows: Sequence[Row], names: Iterable[str]) -> list[str]:
    """Why metrics of these names are undefined, each reason once."""
    undefined = (row.metrics[name] for name in names for row in all_rows)
    return list(dict.fromkeys(say(m.reason) if m.reason else "unknown" for m in undefined if m.value is None))


__all__ = ["Part", "Row", "Timing", "is_unsure", "parts", "reasons", "rows"]
