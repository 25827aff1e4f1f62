"""Latency and throughput of bundles, side by side in one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, repeat

import numpy as np

from edgead.runtime.detector import Detector
from edgead.types import Image, Progress

BLOCK = 10
"""Frames that a detector runs before it's the next one's turn."""


@dataclass(frozen=True)
class Latency:
    """What one detector took, frame to prediction, resizing included.

    Attributes:
        p50_ms, p95_ms, p99_ms, max_ms: quantiles over the frames, one at a time.
        frames_per_second: of ``Detector.map`` with several frames under way, loaded for throughput.
        frames: how many were timed.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    frames_per_second: float
    frames: int


def bench(detectors: Sequence[Detector], frames: int, progress: Progress) -> list[Latency]:
    """Time detectors on noise frames of each one's input size, or of its region of interest's.

    The detectors take turns in blocks, so that a machine that slows down slows all of them, and each block
    starts with a frame that isn't counted, so that none pays for the other's cache.
    """
    images = _noise(detectors)
    times: list[list[float]] = [[] for _ in detectors]
    with progress("timing", frames) as advance:
        for done in range(0, frames, BLOCK):
            count = min(BLOCK, frames - done)
            for detector, image, mine in zip(detectors, images, times, strict=True):
                detector(image)
                for _ in range(count):
                    start = time.perf_counter()
                    detector(image)
                    mine.append(time.perf_counter() - start)
            advance(count)
    rates = [_throughput(d, i, frames) for d, i in zip(detectors, images, strict=True)]
    return [_summary(t, rate) for t, rate in zip(times, rates, strict=True)]


def processor_ms(detector: Detector, frames: int) -> float:
    """Median processor time of a frame, milliseconds: other work on the machine hardly touches it.

    Args:
        detector: loaded with one thread; it judges a noise frame of its input size.
    """
    image = _noise([detector])[0]
    detector(image)
    times = []
    for _ in range(frames):
        start = time.process_time()
        detector(image)
        times.append(time.process_time() - start)
    return float(np.median(times)) * 1e3


def _noise(detectors: Sequence[Detector]) -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*d.rule.plain_size, 3), np.uint8) for d in detectors]


def _throughput(detector: Detector, image: Image, frames: int) -> float:
    busy = detector.with_throughput()
    start = time.perf_counter()
    done = sum(1 for _ in busy.map(islice(repeat(image), frames)))
    return done / (time.perf_counter() - start)


def _summary(seconds: Sequence[float], rate: float) -> Latency:
    ms = np.array(seconds) * 1e3
    p50, p95, p99 = np.percentile(ms, [50, 95, 99])
    return Latency(float(p50), float(p95), float(p99), float(ms.max()), rate, len(ms))
