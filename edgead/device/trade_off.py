"""What a rate of false alarms costs in missed defects: thresholds side by side, as data.

The scores may be of any good images and any defects: held-out images and synthetic defects at the workbench,
photographs of rejected parts on the camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgead.conformal import CONFIDENCE, upper_rate
from edgead.device.calibrate import largest_by_group, quantile, rate_at
from edgead.device.rates import UNKNOWN, says_nothing
from edgead.errors import DatasetError
from edgead.metrics.uncertainty import share_interval
from edgead.notices import Notice

RATES = (0.001, 0.01, 0.03, 0.05, 0.10)
"""Rates of false alarms that are shown."""
A_PERCENT = 0.01
"""More false alarms, as a share of good images, that are held against what they find."""
HALF_AS_MUCH = 1.5
"""Times the defects found now, from which on that is said, if it's two more at least."""
WELL = 0.9
"""A share of defects that one would like to be sure to find."""

Scores = Sequence[float]


@dataclass(frozen=True)
class Found:
    """How many of some defects are over a threshold.

    Attributes:
        count, total: 0 <= count <= total, total over 0.
    """

    count: int
    total: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The share of such defects lies in it with 95 % confidence; Wilson's."""
        return share_interval(self.count, self.total)

    @property
    def at_least(self) -> float:
        """So large a share of such defects is found, with 95 % confidence: 5 of 5 show 55 %."""
        return 1 - upper_rate(self.total, self.count) if self.count else 0.0

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "interval": list(self.interval), "at_least": self.at_least}


@dataclass(frozen=True)
class TradeOffRow:
    """One threshold and what it does.

    Attributes:
        rate: the rate of false alarms asked for, 0 to 1; None where the threshold was given.
        threshold: of the image score.
        expected_rate: the rate of false alarms to expect, 0 to 1; 0 where nothing is known of it.
        upper_rate: the rate is below this with 95 % confidence; 1 where nothing is known, or all is over it.
        found: by kind of defect.
    """

    rate: float | None
    threshold: float
    expected_rate: float
    upper_rate: float
    found: Mapping[str, Found]

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the rate of false alarms."""
        return self.upper_rate < 1 or self.expected_rate >= 1

    @property
    def all_found(self) -> Found | None:
        """Of all kinds together; None where there are no defects."""
        return total(self.found)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rate": self.rate,
            "threshold": self.threshold,
            "expected_rate": self.expected_rate,
            "upper_rate": self.upper_rate,
            "found": {kind: found.record() for kind, found in self.found.items()},
        }


@dataclass(frozen=True)
class TradeOff:
    """Thresholds side by side.

    Attributes:
        rows: one for each rate, in the order asked for.
        current: the threshold that holds now; None where none was given.
        more: the threshold for a percent more of false alarms than the current one's; None where nothing is
            known of that.
        n_good: how many good images, or groups of them, counted.
    """

    rows: tuple[TradeOffRow, ...]
    current: TradeOffRow | None
    more: TradeOffRow | None
    n_good: int

    def notice(self) -> Notice | None:
        """That a percent more of false alarms would find half as much again, where it's so."""
        now, more = self.current, self.more
        if now is None or more is None or now.all_found is None or more.all_found is None:
            return None
        found, then = now.all_found.count, more.all_found.count
        if then < max(found + 2, HALF_AS_MUCH * found):
            return None
        values = {"found": found, "then": then, "total": now.all_found.total, "expected": now.expected_rate}
        return Notice("cheap-recall", {**values, "more": more.expected_rate, "rate": more.rate})

    def record(self) -> dict[str, Any]:
        """As JSON."""
        notice = self.notice()
        return {
            "rows": [row.record() for row in self.rows],
            "current": None if self.current is None else self.current.record(),
            "good": self.n_good,
            "notice": None if notice is None else notice.record(),
        }


def trade_off(
    good_scores: Scores,
    groups: Sequence[int] | None,
    defects: Mapping[str, Scores],
    rates: Sequence[float] = RATES,
    current: float | None = None,
) -> TradeOff:
    """Hold rates of false alarms against the defects that are found.

    Args:
        good_scores: image scores of good images that the model hasn't learned, one at least.
        groups: each one's group where several show one part, as ``edgead.device.calibrate`` takes them.
        defects: by kind, image scores of defective images; a kind without any is left out.
        rates: of false alarms, each between 0 and 1.
        current: the threshold that holds now.

    Raises:
        DatasetError: no good score, or one that isn't finite.
        OptionError: a rate isn't between 0 and 1.
    """
    rows = tuple(row_for(good_scores, groups, defects, rate) for rate in rates)
    now = None if current is None else row_at(good_scores, groups, defects, current)
    more = None
    if now is not None and now.is_known and now.expected_rate + A_PERCENT < 1:
        more = row_for(good_scores, groups, defects, now.expected_rate + A_PERCENT)
    return TradeOff(rows, now, more, len(largest_by_group(good_scores, groups)))


def row_for(
    good_scores: Scores, groups: Sequence[int] | None, defects: Mapping[str, Scores], rate: float
) -> TradeOffRow:
    """The threshold for a rate, and what it does; raises as ``trade_off``."""
    if says_nothing(groups):
        found = quantile([max(good_scores)], rate)
        by_kind = found_by_kind(defects, found.threshold)
        return TradeOffRow(rate, found.threshold, UNKNOWN.expected, UNKNOWN.upper, by_kind)
    found = quantile(good_scores, rate, groups)
    by_kind = found_by_kind(defects, found.threshold)
    return TradeOffRow(rate, found.threshold, found.expected_rate, found.upper_rate, by_kind)


def row_at(
    good_scores: Scores, groups: Sequence[int] | None, defects: Mapping[str, Scores], threshold: float
) -> TradeOffRow:
    """A given threshold, and what it does."""
    known = UNKNOWN if says_nothing(groups) else rate_at(good_scores, threshold, groups)
    return TradeOffRow(None, threshold, known.expected, known.upper, found_by_kind(defects, threshold))


def found_by_kind(defects: Mapping[str, Scores], threshold: float) -> dict[str, Found]:
    """Of each kind, how many are over a threshold."""
    found = {}
    for kind, scores in defects.items():
        values = np.asarray(scores, np.float64)
        if not np.isfinite(values).all():
            raise DatasetError(f"defects '{kind}': a score isn't finite; judge them again")
        if values.size:
            found[kind] = Found(int((values > threshold).sum()), int(values.size))
    return found


def total(found: Mapping[str, Found]) -> Found | None:
    """Of all kinds together; None where there are none."""
    if not found:
        return None
    return Found(sum(each.count for each in found.values()), sum(each.total for each in found.values()))


def sureness(found: Found) -> Notice:
    """What so many defects show and what they can't, for ``edgead.notices.say``."""
    values = {
        "found": found.count,
        "total": found.total,
        "least": found.at_least,
        "confidence": CONFIDENCE,
        "well": WELL,
        "needed": math.ceil(math.log(1 - CONFIDENCE) / math.log(WELL)),
    }
    if found.total < values["needed"]:
        return Notice("few-defects-found", values)
    return Notice("defects-found", values)


__all__ = [
    "RATES",
    "Found",
    "TradeOff",
    "TradeOffRow",
    "found_by_kind",
    "row_at",
    "row_for",
    "sureness",
    "total",
    "trade_off",
]
