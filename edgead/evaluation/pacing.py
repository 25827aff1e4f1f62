"""Latency at a camera's pace: frames come at a fixed rate, whether the last one is judged or not.

A loop that runs as fast as it can hides what a line sees: the processor that sleeps between frames, the timer
that wakes late, the frame that waits for the one before it. Here each frame is due at a time, and its
latency counts from then on.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgead.evaluation.memory import resident
from edgead.runtime.detector import Detector
from edgead.types import Progress

SETTLED = 0.1
"""Share of the frames after which the process should have all the memory that it needs."""


@dataclass(frozen=True)
class Pace:
    """What a detector made of frames at a fixed rate.

    Attributes:
        rate: frames a second that came.
        frames: how many came.
        p50_ms, p99_ms, max_ms: from the moment that a frame was due to its prediction.
        busy_p50_ms, busy_p99_ms: of that, the detector's own time.
        missed: frames that weren't judged when the next one was due.
        growth_bytes: resident memory at the end beyond that after the first tenth.
    """

    rate: float
    frames: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    busy_p50_ms: float
    busy_p99_ms: float
    missed: int
    growth_bytes: int


def pace(
    detector: Detector,
    rate: float,
    frames: int,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Pace:
    """Judge noise frames at a fixed rate, each due at its time; a late one doesn't shift the next.

    Args:
        rate: frames a second, above 0.
        frames: at least 1.
    """
    image = np.random.default_rng(0).integers(0, 256, (*detector.rule.plain_size, 3), np.uint8)
    latency, busy = np.empty(frames), np.empty(frames)
    period, memory = 1 / rate, 0
    gc.collect()
    with progress(f"{rate:g} frames a second", frames) as advance:
        start = clock() + period
        for i in range(frames):
            due = start + i * period
            if (wait := due - clock()) > 0:
                sleep(wait)
            began = clock()
            detector(image)
            done = clock()
            latency[i], busy[i] = done - due, done - began
            if i == int(frames * SETTLED):
                memory = resident()
            advance(1)
    p50, p99 = np.percentile(latency, [50, 99]) * 1e3
    busy_p50, busy_p99 = np.percentile(busy, [50, 99]) * 1e3
    return Pace(
        rate=rate,
        frames=frames,
        p50_ms=float(p50),
        p99_ms=float(p99),
        max_ms=float(latency.max() * 1e3),
        busy_p50_ms=float(busy_p50),
        busy_p99_ms=float(busy_p99),
        missed=int((latency > period).sum()),
        growth_bytes=resident() - memory,
    )
