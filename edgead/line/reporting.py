"""What the line's page is told: each verdict, each notice, and once a second how all of it is.

It's told only what it takes at once: a page that is slow, stopped or gone costs the line nothing, and hears
the next status.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from edgead.line.channel import Message
from edgead.line.crew import Crew
from edgead.line.events import Late, Ready
from edgead.line.hearing import Told
from edgead.line.records import record_of
from edgead.line.tally import Tally
from edgead.notices import say
from edgead.types import Verdict

EVERY = 1.0
"""Seconds between two statuses; one comes at once where readiness changes."""
MOST_TEXT = 500


class Reporting:
    """Tells the page, where the line has one.

    Args:
        crew, tally: the line's.

    Attributes:
        dropped: verdicts and notices that the page didn't take.
    """

    def __init__(self, crew: Crew, tally: Tally) -> None:
        self._crew, self._tally = crew, tally
        self.dropped = 0
        self._due = 0.0
        self._ready, self._reasons = False, ["the line is starting"]
        self._ended: Counter[str] = Counter()
        self._why: dict[str, str] = {}
        self._health: dict[str, dict[str, Any]] = {}

    def beside(self, told: Callable[[Told], None]) -> Callable[[Told], None]:
        """What hears all that the line says of itself, and hands it on."""
        if self._crew.page is None:
            return told

        def tell(what: Told) -> None:
            told(what)
            self._hear(what)

        return tell

    def turn(self, now: float, run: str) -> None:
        """Called often; ``now`` in seconds."""
        page = self._crew.page
        if page is not None and page.up and now >= self._due:
            self._due = now + EVERY
            self._send(self._status(run))

    def _hear(self, what: Told) -> None:
        if isinstance(what, Verdict):
            self._offer(lambda: {"is": "verdict", "verdict": record_of(what)})
        elif isinstance(what, Ready):
            self._ready, self._reasons, self._due = what.ready, [_text(r) for r in what.reasons], 0.0
        elif not isinstance(what, Late):
            if what.code == "line-process-gone":
                self._ended[what.values["process"]] += 1
                self._why[what.values["process"]] = str(what.values["why"])[:MOST_TEXT]
            elif what.code in ("line-sink-ill", "line-sink-well"):
                name, detail = what.values["sink"], str(what.values["detail"])[:MOST_TEXT]
                self._health[name] = {"ok": what.code == "line-sink-well", "detail": detail}
            self._offer(lambda: {"is": "notice", "code": what.code, "text": _text(what)})

    def _offer(self, make: Callable[[], Message]) -> None:
        page = self._crew.page
        if page is not None and page.up and not self._send(make()):
            self.dropped += 1

    def _send(self, message: Message) -> bool:
        page = self._crew.page
        if page is None or page.channel is None or page.channel.has_more:  # it doesn't keep up
            return False
        return page.send(message)

    def _status(self, run: str) -> Message:
        crew = self._crew
        return {
            "is": "status",
            "run": run,
            "ready": self._ready,
            "reasons": self._reasons,
            "tally": self._tally.record(),
            "dropped": self.dropped,
            "utc_ns": time.time_ns(),
            "at_ns": time.monotonic_ns(),
            "processes": [
                {
                    "kind": child.kind,
                    "name": child.name,
                    "up": child.up,
                    "ended": self._ended[child.label],
                    "why": self._why.get(child.label, ""),
                }
                for child in crew.children.all
            ],
            "record": None if crew.recording is None else crew.recording.lost,
            "cameras": {name: lens.is_open for name, lens in crew.lenses.items()},
            "sinks": {
                name: {
                    "role": outlet.role,
                    "up": outlet.up,
                    "given": outlet.given,
                    "missed": outlet.missed,
                    **self._health.get(name, {"ok": True, "detail": ""}),
                }
                for name, outlet in crew.outlets.items()
            },
        }


def _text(notice: Any) -> str:
    return say(notice)[:MOST_TEXT]


__all__ = ["Reporting"]
