"""The recorder, as the line's own process sees it: rows that it hasn't acknowledged, and images lent to it.

Nothing here waits, and nothing is written: where there's no recorder, rows wait in memory, as many as go in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from edgead.line.backlog import Backlog
from edgead.line.channel import Message
from edgead.line.events import Free, Late, Ready, Say
from edgead.line.lending import Lending
from edgead.line.log_table import Log
from edgead.line.processes import Child
from edgead.line.records import record_of
from edgead.notices import Notice
from edgead.types import Verdict

TOLD = 10.0
"""Seconds at least between two words on what is lost."""
MOST_EVENT = 100_000
"""Characters of a notice's values in a row."""


class Recording:
    """Hands the recorder what it's to record.

    Args:
        child: the recorder's process.
        log: the line's table.
        give_back: takes camera and slot that nobody needs any more.
    """

    def __init__(self, child: Child, log: Log, give_back: Callable[[str, int], None]) -> None:
        self._child, self._give_back = child, give_back
        self.backlog = Backlog()
        self.lending = Lending(log)
        self._dropped_there = 0
        self._why = ""
        self._told: dict[str, tuple[float, int]] = {}
        self._notices: list[Notice] = []

    @property
    def idle(self) -> bool:
        """Whether all that was handed on is recorded, or there's nobody who could."""
        return not self._child.up or (len(self.backlog) == 0 and self.lending.idle)

    @property
    def lost(self) -> dict[str, int]:
        """What wasn't recorded so far: rows for which there was no room, and images."""
        return {"rows": self.backlog.lost, "images": self.lending.dropped + self._dropped_there}

    # ------------------------------------------------------------ from the line

    def hear(self, told: Verdict | Late | Ready | Notice) -> None:
        """What the line says of itself, and each verdict: rows."""
        now = time.time_ns()
        if isinstance(told, Verdict):
            self._add({"verdict": record_of(told), "utc_ns": _utc_of(told)})
        elif isinstance(told, Notice):
            self._add(_event(told.code, dict(told.values), now))
        elif isinstance(told, Ready):
            reasons = [notice.record() for notice in told.reasons]
            self._add(_event("line-not-ready" if reasons else "line-ready", {"reasons": reasons}, now))
        else:
            score = None if told.scored is None else told.scored.score
            values = {"trigger": told.trigger, "camera": told.camera, "part": told.part, "judge": told.judge,
                      "late_ms": told.late_ns / 1e6, "score": score}  # fmt: skip
            self._add(_event("line-late", values, now))

    def said(self, say: Say) -> None:
        """A verdict was said."""
        self.lending.said(say, _utc_of(say.verdict), time.monotonic_ns())

    def lend(self, free: Free) -> bool:
        """Nobody judges a slot's image any more; whether the recorder has it now."""
        message = self.lending.take(free.camera, free.slot)
        if message is None:
            return False
        self._send_rows()  # its own row first
        if self._child.up and self._child.send(message):
            return True
        self.lending.refused(message)
        return False

    def keep(self, camera: str, run: str, trigger: int) -> None:
        """Somebody files a verdict whose image the recorder may still hold."""
        self._send_rows()
        if self._child.up:
            self._child.send({"is": "keep", "camera": camera, "run": run, "trigger": trigger})

    def turn(self, now: float) -> list[Notice]:
        """Send what waits; what is to be said of it."""
        self._send_rows()
        lost = self.lost
        if self._is_due("rows", lost["rows"], now):
            values = {"rows": lost["rows"], "why": "there was no room, or the recorder refused them"}
            self._notices.append(Notice("line-record-lost", values))
        if self._is_due("images", lost["images"], now):
            why = self._why or "more come than the recorder can take, or it's away"
            values = {"images": lost["images"], "why": why}
            self._notices.append(Notice("line-record-images-dropped", values))
        found, self._notices = self._notices, []
        return found

    def ended(self) -> list[Notice]:
        """What is to be said at the line's end."""
        rows = len(self.backlog) + self.backlog.lost
        return [Notice("line-record-unsaved", {"rows": rows})] if rows else []

    # ------------------------------------------------------------ from the recorder

    def message(self, message: Message) -> bool:
        """What the recorder says; False where it's nothing that it could say."""
        what = message["is"]
        if what == "free":
            if not self.lending.back(message["camera"], message["slot"]):
                return False
            self._give_back(message["camera"], message["slot"])
        elif what == "done":
            self.backlog.done(int(message["number"]))
            self._send_rows()
        elif what == "made":
            self._child.works(time.monotonic())
            self._send_rows()
        elif what == "dropped":
            self._dropped_there += int(message["images"])
            self._why = str(message["why"])[:500]
        elif what == "lost":
            self.backlog.lost += int(message["rows"])
        elif what == "said" and str(message["code"]).startswith("line-record-"):
            self._notices.append(Notice(str(message["code"])[:100], dict(message["values"])))
        else:
            return bool(what == "alive")
        return True

    def gone(self) -> None:
        """The recorder's process has ended: nobody reads its slots any more, and rows are sent again."""
        self.backlog.again()
        for camera, slot in self.lending.all_back():
            self._give_back(camera, slot)

    # ------------------------------------------------------------ how

    def _is_due(self, what: str, count: int, now: float) -> bool:
        """Whether it's to be said that more is lost."""
        at, before = self._told.get(what, (-TOLD, 0))
        if count <= before or now - at < TOLD:
            return False
        self._told[what] = now, count
        return True

    def _add(self, row: dict[str, Any]) -> None:
        self.backlog.add(json.dumps(row, separators=(",", ":")))
        self._send_rows()

    def _send_rows(self) -> None:
        while self._child.up and (row := self.backlog.next()) is not None:
            if not self._child.send({"is": "row", "number": row[0], "row": row[1]}):
                channel = self._child.channel
                if channel is not None and not channel.closed and not channel.has_more:
                    self.backlog.give_up()  # nothing else is in its way: it's too large
                    continue
                return
            self.backlog.sent()


def _utc_of(verdict: Verdict) -> int:
    """When a verdict's trigger was by the clock on the wall, which is for the log alone."""
    return time.time_ns() - (time.monotonic_ns() - verdict.times.trigger)


def _event(code: str, values: dict[str, Any], utc_ns: int) -> dict[str, Any]:
    text = json.dumps(values, default=str)
    return {"code": code, "values": values if len(text) <= MOST_EVENT else {}, "utc_ns": utc_ns}


__all__ = ["Recording"]
