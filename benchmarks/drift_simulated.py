"""Drift and usual tests on simulated scores; ``drift.py --simulated`` runs it.

The scores are a first-order autoregression (AR): ``x[t] = a x[t-1] + noise``, of one spread, as they are or
made skew by ``exp``. Beside Drift, usual tests get the same scores, with the first 5,000 as their reference:
Kolmogorov-Smirnov on windows of 500 at p < 0.001, PSI over 0.2 in ten bins on the same windows, ADWIN (Bifet
and Gavalda 2007) at its usual delta of 0.002, and Page-Hinkley at its usual threshold.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from edgead.device.drift.look import Look, look_at
from edgead.device.drift.watch import Setting, Watch

PLAIN = Setting(500, 10)
WITHIN = 1000


def walks(rng: np.random.Generator, a: float, length: int, count: int) -> np.ndarray:
    """(length, count) float32: autoregressions of mean 0 and spread 1."""
    noise = rng.standard_normal((length, count), np.float32) * np.float32((1 - a * a) ** 0.5)
    noise[0] = rng.standard_normal(count)
    for t in range(1, length if a else 0):
        noise[t] += np.float32(a) * noise[t - 1]
    return noise


def simulated(frames: int) -> None:
    """Print false alarms and finds of Drift and of usual tests, a row each."""
    length, warm = 50_000, 5_000
    count = max(frames // length, 1)
    print("| scores | test | false alarms per 100,000 | +0.5 spreads found in 1,000 | +1 | +2 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for a, skew in ((0.0, False), (0.9, False), (0.9, True), (0.99, False), (0.99, True)):
        rng = np.random.default_rng(7)
        plain = walks(rng, a, length, count)
        law: Callable[[np.ndarray], np.ndarray] = (lambda x: np.exp(0.8 * x)) if skew else (lambda x: x)
        for name, test in TESTS.items():
            alarms = sum(len(test(law(plain[:, i]))) for i in range(count))
            row = (
                f"| AR {a}{', skew' if skew else ''} | {name} | {alarms / count / (length - warm) * 1e5:.2f}"
            )
            for shift in (0.5, 1.0, 2.0):
                found = 0
                for i in range(min(count, 20)):
                    at = 25_000 + 137 * i
                    moved = plain[: at + WITHIN, i].copy()
                    moved[at:] += shift
                    found += any(at < t <= at + WITHIN for t in test(law(moved)))
                row += f" | {found / min(count, 20):.0%}"
            print(f"{row} |", flush=True)


def cost() -> None:
    """Print what an update and a look at a frame take, medians of a hundred."""
    watch, look = Watch(), Look(120.0, 30.0, 9.0)
    rounds = []
    for _ in range(100):
        began = time.perf_counter()
        for i in range(500):
            watch.take(5.0 + i % 7, look, 0.03, PLAIN)
        rounds.append((time.perf_counter() - began) / 500)
    print(f"\nan update: {statistics.median(rounds) * 1e6:.0f} us")
    rng = np.random.default_rng(0)
    for shape in ((512, 512, 3), (2048, 2048, 3), (2048, 2048)):
        frames = [rng.integers(0, 256, shape, np.uint8) for _ in range(20)]
        took = []
        for i in range(100):
            began = time.perf_counter()
            look_at(frames[i % 20], (256, 256))
            took.append(time.perf_counter() - began)
        print(f"a look at {' x '.join(map(str, shape))}: {statistics.median(took) * 1e6:.0f} us")


def drift(scores: np.ndarray) -> list[int]:
    """The frames at which Drift says that something changed."""
    watch = Watch()
    return [t for t, s in enumerate(scores.tolist(), 1) if watch.take(s, None, None, PLAIN)]


def kolmogorov_smirnov(scores: np.ndarray) -> list[int]:
    known = np.sort(scores[:5000])
    limit = 1.95 * (1 / 500 + 1 / 5000) ** 0.5  # p = 0.001

    def far(window: np.ndarray) -> bool:
        window = np.sort(window)
        under = np.searchsorted(known, window, "right") / 5000
        steps = np.arange(500) / 500
        return bool(max((under - steps).max(), (steps + 1 / 500 - under).max()) > limit)

    return _edges(scores, far)


def population_stability(scores: np.ndarray) -> list[int]:
    bins = np.quantile(scores[:5000], np.linspace(0, 1, 11)[1:-1])

    def far(window: np.ndarray) -> bool:
        share = np.maximum(np.bincount(np.searchsorted(bins, window), minlength=10) / 500, 1e-4)
        return bool(((share - 0.1) * np.log(share / 0.1)).sum() > 0.2)

    return _edges(scores, far)


def _edges(scores: np.ndarray, far: Callable[[np.ndarray], bool]) -> list[int]:
    """The ends of windows of 500 that are far, where the one before wasn't."""
    found, before = [], False
    for end in range(5500, len(scores) + 1, 500):
        now = far(scores[end - 500 : end])
        if now and not before:
            found.append(end)
        before = now
    return found


def adwin(scores: np.ndarray) -> list[int]:
    """With 32 frames to the smallest bucket and at most five of a size; what it says from 5,000 on counts."""
    low, high = scores[:5000].min(), scores[:5000].max()
    values = np.clip((scores - low) / (high - low), -1, 2)
    buckets: list[tuple[int, float]] = []  # frames and sum, the newest last
    found = []
    for end in range(32, len(values) + 1, 32):
        buckets.append((32, float(values[end - 32 : end].sum())))
        size = 32
        while len(same := [i for i, bucket in enumerate(buckets) if bucket[0] == size]) > 5:
            i = same[0]
            buckets[i : i + 2] = [(2 * size, buckets[i][1] + buckets[i + 1][1])]
            size *= 2
        n, total = sum(b[0] for b in buckets), sum(b[1] for b in buckets)
        variance = float(np.var(values[end - n : end]))
        n0, s0, cut = 0, 0.0, 0
        for i, (frames, value) in enumerate(buckets[:-1]):
            n0, s0 = n0 + frames, s0 + value
            m = 1 / n0 + 1 / (n - n0)
            d = np.log(2 * np.log(n) / 0.002)
            if abs(s0 / n0 - (total - s0) / (n - n0)) > (2 * m * variance * d) ** 0.5 + 2 / 3 * m * d:
                cut = i + 1
        if cut:
            del buckets[:cut]
            if end > 5000:
                found.append(end)
    return found


def page_hinkley(scores: np.ndarray) -> list[int]:
    """In spreads of the first 5,000: a threshold of 50, and 0.005 of slack a frame, as is usual."""
    values = ((scores - scores[:5000].mean()) / scores[:5000].std()).tolist()
    found, up, down, mean, n = [], 0.0, 0.0, 0.0, 0
    for t, value in enumerate(values, 1):
        n += 1
        mean += (value - mean) / n
        up, down = max(up + value - mean - 0.005, 0), max(down - value + mean - 0.005, 0)
        if max(up, down) > 50:
            up, down, mean, n = 0.0, 0.0, 0.0, 0
            if t > 5000:
                found.append(t)
    return found


TESTS = {
    "Drift": drift,
    "KS": kolmogorov_smirnov,
    "PSI": population_stability,
    "ADWIN": adwin,
    "Page-Hinkley": page_hinkley,
}
