"""What ``edgead line`` prints: a line of text, or of JSON, for each thing that a line says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgead.cli.output import json_line
from edgead.line.events import Late, Ready
from edgead.line.records import record_of
from edgead.names import shown
from edgead.notices import count, say
from edgead.types import Verdict

if TYPE_CHECKING:
    from edgead.line.hearing import Told
    from edgead.line.looking import Looked


def as_text(told: Told) -> str:
    """One line for people."""
    if isinstance(told, Verdict):
        word = told.decision.upper()
        score = "" if told.score is None else f"  score {told.score:.4g}    threshold {told.threshold:.4g}"
        why = "" if told.why == "score" else f"  {told.why}"
        return shown(f"{word:7} {told.camera} {told.part}{score}{why}")
    if isinstance(told, Late):
        found = "an error" if told.scored is None else f"score {told.scored.score:.4g}"
        late = f"{told.late_ns / 1e6:.1f} ms after its deadline"
        return shown(f"late: {found} for part {told.part} of camera {told.camera}, {late}; it isn't sent")
    if isinstance(told, Ready):
        reasons = "; ".join(map(say, told.reasons))
        return shown(f"not ready: {reasons}") if reasons else "ready"
    return shown(f"note: {say(told)}")


def as_json(told: Told) -> str:
    """One line of JSON: ``verdict``, ``late``, ``ready`` or ``notice``."""
    return json_line(_record(told))


def _record(told: Told) -> dict[str, Any]:
    if isinstance(told, Verdict):
        return {"verdict": record_of(told)}
    if isinstance(told, Late):
        scored = told.scored
        values = {
            "trigger": told.trigger,
            "camera": told.camera,
            "part": told.part,
            "judge": told.judge,
            "late_ms": told.late_ns / 1e6,
            "score": None if scored is None else _finite(scored.score),
        }
        return {"late": values}
    if isinstance(told, Ready):
        return {"ready": told.ready, "reasons": [notice.record() for notice in told.reasons]}
    return {"notice": told.record()}


def _finite(score: float) -> float | None:
    return score if abs(score) < float("inf") else None


def seen(found: Sequence[Looked], all_told: bool) -> list[str]:
    """What sources see, a line for each camera; of those that can't tell only if ``all_told``."""
    lines = []
    for looked in found:
        if looked.error is not None:
            lines.append(str(looked.error))
        elif looked.cameras is None:
            lines += [f"{looked.source:8}  it can't tell which cameras are there"] if all_told else []
        elif not looked.cameras:
            lines.append(f"{looked.source:8}  no camera is there")
        for camera in looked.cameras or ():
            options = ", ".join(f"{key} = {json_line(value)}" for key, value in camera.options.items())
            about = ", ".join(f"{key} {text}" for key, text in camera.about.items())
            lines.append(f"{looked.source:8}  {camera.name}: options = {{ {options} }}  ({about})")
    return lines


def summary(tally: dict[str, Any]) -> str:
    """What was said in all, in a line."""
    whys = ", ".join(f"{number} {why}" for why, number in tally["whys"].items() if why != "score")
    decided = ", ".join(f"{number} {decision}" for decision, number in tally["decisions"].items()) or "none"
    told = f"{count(tally['verdicts'], 'verdict')}: {decided}; {tally['by_failsafe']} by the fail-safe"
    told += f" ({whys})" if whys else ""
    if tally["p50_ms"] is not None:
        told += f"; half within {tally['p50_ms'] + 1} ms of the trigger, 99 % within {tally['p99_ms'] + 1} ms"
    return told


__all__ = ["as_json", "as_text", "seen", "summary"]
