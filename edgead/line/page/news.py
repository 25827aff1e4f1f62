"""What the core has said so far: the last verdicts of each camera, the last status, the last notices.

All of it is bounded, and nothing is taken for granted: a field that isn't as expected is shown as absent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from edgead.line.channel import Message

SCORES = 1000
"""Scores of each camera that are kept for the trend and the preview."""
REJECTS = 60
NOTICES = 200
SILENT = 5.0
"""Seconds without a status after which the line isn't taken to go on."""

Record = dict[str, Any]


@dataclass
class CameraNews:
    """What is known of one camera.

    Attributes:
        last: its last verdict, as ``record_of`` has it, with ``utc_ns``.
        scores: (score, threshold, decision) of the last verdicts that have a score, the newest last.
        counts: verdicts since the page started, by why.
    """

    last: Record | None = None
    scores: deque[tuple[float, float, str]] = field(default_factory=lambda: deque(maxlen=SCORES))
    counts: dict[str, int] = field(default_factory=dict)


class News:
    """Hears the core.

    Args:
        cameras: their names.

    Attributes:
        cameras: by name.
        rejects: the last verdicts that reject, the newest last, of all cameras.
        notices: what the line said of itself, the newest last: utc_ns, code, text.
        status: the last one; None before the first.
        verdicts: how many were heard.
        rejected: how many of them reject.
    """

    def __init__(self, cameras: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.cameras = {name: CameraNews() for name in cameras}
        self.rejects: deque[Record] = deque(maxlen=REJECTS)
        self.notices: deque[Record] = deque(maxlen=NOTICES)
        self.status: Record | None = None
        self.verdicts = self.rejected = 0
        self._clock = clock
        self._heard = 0.0

    def hear(self, message: Message) -> None:
        """One message of the core's."""
        what = message.get("is")
        if what == "verdict":
            self._verdict(dict(message["verdict"]))
        elif what == "status":
            self.status, self._heard = dict(message), self._clock()
        elif what == "notice":
            at = time.time_ns()
            self.notices.append({"utc_ns": at, "code": message["code"], "text": message["text"]})

    def _verdict(self, record: Record) -> None:
        camera = self.cameras.get(record["camera"])
        if camera is None:
            return
        # By how long ago the trigger was: the two clocks are read together.
        record["utc_ns"] = time.time_ns() - (time.monotonic_ns() - int(record["times"]["trigger"]))
        camera.last = record
        camera.counts[record["why"]] = camera.counts.get(record["why"], 0) + 1
        self.verdicts += 1
        if record["score"] is not None and record["threshold"] is not None:
            camera.scores.append((float(record["score"]), float(record["threshold"]), record["decision"]))
        if record["decision"] == "reject":
            self.rejected += 1
            self.rejects.append(record)

    @property
    def is_fresh(self) -> bool:
        """Whether the core goes on telling how it is."""
        return self.status is not None and self._clock() - self._heard < SILENT

    @property
    def reasons(self) -> list[str]:
        """Why the line isn't ready; none where it is."""
        if self.status is None:
            return ["the line is starting"]
        if not self.is_fresh:
            return ["nothing is heard of the line's own process: look whether it runs"]
        if self.status.get("ready"):
            return []
        return [str(reason) for reason in self.status.get("reasons", ())] or ["the line isn't ready"]


__all__ = ["SCORES", "CameraNews", "News"]
