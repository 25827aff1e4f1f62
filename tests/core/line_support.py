"""What the tests of the line share: an arbiter whose clock a test turns, in ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgead.line.arbiter import Arbiter
from edgead.line.events import Action, End, Free, Hand, Late, Ready, Reopen, Say, Scored, Shot
from edgead.line.rules import CameraRules, Rules
from edgead.types import Verdict

MS = 1_000_000
DEADLINE, HUNG = 80, 500


class Turned:
    """An arbiter, run as whoever runs it must: ``tick`` by ``next_at``, actions taken after each call."""

    def __init__(self, cameras: Sequence[CameraRules] = (), sinks: Sequence[str] = (), **rules: Any) -> None:
        cameras = cameras or (CameraRules("top"),)
        made = {"run": "0" * 16, "deadline": DEADLINE * MS, "hung": HUNG * MS, **rules}
        self.arbiter = Arbiter(Rules(**made), cameras, sinks)
        self.now = 1000
        self.slot = 0
        self.done: list[tuple[int, Action]] = []
        self.new: list[Action] = []
        self._take()

    def call(self, name: str, *arguments: Any) -> list[Action]:
        """Call a method of the arbiter now, and return the actions."""
        self.new = []
        getattr(self.arbiter, name)(self.now * MS, *arguments)
        self._take()
        return self.new

    def wait(self, ms: int) -> list[Action]:
        """Let time pass."""
        self.new, end = [], self.now + ms
        while (at := self.arbiter.next_at) is not None and at <= end * MS:
            self.now = max(self.now, -(-at // MS))
            self.arbiter.tick(self.now * MS)
            self._take()
        self.now = end
        return self.new

    def shot(self, frame_id: int | None = None, camera: str = "top", **fields: Any) -> list[Action]:
        """An image comes, in a slot of its own."""
        self.slot += 1
        made = {"slot": self.slot, "grabbed": self.now * MS, "frame_id": frame_id, **fields}
        return self.call("shot", camera, Shot(**made))

    def score(self, judge: str, trigger: int, score: float = 1.0, threshold: float = 2.0) -> list[Action]:
        """A judge answers."""
        return self.call("scored", judge, trigger, Scored(score, threshold, score > threshold))

    def ready(self, *judges: str) -> Turned:
        """Judges are warm, and the cameras open."""
        for judge in judges or ("top/0", "top/1"):
            self.call("judge_ready", judge, "b" * 64)
        for camera in dict.fromkeys(judge.partition("/")[0] for judge in judges or ("top/0",)):
            self.call("camera_open", camera)
        return self

    def _take(self) -> None:
        actions = self.arbiter.take()
        self.new += actions
        self.done += [(self.now, action) for action in actions]

    def verdicts(self) -> list[Verdict]:
        return [action.verdict for _, action in self.done if isinstance(action, Say)]

    def whys(self) -> list[str]:
        return [verdict.why for verdict in self.verdicts()]

    @property
    def is_ready(self) -> bool:
        return [action for _, action in self.done if isinstance(action, Ready)][-1].ready


def of(kind: type[Any], actions: Sequence[Action]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


__all__ = [
    "DEADLINE",
    "HUNG",
    "MS",
    "CameraRules",
    "End",
    "Free",
    "Hand",
    "Late",
    "Reopen",
    "Say",
    "Turned",
    "of",
]
