"""The interlock between the line and a PLC: results wait until they're acknowledged, and triggers are taken.

Nothing is shown that a PLC could take for another part's: a result is there whole, under its run and id, or
it isn't there. It goes by an acknowledgement of its own run and id, as the oldest of too many, or with its
age; and an accept goes as soon as the line isn't ready. A PLC rejects what it has no result of.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from edgead.types import Verdict
from edgead_plugins.sinks import modbus_map as registers

DEPTH = 8
"""Results that may wait for their acknowledgement."""
ILLEGAL_ADDRESS, ILLEGAL_VALUE = 2, 3
"""Why a request is refused, as the protocol numbers it."""


class Refused(Exception):
    """A request can't be done; its argument is the protocol's number for why."""


class Interlock:
    """The registers that both sides see. Any thread may call anything.

    Args:
        cameras: names that have a number, from 1.
        stale: seconds after which a result that isn't acknowledged goes.
        silent: seconds without a beat after which the line isn't ready.

    Attributes:
        counts: what has happened.
    """

    def __init__(self, cameras: Sequence[str], stale: float, silent: float) -> None:
        self._cameras = tuple(cameras)
        self._stale, self._silent = round(stale * 1e9), round(silent * 1e9)
        self._lock = threading.Lock()
        self._told: Callable[[str | None], None] | None = None
        self.counts: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[tuple[Verdict, int]] = deque()
        self._written = [0] * (registers.WRITTEN_END - registers.WRITTEN)
        self._ready = self._missing = False
        self._beaten = self._heartbeat = self._lost = self._taken = self._refused = 0

    def on_trigger(self, told: Callable[[str | None], None]) -> None:
        """Whom to tell of triggers."""
        self._told = told

    # ------------------------------------------------------------ the line's side

    def reset(self) -> None:
        """Forget everything: nothing is shown, and nothing is ready."""
        with self._lock:
            self._begin()

    def beat(self, ready: bool) -> None:
        """The line goes on."""
        with self._lock:
            self._heartbeat = (self._heartbeat + 1) & 0xFFFF
            self._beaten, self._ready = time.monotonic_ns(), ready
            self._forget(self._beaten)

    def put(self, verdict: Verdict) -> None:
        """Have a verdict shown once those before it are acknowledged."""
        now, times = time.monotonic_ns(), verdict.times
        since = times.judged if times.judged is not None else now
        with self._lock:
            self._forget(now)
            self.counts["verdicts"] += 1
            if verdict.decision == "accept" and not self._is_ready(now):
                self._lose("withheld")
            elif now - since > self._stale:
                self._lose("stale")
            else:
                if len(self._waiting) == DEPTH:
                    self._waiting.popleft()
                    self._lose("overflowed")
                self._waiting.append((verdict, since))

    @property
    def missing(self) -> bool:
        """Whether results were lost since the last acknowledgement."""
        with self._lock:
            self._forget(time.monotonic_ns())
            return self._missing

    def _lose(self, how: str) -> None:
        self.counts[how] += 1
        self._lost += 1
        self._missing = True

    def _is_ready(self, now: int) -> bool:
        return self._ready and now - self._beaten <= self._silent

    def _forget(self, now: int) -> None:
        """Take away what mustn't be shown any more."""
        while self._waiting and now - self._waiting[0][1] > self._stale:
            self._waiting.popleft()
            self._lose("stale")
        if self._waiting and not self._is_ready(now):
            kept = [each for each in self._waiting if each[0].decision != "accept"]
            for _ in range(len(self._waiting) - len(kept)):
                self._lose("withheld")
            self._waiting = deque(kept)

    # ------------------------------------------------------------ the PLC's side

    def read(self, at: int, count: int) -> list[int]:
        """Registers, all of one moment.

        Raises:
            Refused: not all of them are there.
        """
        with self._lock:
            if at >= 0 and at + count <= registers.END:
                return self._shown()[at : at + count]
            if at >= registers.WRITTEN and at + count <= registers.WRITTEN_END:
                return self._written[at - registers.WRITTEN :][:count]
        raise Refused(ILLEGAL_ADDRESS)

    def read_bits(self, at: int, count: int) -> list[int]:
        """The bits of ``status``, each for itself.

        Raises:
            Refused: not all of them are there.
        """
        if at + count > 16:
            raise Refused(ILLEGAL_ADDRESS)
        (status,) = self.read(registers.AT["status"], 1)
        return [status >> bit & 1 for bit in range(at, at + count)]

    def write(self, at: int, values: Sequence[int]) -> None:
        """Write registers; those that acknowledge or trigger do so.

        Raises:
            Refused: not all of them can be written, or the trigger isn't the next.
        """
        first, end = at - registers.WRITTEN, at + len(values)
        if first < 0 or end > registers.WRITTEN_END:
            raise Refused(ILLEGAL_ADDRESS)
        with self._lock:
            self._written[first : first + len(values)] = values
            if at <= registers.AT["ack_id"] + 1 < end:
                self._acknowledge()
            if end > registers.AT["trigger"]:
                self._trigger()

    def _shown(self) -> list[int]:
        now = time.monotonic_ns()
        self._forget(now)
        shown = self._waiting[0][0] if self._waiting else None
        status = registers.READY * self._is_ready(now) | registers.LOST * self._missing
        if shown is not None:
            status |= registers.VALID | registers.ACCEPT * (shown.decision == "accept")
        before = registers.status_words(
            status, self._heartbeat, len(self._waiting), self._lost, self._taken, self._refused
        )
        return before + registers.result_words(shown, self._cameras)

    def _acknowledge(self) -> None:
        self._forget(time.monotonic_ns())
        high, low, id_high, id_low = self._written[:4]
        key = (high << 16 | low, id_high << 16 | id_low)
        if self._waiting and registers.key_of(self._waiting[0][0]) == key:
            self._waiting.popleft()
            self._missing = False
            self.counts["acknowledged"] += 1
        elif key[1]:
            self.counts["acknowledged_others"] += 1

    def _trigger(self) -> None:
        high, low, number = self._written[4:7]
        if number == self._taken:  # said again, by a PLC that didn't hear the answer
            return
        if number != (self._taken + 1) & 0xFFFF or self._told is None:
            self._refused += 1
            self.counts["triggers_refused"] += 1
            raise Refused(ILLEGAL_VALUE)
        self._taken = number
        self.counts["triggers"] += 1
        part = high << 16 | low
        self._told(None if part == registers.NO_NUMBER else str(part))


__all__ = ["DEPTH", "ILLEGAL_ADDRESS", "ILLEGAL_VALUE", "Interlock", "Refused"]
