"""What the tests of sinks share: verdicts, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edgead.types import Region, Times, Verdict

RUN = "89abcdef01234567"


def accept(trigger: int, part: str = "", **fields: Any) -> Verdict:
    """An accept of now, by a score."""
    now = time.monotonic_ns()
    times = Times(now - 30_000_000, now - 20_000_000, now - 5_000_000, now)
    made: dict[str, Any] = {
        "run": RUN, "trigger": trigger, "part": part or str(trigger), "camera": "top", "decision": "accept",
        "why": "score", "score": 1.25, "threshold": 2.5, "regions": (), "bundle": "ab" * 32, "times": times,
    }  # fmt: skip
    return Verdict(**{**made, **fields})


def reject(trigger: int, part: str = "", **fields: Any) -> Verdict:
    """The fail-safe's, of now."""
    now = time.monotonic_ns()
    times = Times(now - 30_000_000, sent=now)
    made = {"decision": "reject", "why": "deadline", "score": None, "threshold": None, "times": times}
    return accept(trigger, part, **{**made, **fields})


def until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something to be true, and return it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
    return found


REGION = Region((1, 2, 3, 4), 12, 5.0)

__all__ = ["REGION", "RUN", "accept", "reject", "until"]
