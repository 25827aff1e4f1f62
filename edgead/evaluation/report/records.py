"""What the page tells of an evaluation and its timing, as records of numbers; the templates say them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Evaluation, Judged
from edgead.metrics.scores import Metric
from edgead.metrics.uncertainty import share_interval
from edgead.notices import say

SURE = 0.05
"""A share that's known to this, up or down, isn't worth a warning."""


@dataclass(frozen=True)
class Share:
    """So many of all; ``interval`` holds the share among all such parts with 95 % confidence.

    Attributes:
        count, total: 0 <= count <= total.
        interval: (low, high), fractions of 1; None where there are none at all.
    """

    count: int
    total: int
    interval: tuple[float, float] | None

    @property
    def is_unsure(self) -> bool:
        return self.interval is not None and self.interval[1] - self.interval[0] > 2 * SURE


@dataclass(frozen=True)
class Row:
    """A row of the tables of metrics: all defective images, or those of one defect.

    Attributes:
        name: the defect.
        escapes: of its images, at the evaluation's threshold.
        metrics: by name, against all good images.
    """

    name: str
    escapes: Share
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


def wrong(images: Iterable[Judged]) -> Share:
    """The share of images that were judged wrongly."""
    verdicts = [judged.is_wrong for judged in images]
    count, total = sum(verdicts), len(verdicts)
    return Share(count, total, share_interval(count, total) if total else None)


def rows(found: Evaluation) -> list[Row]:
    """All defective images first, then those of each defect."""
    of_defects = [
        Row(defect, wrong(j for j in found.bad if j.sample.defect == defect), metrics)
        for defect, metrics in found.defects.items()
    ]
    return [Row("all", wrong(found.bad), found.metrics), *of_defects]


def reasons(all_rows: Sequence[Row], names: Iterable[str]) -> list[str]:
    """Why metrics of these names are undefined, each reason once."""
    undefined = (row.metrics[name] for name in names for row in all_rows)
    return list(dict.fromkeys(say(m.reason) if m.reason else "unknown" for m in undefined if m.value is None))


__all__ = ["Row", "Share", "Timing", "reasons", "rows", "wrong"]
