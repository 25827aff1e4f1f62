"""How long the forms take here: latencies to show, and processor times on one core to choose by."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.model_bytes import read_model
from edgead.runtime.session import Session
from edgead.types import Artifact, Exporter, Image, Precision, TimedElsewhere
from edgead.workbench.choose import processor_ms, remembered_ms
from edgead.workbench.form_report import FormReport

TIMED_RUNS, FEWEST_RUNS, TIMED_SECONDS = 15, 5, 1.5
"""How often latencies are taken: so often, unless it takes longer than that; but a few times in any case."""


def is_timed_elsewhere(exporter: Exporter) -> bool:
    """Whether this machine's times say nothing about the target's."""
    return isinstance(exporter, TimedElsewhere) and not exporter.timed_here


def timed(
    reports: Sequence[FormReport], sessions: Mapping[Precision, Session], image: Image
) -> list[FormReport]:
    """Median latencies, the forms in turn, so that a machine that slows down slows all of them."""
    times: dict[Precision, list[float]] = {form: [] for form in sessions}
    began = time.perf_counter()
    for turn in range(TIMED_RUNS):
        if turn >= FEWEST_RUNS and time.perf_counter() - began > TIMED_SECONDS:
            break
        for form, session in sessions.items():
            start = time.perf_counter()
            session(image[None])
            times[form].append(time.perf_counter() - start)
    return [
        dataclasses.replace(r, p50_ms=float(np.median(times[r.precision])) * 1e3)
        if r.precision in times
        else r
        for r in reports
    ]


def on_one_core(
    reports: Sequence[FormReport],
    artifacts: Mapping[Precision, Artifact],
    load: Mapping[Precision, Callable[[], onnx.ModelProto]],
    scratch: Path,
    image: Image,
    opened: Mapping[Precision, Session],
) -> list[FormReport]:
    """The processor times of the forms that pass; one alone needs no choice.

    Args:
        load: what reads each form's graph.
        opened: a session of each form, whose engine's version counts.
    """
    passing = [r.precision for r in reports if not r.misses]
    if len(passing) < 2:
        return list(reports)

    def measure() -> dict[Precision, float]:
        sessions = {}
        for form in passing:
            made = artifacts[form]
            model = read_model(scratch / form / made.model, made.files)
            options = EngineOptions(precision=made.engine_precision, threads=1)
            sessions[form] = open_as_honoured(model, made.engine, options)
        return processor_ms(sessions, image)

    loaded = {form: load[form]() for form in passing}
    first = opened[passing[0]]
    times = remembered_ms(loaded, f"{first.engine} {first.version}", measure)
    return [dataclasses.replace(r, cpu_ms=times.get(r.precision)) for r in reports]


__all__ = ["is_timed_elsewhere", "on_one_core", "timed"]
