"""Lines without drift, and with: what ``edgead.Drift`` is given, frame by frame, and a bundle for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgead.bundle import Bundle, read_bundle, write_bundle
from edgead.device.drift import Look
from edgead.held_out import HeldOut, write_held_out

GOLDEN = Path(__file__).parent / "golden" / "v2.edgead"
HELD_OUT = [float(5 + 0.3 * z) for z in np.random.default_rng(6).standard_normal(60)]
NORMAL_LOOK = Look(120.0, 30.0, 9.0)


def bundle_with(path: Path, held_out: Sequence[float] | None, model: bytes = b"model") -> Bundle:
    """A bundle with these held-out scores; its model is no model, and nobody runs it."""
    manifest = replace(read_bundle(GOLDEN).manifest, probes=(), held_out=None, files=(), model="model.onnx")
    with write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(model)
        if held_out is not None:
            scores = np.array(held_out, np.float32)
            manifest = replace(manifest, held_out=write_held_out(staging.folder, HeldOut(scores, scores)))
        staging.finish(manifest)
    return read_bundle(path)


def walk(rng: np.random.Generator, a: float, length: int) -> np.ndarray:
    """A first-order autoregression of mean 0 and spread 1."""
    found = rng.standard_normal(length)
    for t in range(1, length if a else 0):
        found[t] = a * found[t - 1] + (1 - a * a) ** 0.5 * found[t]
    return found


def line(
    frames: int,
    a: float = 0.0,
    seed: int = 0,
    score: Callable[[float], float] = float,
    level: float = 1.0,
    contrast: float = 1.0,
    sharpness: float = 1.0,
    latency: float = 1.0,
    missing: float = 0.0,
) -> Iterator[tuple[float | None, Look, float]]:
    """Score, look and seconds of each frame, all of them autocorrelated alike; the rest is the drift."""
    rng = np.random.default_rng(seed)
    scores, levels, contrasts, details, times = (walk(rng, a, frames) for _ in range(5))
    lost = rng.random(frames) < missing
    bright = NORMAL_LOOK.level * level * np.exp(0.03 * levels)
    deviation = bright * 0.25 * contrast * np.exp(0.05 * contrasts)
    detail = deviation * 0.3 * sharpness * np.exp(0.05 * details)
    seconds = 0.03 * latency * np.exp(0.05 * times)
    columns = (5 + 0.3 * scores, bright, deviation, detail, seconds, lost)
    for value, *look, took, is_lost in np.stack(columns, 1).tolist():
        yield None if is_lost else score(value), Look(*look), took
