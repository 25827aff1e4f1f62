"""One parser against many damaged inputs: it takes them or raises edgead's own errors, in bounded time.

An input that it doesn't is made smaller, kept in ``crashes/`` and raised.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.mutations import damaged
from tests.fuzz.seeds import CRASHES, SEEDS, read
from tests.fuzz.targets import TARGETS, Target


class SlowError(AssertionError):
    """An input took too long."""


@dataclass
class Tally:
    """What became of the inputs so far.

    Attributes:
        inputs, refused: how many.
        slowest: processor time of one, in seconds.
    """

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0


def try_one(target: Target, data: bytes, tally: Tally | None = None) -> None:
    """Parse an input; raises what it mustn't raise, and SlowError."""
    tally = tally or Tally()
    tally.inputs += 1
    began = time.thread_time()
    try:
        target.parse(data)
    except target.refuses as error:
        tally.refused += 1
        message = str(error)
        assert "\n" not in message and len(message) < 4000, f"no line to print: {message[:200]!r}"
    took = time.thread_time() - began
    tally.slowest = max(tally.slowest, took)
    if took > target.seconds:
        raise SlowError(f"{took:.1f} s of processor time for {len(data)} bytes")


def seeds_of(name: str) -> list[bytes]:
    """What a target starts from, past crashes among them."""
    own = TARGETS[name].seeds or name
    return read(SEEDS / own) + read(CRASHES / name)


def examine(
    name: str, examples: int, *, fixed: bool = False, before: Callable[[bytes], object] = lambda data: None
) -> Tally:
    """Try so many damaged inputs.

    Args:
        fixed: the same ones each time.
        before: is given each input first, so that one that ends the process is known.
    """
    target, tally, last = TARGETS[name], Tally(), [b""]

    @settings(
        max_examples=examples,
        derandomize=fixed,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(damaged(seeds_of(name)))
    def check(data: bytes) -> None:
        last[0] = data
        before(data)
        try_one(target, data, tally)

    try:
        check()
    except Exception:
        if not fixed:
            keep(name, last[0])
        raise
    return tally


def keep(name: str, data: bytes) -> Path:
    """Put an input among the past crashes."""
    file = CRASHES / name / hashlib.sha256(data).hexdigest()[:16]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


__all__ = ["SlowError", "Tally", "examine", "keep", "seeds_of", "try_one"]
