"""Images for the recorder: which are wanted, and the slots that it's lent, so many of each camera at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgead.line.channel import Message
from edgead.line.events import Say, Shot
from edgead.line.log_table import Log
from edgead.line.record.writer import Kept
from edgead.line.records import record_of
from edgead.types import Verdict

LENT = 4
"""Slots of each camera that the recorder may have; the camera's ring has as many more."""
MOST_MAP = 12_000
"""Characters of an anomaly map in a message."""
MOST_MAPS = 100
"""Maps that may wait for their verdict and image."""


@dataclass
class _Wanted:
    """An image that the recorder is to have once nobody judges it any more."""

    verdict: Verdict
    shot: Shot
    kept: Kept | None
    live: bool
    utc_ns: int


class Lending:
    """Chooses images, and counts slots.

    Args:
        log: the line's.

    Attributes:
        dropped: images that were to be kept, and that the recorder didn't get.
    """

    def __init__(self, log: Log) -> None:
        self._images = log.images
        self._every = log.images.share or 0
        self._pause = 1e9 / log.table.live_per_second if log.table.live_per_second else None
        self._shown: dict[str, int] = {}
        self._good: dict[str, int] = {}
        self._viewed: set[int] = set()  # triggers whose map was asked for
        self._wanted: dict[tuple[str, int], _Wanted] = {}
        self._maps: dict[int, Any] = {}
        self._lent: dict[str, set[int]] = {}
        self.dropped = 0

    def wants_map(self, trigger: int, camera: str, now: int) -> bool:
        """Whether an image that is handed to a judge is one for the live view, whose map is asked for."""
        if not self._is_due(camera, now):
            return False
        self._viewed.add(trigger)
        return True

    def map(self, trigger: int, made: Any) -> None:
        """A judge's map of an image; the newest are remembered until the image is free."""
        if isinstance(made, dict) and isinstance(made.get("data"), str) and len(made["data"]) <= MOST_MAP:
            while len(self._maps) >= MOST_MAPS:
                del self._maps[next(iter(self._maps))]
            self._maps[trigger] = made

    def said(self, say: Say, utc_ns: int, now: int) -> None:
        """A verdict was said: choose whether its image is wanted."""
        verdict, shot = say.verdict, say.shot
        viewed = verdict.trigger in self._viewed
        self._viewed.discard(verdict.trigger)
        if shot is None or shot.slot is None:
            return
        live = viewed or (verdict.why != "score" and self._is_due(verdict.camera, now))
        kept = self._kept(verdict)
        if live or kept is not None or self._images.recent:
            self._wanted[verdict.camera, shot.slot] = _Wanted(verdict, shot, kept, live, utc_ns)

    def take(self, camera: str, slot: int) -> Message | None:
        """Nobody judges a slot's image any more: what the recorder is told of it, where it's wanted and may
        still be lent; it's lent then, or ``refused`` has to be called."""
        wanted = self._wanted.pop((camera, slot), None)
        if wanted is None:
            return None
        made = self._maps.pop(wanted.verdict.trigger, None)
        lent = self._lent.setdefault(camera, set())
        if len(lent) >= LENT:
            self.dropped += wanted.kept is not None
            return None
        lent.add(slot)
        shot = wanted.shot
        return {"is": "image", "camera": camera, "slot": slot, "shape": list(shot.shape), "dtype": shot.dtype,
                "verdict": record_of(wanted.verdict), "kept": wanted.kept, "live": wanted.live, "map": made,
                "utc_ns": wanted.utc_ns}  # fmt: skip

    def refused(self, message: Message) -> None:
        """The recorder didn't take that message."""
        self._lent[message["camera"]].discard(message["slot"])
        self.dropped += message["kept"] is not None

    def back(self, camera: str, slot: int) -> bool:
        """The recorder gives a slot back; False where it hasn't got it."""
        if slot not in self._lent.get(camera, ()):
            return False
        self._lent[camera].discard(slot)
        return True

    def all_back(self) -> list[tuple[str, int]]:
        """The recorder is gone: the slots that it had."""
        found = [(camera, slot) for camera, slots in self._lent.items() for slot in slots]
        self._lent.clear()
        return found

    @property
    def idle(self) -> bool:
        """Whether nothing is lent."""
        return not any(self._lent.values())

    def _is_due(self, camera: str, now: int) -> bool:
        if self._pause is None or now - self._shown.get(camera, -(1 << 62)) < self._pause:
            return False
        self._shown[camera] = now
        return True

    def _kept(self, verdict: Verdict) -> Kept | None:
        images, score, threshold = self._images, verdict.score, verdict.threshold
        if images.reject == "all" and verdict.why != "score":
            return "fail-safe"
        if images.reject == "all" and verdict.decision == "reject":
            return "reject"
        if score is not None and threshold is not None and images.near:
            near = abs(score - threshold) <= images.near * abs(threshold)
            if near:
                return "near"
        if verdict.decision == "accept" and verdict.why == "score" and self._every:
            self._good[verdict.camera] = self._good.get(verdict.camera, 0) + 1
            if self._good[verdict.camera] % self._every == 0:
                return "sample"
        return None


__all__ = ["LENT", "Lending"]
