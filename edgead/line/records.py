"""Verdicts as JSON values, to another process and back, and as a file or a web server gets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgead.types import Region, Times, Verdict


def record_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values, in the fields' order."""
    return {
        "run": verdict.run,
        "trigger": verdict.trigger,
        "part": verdict.part,
        "camera": verdict.camera,
        "decision": verdict.decision,
        "why": verdict.why,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "regions": [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in verdict.regions],
        "bundle": verdict.bundle,
        "times": {
            "trigger": verdict.times.trigger,
            "grab": verdict.times.grab,
            "judged": verdict.times.judged,
            "sent": verdict.times.sent,
        },
        "encoder": verdict.encoder,
        "frame_id": verdict.frame_id,
    }


def verdict_of(record: Mapping[str, Any]) -> Verdict:
    """The verdict of such a record."""
    regions = tuple(Region(_box(r["box"]), r["area"], r["peak"]) for r in record["regions"])
    return Verdict(**{**record, "regions": regions, "times": Times(**record["times"])})


def _box(values: list[int]) -> tuple[int, int, int, int]:
    x, y, width, height = values
    return x, y, width, height


__all__ = ["record_of", "verdict_of"]
