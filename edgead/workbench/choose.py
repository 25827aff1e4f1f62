"""Which form ships: the fastest that passes its gates, and of those as fast as each other the most exact.

Latency on a busy machine says more about the other work than about the forms. So what's compared is the
processor's time for one image on one core, which other work hardly touches. It still wanders by a percent, so
what was measured of graphs of the same shapes is remembered: the same export takes the same form again.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnx

from edgead.cache import remembered
from edgead.plugins import registry
from edgead.processor import cpu
from edgead.runtime.session import Session
from edgead.types import PRECISIONS, Image, Precision

Name = TypeVar("Name", bound=str)

SAME_SPEED = 1.1
"""Forms within this factor of the fastest count as equally fast."""
RUNS, FEWEST_RUNS, SECONDS = 40, 7, 2.0
"""How often each form is run; fewer where all take longer than that together, but a few in any case."""


def processor_ms(
    sessions: Mapping[Name, Session], image: Image, seconds: float = SECONDS
) -> dict[Name, float]:
    """Median processor time of one image, milliseconds, the forms in turn.

    Args:
        sessions: of one thread each, by form or another name.
        image: (H, W, 3) uint8.
        seconds: processor time that all runs may take, but for the fewest.
    """
    times: dict[Name, list[float]] = {form: [] for form in sessions}
    for session in sessions.values():
        session(image[None])
    began = time.process_time()
    for turn in range(RUNS):
        if turn >= FEWEST_RUNS and time.process_time() - began > seconds:
            break
        for form, session in sessions.items():
            start = time.process_time()
            session(image[None])
            times[form].append(time.process_time() - start)
    return {form: float(np.median(found)) * 1e3 for form, found in times.items()}


def remembered_ms(
    graphs: Mapping[Name, onnx.ModelProto], engine: str, measure: Callable[[], dict[Name, float]]
) -> dict[Name, float]:
    """What was measured of such graphs on this machine, or else what ``measure`` yields now.

    Args:
        graphs: the forms that compete, by name; their weights don't count, only operators and shapes.
        engine: what runs them, with its version. Every exporter's version counts as well.
        measure: as ``processor_ms`` yields.
    """
    shapes = [f"{form} {_structure(graph)}" for form, graph in sorted(graphs.items())]
    makers = sorted({f"{one.distribution} {one.version}" for one in registry().entries("exporters")})
    entry = remembered("speeds", [engine, cpu().identity, *makers, *shapes])
    try:
        content = entry.read()
        found = json.loads(content.tobytes()) if content is not None else {}
        if found.keys() == graphs.keys() and all(0 < float(ms) < math.inf for ms in found.values()):
            return {form: float(found[form]) for form in graphs}
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    measured = measure()
    entry.write(json.dumps(measured).encode())
    return measured


def _structure(graph: onnx.ModelProto) -> str:
    """A hash of what decides how long a graph takes: operators, attributes, and the shapes of weights."""
    digest = hashlib.sha256()
    for node in graph.graph.node:
        digest.update(node.op_type.encode())
        for attribute in node.attribute:
            digest.update(attribute.SerializeToString(deterministic=True))
    for value in graph.graph.initializer:
        digest.update(f"{value.data_type} {list(value.dims)}".encode())
    for value in graph.graph.input:
        digest.update(value.type.SerializeToString(deterministic=True))
    return digest.hexdigest()


def choose(passing: Sequence[Precision], cpu_ms: Mapping[Precision, float]) -> Precision:
    """The form to ship.

    Args:
        passing: the forms that pass their gates, at least one, in the target's order.
        cpu_ms: their processor times; empty where this machine's say nothing of the target's: then the first.
    """
    if not cpu_ms:
        return passing[0]
    fastest = min(cpu_ms[form] for form in passing)
    return max((f for f in passing if cpu_ms[f] <= fastest * SAME_SPEED), key=PRECISIONS.index)


__all__ = ["SAME_SPEED", "choose", "processor_ms", "remembered_ms"]
