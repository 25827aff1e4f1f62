"""A sink: a process that hands each verdict to one sink, and tells whether it could.

What it was given and couldn't put out is dropped: a verdict that comes late is another part's.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from edgead.errors import OptionError, OutputError, one_line
from edgead.line.channel import Channel, Message
from edgead.line.child import ALIVE, made_of, run, say
from edgead.line.loop import Loop
from edgead.line.records import verdict_of
from edgead.types import Health, Role, Sink, TellsTriggers

HEALTH = 1.0
"""Seconds between two looks at a sink's health."""
SILENCE = 1.0
"""Seconds without word from the line until the sink is told that nothing is ready: the line itself hangs."""


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Make the sink, say so, and hand it verdicts until told to stop."""
    sink: Sink = made_of("sinks", start["kind"], start["options"])
    role: Role = start["role"] or sink.roles[0]
    if role not in sink.roles:
        raise OptionError(
            f"sink '{start['kind']}' can't have the role {role}: it has {' and '.join(sink.roles)}; leave "
            "role out"
        )
    tells = isinstance(sink, TellsTriggers)
    if isinstance(sink, TellsTriggers):
        sink.on_trigger(lambda part: _told(channel, part))
    channel.send({"is": "made", "role": role, "tells": tells})
    Giving(channel, sink, role, start["silence"]).run()


def _told(channel: Channel, part: str | None) -> None:
    """From any of the sink's threads."""
    say(channel, {"is": "trigger", "at": time.monotonic_ns(), "part": None if part is None else str(part)})


class Giving(Loop):
    """Gives verdicts to a sink; where that fails it's closed, and opened again after a pause that grows.

    Args:
        silence: seconds after which the line is taken to hang.
    """

    def __init__(self, channel: Channel, sink: Sink, role: Role, silence: float = SILENCE) -> None:
        super().__init__(channel)
        self._sink, self._role, self._silence = sink, role, silence
        self._again = 0.0
        self._heard = time.monotonic()
        self._looked = 0.0
        self._health: Health | None = None

    def _turn(self) -> None:
        for message in self._channel.receive(ALIVE / 2):
            self._hear(message)
        now = time.monotonic()
        if not self._is_open and now >= self._again:
            self._open()
        if self._is_open and now - self._heard > self._silence:
            self._heard = now
            self._beat(False)
        if self._is_open and now - self._looked >= HEALTH:
            self._looked = now
            self._look()

    def _hear(self, message: Message) -> None:
        self._heard = time.monotonic()
        if message["is"] == "stop":
            self._stopped = True
        elif message["is"] == "beat":
            if self._is_open:
                self._beat(message["ready"])
            self._channel.send({"is": "beaten"})
        elif message["is"] == "verdict":
            self._send(message)

    def _send(self, message: Message) -> None:
        verdict = verdict_of(message["verdict"])
        if not self._is_open:
            self._channel.send({"is": "dropped", "trigger": verdict.trigger})
            return
        at = time.monotonic_ns()
        try:
            self._sink.send(replace(verdict, times=replace(verdict.times, sent=at)))
        except Exception as error:
            self._channel.send({"is": "dropped", "trigger": verdict.trigger, "why": _why(error)})
            if self._role == "verdict" or not isinstance(error, OutputError):
                self._failed(error)
            return
        self._channel.send({"is": "sent", "trigger": verdict.trigger, "at": at})

    def _beat(self, ready: bool) -> None:
        try:
            self._sink.beat(ready)
        except Exception as error:
            self._failed(error)

    def _look(self) -> None:
        try:
            health = self._sink.health()
        except Exception as error:
            self._failed(error)
            return
        if health != self._health:
            self._health = health
            counts = {str(name)[:60]: int(number) for name, number in health.counts.items()}
            told = {"ok": bool(health.ok), "detail": str(health.detail)[:500], "counts": counts}
            self._channel.send({"is": "health", **told})

    def _open(self) -> None:
        for message in self._channel.receive():  # said while it was away: to be dropped, before it's up
            self._hear(message)
        try:
            self._sink.open()
        except Exception as error:
            self._failed(error)
            return
        self._is_open, self._health = True, None
        self._pauses.up(time.monotonic())
        self._channel.send({"is": "up", "detail": self._detail()})

    def _detail(self) -> str:
        """Where it is, as it says itself."""
        with suppress(Exception):
            return str(self._sink.health().detail)[:500]
        return ""

    def _failed(self, error: Exception) -> None:
        self._is_open = False
        self._close()
        self._again = time.monotonic() + self._pauses.failed(time.monotonic())
        self._channel.send({"is": "down", "why": _why(error)})

    def _close(self) -> None:
        """Put the output at its fail-safe level, as far as it lets that be done."""
        with suppress(Exception):
            self._sink.beat(False)
        with suppress(Exception):
            self._sink.close()


def _why(error: Exception) -> str:
    return one_line(error, "message" if isinstance(error, OutputError) else "named")


__all__ = ["SILENCE", "Giving", "main", "work"]
