"""What has changed on the line, as data and as a notice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgead.device.drift.channel import LONGER, SETTLED, Direction, Kind, limit
from edgead.device.drift.watch import HIGH, KINDS, MEDIAN, Setting, Watch
from edgead.notices import Notice

SCORE = "score"


@dataclass(frozen=True)
class Change:
    """One thing that isn't as it was while the line was learned.

    Attributes:
        what: ``score``, ``brightness``, ``contrast``, ``sharpness``, ``judged`` (the share of frames that
            could be judged) or ``latency``.
        direction: ``up`` or ``down``.
        spreads: how far the last block is from the usual, in the usual spread of a block; over 0.
        usual, now: the learned value, and that of the last block's frames since the change, in ``unit``. Of
            a score it's the share of frames over the usual median or 90 % quantile, whichever is farther out.
        unit: what they are in.
        since: about the frame where it began; the first that the state has seen is 0.
        frames: how many frames ago that was.
    """

    what: str
    direction: Direction
    spreads: float
    usual: float
    now: float
    unit: str
    since: int
    frames: int

    def notice(self) -> Notice:
        """In one sentence, with what to do."""
        values = {
            "since": self.since,
            "frames": self.frames,
            "spreads": self.spreads,
            "usual": self.usual,
            "now": self.now,
            "change": abs(self.now / self.usual - 1) if self.usual else 1.0,
        }
        return Notice(f"drift-{self.what}-{self.direction}", values)

    def record(self) -> dict[str, Any]:
        """As JSON, the sentence with it."""
        return {**asdict(self), "text": str(self.notice())}


@dataclass(frozen=True)
class Watched:
    """One quantity as it's watched.

    Attributes:
        name: a change's ``what``; the score is watched twice, as ``score_median`` and ``score_high``.
        unit: what the values are in.
        learning: whether it's too early to say anything of it.
        usual: the learned value.
        now: the last block's.
        low, high: what is said to have changed is a block under or over these.
    """

    name: str
    unit: str
    learning: bool
    usual: float
    now: float
    low: float
    high: float


def changes_in(watch: Watch, setting: Setting) -> tuple[Change, ...]:
    """What is changed now, each once."""
    found: dict[str, Change] = {}
    for name, kind in KINDS.items():
        channel = watch.channels[name]
        if channel.changed is None:
            continue
        what = SCORE if name in (MEDIAN, HIGH) else name
        far = abs(channel.value - channel.mean) / channel.spread(kind, watch.least(name, setting))
        frames = watch.frames - channel.since
        now = kind.value(channel.over_last(kind, frames // setting.step))
        usual = kind.value(channel.mean)
        new = Change(what, channel.changed, far, usual, now, kind.unit, channel.since, frames)
        if what not in found or new.spreads > found[what].spreads:
            found[what] = new
    return tuple(found.values())


def watched_in(watch: Watch, setting: Setting) -> tuple[Watched, ...]:
    """Every quantity that anything is known of, with the limits that it's held to."""
    return tuple(
        _watched(name, kind, watch, setting) for name, kind in KINDS.items() if watch.channels[name].learned
    )


def unsettled_in(watch: Watch, setting: Setting) -> list[Notice]:
    """A notice for what kept moving for as long as it was learned, and was taken for usual so far."""
    found = []
    for name, kind in KINDS.items():
        channel = watch.channels[name]
        if channel.blocks_learned >= LONGER * setting.blocks and channel.steadiness < SETTLED:
            before, after = kind.value(channel.start), kind.value(channel.mean)
            values = {"name": name.replace("_", " "), "unit": kind.unit, "before": before, "after": after}
            found.append(
                Notice("drift-unsettled", {**values, "frames": LONGER * setting.blocks * setting.block})
            )
    return found


def _watched(name: str, kind: Kind, watch: Watch, setting: Setting) -> Watched:
    channel = watch.channels[name]
    off = limit(max(channel.blocks_learned, 3.0)) * channel.spread(kind, watch.least(name, setting))
    low, high = kind.value(channel.mean - off), kind.value(channel.mean + off)
    usual, now = kind.value(channel.mean), kind.value(channel.value)
    return Watched(name, kind.unit, watch.is_learning(name, setting), usual, now, low, high)


__all__ = ["SCORE", "Change", "Watched", "changes_in", "unsettled_in", "watched_in"]
