"""Thresholds that given defects choose: as high as finds a share of them, or of the least expected cost.

Where a span of thresholds gives the same verdicts on all given images, its middle is taken: then no verdict
hangs on an engine's last digit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgead.device.calibrate import largest_by_group, rate_at
from edgead.device.trade_off import Found, found_by_kind

Scores = Sequence[float]
Groups = Sequence[int] | None


@dataclass(frozen=True)
class Recall:
    """As high a threshold as finds a share of the defects.

    Attributes:
        share: over 0, up to 1.
    """

    share: float

    def threshold(self, good: Scores, defects: Scores, groups: Groups = None) -> float:
        """The threshold; ``good`` are the good images' scores and ``defects`` the defects', one at least."""
        ordered = sorted(defects, reverse=True)
        needed = max(1, math.ceil(self.share * len(ordered) - 1e-9))
        return _below(ordered[needed - 1], good, defects)


@dataclass(frozen=True)
class Cost:
    """The threshold of the least expected cost a part.

    Attributes:
        miss: cost of a defective part that passes, over 0, in any unit.
        alarm: cost of a good part that doesn't, in the same unit, over 0.
        defect_share: share of parts that are defective, between 0 and 1.
    """

    miss: float
    alarm: float
    defect_share: float

    def expected(self, good: Scores, defects: Scores, threshold: float, groups: Groups = None) -> float:
        """The expected cost of a part."""
        missed = sum(score <= threshold for score in defects) / len(defects)
        alarms = rate_at(good, threshold, groups).expected
        return self.defect_share * missed * self.miss + (1 - self.defect_share) * alarms * self.alarm

    def threshold(self, good: Scores, defects: Scores, groups: Groups = None) -> float:
        """The threshold; ``good`` are the good images' scores, one at least, and ``groups`` their parts.

        Candidates are under each defect, where one less is missed, and over all scores. Of equal ones the
        highest is taken.
        """
        candidates = [_below(score, good, defects) for score in set(defects)]
        counting = [score for score in largest_by_group(good, groups) if math.isfinite(score)]
        candidates.append(max(*counting, *defects))
        costs = {each: self.expected(good, defects, each, groups) for each in candidates}
        least = min(costs.values())
        return max(threshold for threshold, cost in costs.items() if cost <= least * (1 + 1e-12))


Aim = Recall | Cost
"""What defects choose a threshold by."""


def on_other_kinds(
    aim: Aim, good: Scores, defects: Mapping[str, Scores], groups: Groups = None
) -> dict[str, Found]:
    """Of each kind, what is found at the threshold that the *other* kinds choose; empty with fewer than two.

    What the kinds that chose a threshold make of it says little of a kind that nobody has seen yet.
    """
    known = {kind: scores for kind, scores in defects.items() if len(scores)}
    if len(known) < 2:
        return {}
    found: dict[str, Found] = {}
    for kind, scores in known.items():
        others = [score for other, them in known.items() if other != kind for score in them]
        found |= found_by_kind({kind: scores}, aim.threshold(good, others, groups))
    return found


def _below(score: float, good: Scores, defects: Scores) -> float:
    """Midway from a defect's score down to the next lower one of any image, in float32, what graphs yield."""
    lower = [other for other in (*good, *defects) if other < score]
    single = np.float32(score)
    if not lower:
        return float(np.nextafter(single, np.float32(-np.inf)))
    middle = np.float32((score + max(lower)) / 2)
    return float(middle if middle < single else np.float32(max(lower)))


__all__ = ["Aim", "Cost", "Recall", "on_other_kinds"]
