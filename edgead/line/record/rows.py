"""What a record's reader gives, a row each; an audit's is in ``audit``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from edgead.types import Decision, Region


@dataclass(frozen=True)
class VerdictRow:
    """One verdict, as it was recorded: fields as in ``edgead.types.Verdict``.

    Attributes:
        id: the row's number, in the order of recording.
        trigger_ns, grab_ns, judged_ns, said_ns: times of the monotonic clock of that boot.
        utc_ns: when the trigger was, by the machine's clock then.
        kept: why its image was kept, or None where none was; the file itself may be gone since.
    """

    id: int
    run: str
    trigger: int
    part: str
    camera: str
    decision: Decision
    why: str
    score: float | None
    threshold: float | None
    bundle: str | None
    encoder: int | None
    frame_id: int | None
    trigger_ns: int
    grab_ns: int | None
    judged_ns: int | None
    said_ns: int | None
    utc_ns: int
    regions: tuple[Region, ...]
    kept: str | None


class ScoreRow(NamedTuple):
    """One score, for a look at what another threshold would do."""

    id: int
    score: float
    threshold: float
    decision: Decision
    bundle: str | None


@dataclass(frozen=True)
class FeedbackRow:
    """What an operator filed; fields as ``filing.file_feedback`` has them, and ``state`` filed or taught."""

    id: int
    verdict: int
    kind: str
    user: str
    reason: str
    utc_ns: int
    state: str


@dataclass(frozen=True)
class EventRow:
    """What the line said of itself: a notice's code and values."""

    id: int
    utc_ns: int
    code: str
    values: dict[str, Any]


__all__ = ["EventRow", "FeedbackRow", "ScoreRow", "VerdictRow"]
