"""What a line has said so far, in figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgead.line.events import Late
from edgead.types import Verdict

MOST_MS = 100_000


class Tally:
    """Counts verdicts, and how long they took.

    Args:
        deadline: ns.

    Attributes:
        whys, decisions: verdicts by each.
        late: scores that came after their verdict.
    """

    def __init__(self, deadline: int) -> None:
        self._deadline = deadline
        self.whys: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self.late = 0
        self._took: Counter[int] = Counter()  # in ms
        self._worst: int | None = None

    def add(self, told: Verdict | Late) -> None:
        """One more."""
        if isinstance(told, Late):
            self.late += 1
            return
        self.whys[told.why] += 1
        self.decisions[told.decision] += 1
        took = (told.times.sent or told.times.trigger) - told.times.trigger
        self._took[min(took // 1_000_000, MOST_MS)] += 1
        over = took - self._deadline
        self._worst = over if self._worst is None else max(over, self._worst)

    @property
    def total(self) -> int:
        """Verdicts."""
        return self.whys.total()

    @property
    def by_failsafe(self) -> int:
        """Verdicts that no score stands behind."""
        return self.total - self.whys["score"]

    def took_ms(self, share: float) -> int | None:
        """The ms within which this share of verdicts was said, counted from the trigger; None of none."""
        left = share * self.total
        for ms, count in sorted(self._took.items()):
            left -= count
            if left <= 0:
                return ms
        return None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdicts": self.total,
            "decisions": dict(sorted(self.decisions.items())),
            "whys": dict(sorted(self.whys.items())),
            "by_failsafe": self.by_failsafe,
            "late_scores": self.late,
            "p50_ms": self.took_ms(0.5),
            "p99_ms": self.took_ms(0.99),
            "most_after_deadline_ms": None if self._worst is None else round(self._worst / 1e6, 3),
        }


__all__ = ["Tally"]
