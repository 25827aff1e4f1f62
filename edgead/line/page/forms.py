"""Verdicts as the page's scripts get them: just said, from the core, or long ago, from the record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgead.line.record import VerdictRow
from edgead.notices import Notice, recorded, say


def of_news(record: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict as the core tells of it; it has no number in the record yet."""
    times = record["times"]
    return {
        "id": None,
        **{name: record[name] for name in _SAME},
        "regions": [[*region["box"], region["area"], region["peak"]] for region in record["regions"]],
        "utc_ms": int(record["utc_ns"]) // 1_000_000,
        "times": _times(times["trigger"], times["grab"], times["judged"], times["sent"]),
        "kept": None,
    }


def of_row(row: VerdictRow) -> dict[str, Any]:
    """A verdict of the record."""
    return {
        "id": row.id,
        **{name: getattr(row, name) for name in _SAME},
        "regions": [[*region.box, region.area, region.peak] for region in row.regions],
        "utc_ms": row.utc_ns // 1_000_000,
        "times": _times(row.trigger_ns, row.grab_ns, row.judged_ns, row.said_ns),
        "kept": row.kept,
    }


def of_event(code: str, values: Mapping[str, Any]) -> str:
    """What the line said of itself, of the record: notices, and readiness and late scores beside them."""
    if code == "line-ready":
        return "the line is ready"
    if code == "line-not-ready":
        return f"the line isn't ready: {'; '.join(map(recorded, values.get('reasons', ())))}"
    if code == "line-late":
        by = f"{values.get('late_ms', math.nan):.1f} ms after its deadline"
        part, camera = values.get("part"), values.get("camera")
        return f"late: a score for part {part} of camera {camera}, {by}; it isn't sent"
    return say(Notice(code, values))


_SAME = (
    "run", "trigger", "part", "camera", "decision", "why", "score", "threshold", "bundle", "encoder",
    "frame_id",
)  # fmt: skip


def _times(trigger: int, grab: int | None, judged: int | None, said: int | None) -> dict[str, float | None]:
    """Milliseconds after the trigger."""
    after = {"image": grab, "judged": judged, "said": said}
    return {name: None if at is None else round((at - trigger) / 1e6, 1) for name, at in after.items()}


__all__ = ["of_event", "of_news", "of_row"]
