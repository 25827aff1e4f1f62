"""Which of several bundles of one fitted model is slower only for the engine that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgead.manifest import Manifest
from edgead.notices import Notice

CLEARLY = 1.1
"""How many times as fast the other has to be; what is within it counts as equally fast."""
FEWEST_FRAMES = 20
"""With fewer frames timed of each, nothing is said: a median of a handful wanders further than that."""


@dataclass(frozen=True)
class Timed:
    """A bundle and what it took.

    Attributes:
        name: what to call it.
        manifest: its manifest.
        engine: what ran it.
        p50_ms: median latency, milliseconds, in turns with the others.
        frames: how many were timed.
    """

    name: str
    manifest: Manifest
    engine: str
    p50_ms: float
    frames: int


def slower_for_their_engine(timed: Sequence[Timed]) -> list[Notice]:
    """Name each bundle's fastest twin on another engine, where that's clearly faster.

    Twins were exported from the same fitted bundle in the same form; what else differs is the engine.
    """
    found = []
    for mine in timed:
        twins = [
            other
            for other in timed
            if other.engine != mine.engine
            and _made_of(other) == _made_of(mine) is not None
            and min(other.frames, mine.frames) >= FEWEST_FRAMES
            and other.p50_ms * CLEARLY < mine.p50_ms
        ]
        if twins:
            best = min(twins, key=lambda other: other.p50_ms)
            values = {"bundle": mine.name, "other": best.name, "times": mine.p50_ms / best.p50_ms}
            found.append(Notice("bundle-faster", values))
    return found


def _made_of(one: Timed) -> tuple[Any, ...] | None:
    """The fitted model and the form; None where the manifest, a stranger's perhaps, doesn't say."""
    parent = one.manifest.provenance.get("parent")
    digest = parent.get("model_sha256") if isinstance(parent, dict) else None
    return None if not isinstance(digest, str) else (digest, one.manifest.precision, one.manifest.input.size)


__all__ = ["Timed", "slower_for_their_engine"]
