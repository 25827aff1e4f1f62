"""A camera's judges: one is active, another stands by warm, and a few images may wait.

Pure bookkeeping: who judges what, who takes over, and who is to be killed. A judge that misses a deadline
loses its place at once to one that's idle; it's there again once it answers, and is killed where it doesn't.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["warming", "idle", "busy", "late", "ended"]
"""``late``: busy with what has its verdict already; ``ended``: to be killed, its image's slot is in use."""

MOST_ERRORS = 3
"""Errors one after the other until a judge is replaced: the next image may fare no better."""


@dataclass
class Judge:
    """One judge's process, as far as the arbiter cares.

    Attributes:
        state: what it does.
        trigger: what it has in hand, or None.
        since: since when, ns.
        errors: how often it failed since it last gave a score.
        bundle: the hash of what it judges by; empty before it's ready.
    """

    state: State = "warming"
    trigger: int | None = None
    since: int = 0
    errors: int = 0
    bundle: str = ""


class Bench:
    """The judges of one camera.

    Args:
        judges: their names; the first that is ready is active.
        queue: images that may wait, 0 or more.
        hung: ns that a judge may have an image until it's killed.
    """

    def __init__(self, judges: Iterable[str], queue: int, hung: int) -> None:
        self.judges = {name: Judge() for name in judges}
        self.active: str | None = None
        self.waiting: deque[int] = deque()
        self._most, self._hung = queue, hung

    @property
    def able(self) -> bool:
        """Whether any judge is there that may judge the next image; a late one may answer yet."""
        return any(judge.state in ("idle", "busy", "late") for judge in self.judges.values())

    @property
    def standby(self) -> bool:
        """Whether another than the active judge is idle."""
        return any(j.state == "idle" for name, j in self.judges.items() if name != self.active)

    @property
    def next_at(self) -> int | None:
        """When the first of the judges with an image in hand has hung, ns, or None."""
        busy = [judge.since for judge in self.judges.values() if judge.state in ("busy", "late")]
        return min(busy) + self._hung if busy else None

    def offer(self, trigger: int) -> bool:
        """Take an image to be judged; False where no more may wait."""
        if len(self.waiting) >= self._most and not self._idle():
            return False
        self.waiting.append(trigger)
        return True

    def next_hand(self, now: int) -> tuple[str, int] | None:
        """Hand the image that has waited longest to the active judge, where it's idle: judge, trigger."""
        if not self.waiting or not self._idle():
            return None
        assert self.active is not None
        judge = self.judges[self.active]
        judge.state, judge.trigger, judge.since = "busy", self.waiting.popleft(), now
        return self.active, judge.trigger

    def missed(self, trigger: int) -> None:
        """A deadline passed: what waits is let go of, and a judge that has it in hand is late."""
        if trigger in self.waiting:
            self.waiting.remove(trigger)
        for name, judge in self.judges.items():
            if judge.trigger == trigger and judge.state == "busy":
                judge.state = "late"
                if name == self.active:
                    self.active = None

    def in_hand(self, trigger: int) -> bool:
        """Whether a judge may be reading the image."""
        return any(judge.trigger == trigger for judge in self.judges.values())

    def answered(self, name: str, trigger: int, error: bool) -> bool:
        """A judge is done with an image; False where it wasn't asked, so that the answer means nothing.

        After ``MOST_ERRORS`` in a row it's ``ended``: to be killed.
        """
        judge = self.judges[name]
        if judge.trigger != trigger or judge.state not in ("busy", "late"):
            return False
        judge.errors = judge.errors + 1 if error else 0
        judge.state, judge.trigger = "idle", None
        if judge.errors >= MOST_ERRORS:
            self._end(name)
        return True

    def ready(self, name: str, bundle: str) -> None:
        """A judge is warm, with a bundle of this hash."""
        if self.judges[name].state == "warming":
            self.judges[name].state, self.judges[name].bundle = "idle", bundle

    def gone(self, name: str) -> int | None:
        """A judge's process has ended: what it had in hand, or None. Another is being warmed."""
        held = self.judges[name].trigger
        self.judges[name] = Judge()
        if self.active == name:
            self.active = None
        return held

    def add(self, name: str) -> None:
        """One more judge is being warmed."""
        self.judges[name] = Judge()

    def prefer(self, name: str) -> bool:
        """Have a judge be the active one, for the next image on; False where it isn't able to."""
        if name not in self.judges or self.judges[name].state not in ("idle", "busy"):
            return False
        self.active = name
        return True

    def remove(self, name: str) -> bool:
        """Have a judge no more; False where it has an image in hand, whose verdict would be lost."""
        if name in self.judges and self.judges[name].trigger is not None:
            return False
        self.judges.pop(name, None)
        if self.active == name:
            self.active = None
        return True

    def hung(self, now: int) -> list[str]:
        """The judges that have an image in hand for too long; each is named once, and to be killed."""
        found = [
            name
            for name, judge in self.judges.items()
            if judge.state in ("busy", "late") and judge.since + self._hung <= now
        ]
        for name in found:
            self._end(name)
        return found

    def given_up(self) -> list[int]:
        """The images that wait where no judge is able any more; they wait no longer."""
        if self.able:
            return []
        left = list(self.waiting)
        self.waiting.clear()
        return left

    def _end(self, name: str) -> None:
        self.judges[name].state = "ended"
        if self.active == name:
            self.active = None

    def _idle(self) -> bool:
        """Whether the active judge is idle; one that's idle becomes active where none is."""
        if self.active is None:
            self.active = next((name for name, judge in self.judges.items() if judge.state == "idle"), None)
        return self.active is not None and self.judges[self.active].state == "idle"


__all__ = ["MOST_ERRORS", "Bench", "Judge", "State"]
