"""What the arbiter hears of and what it asks for: plain records, which nobody has to act on at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgead.notices import Notice
from edgead.types import Prediction, Region, Verdict


@dataclass(frozen=True)
class Shot:
    """One image as a camera's process announced it, or why there's none.

    Attributes:
        slot: where in the camera's ring it lies; None where there's a problem.
        grabbed: when the camera's process had it, ns.
        shape, dtype: the array's.
        frame_id, camera_ns, encoder, problem, depth: as ``edgead.types.Grab`` has them.
        overrun: there's no image because no slot was free.
    """

    slot: int | None
    grabbed: int
    shape: tuple[int, ...] = ()
    dtype: str = "uint8"
    frame_id: int | None = None
    camera_ns: int | None = None
    encoder: int | None = None
    problem: str | None = None
    overrun: bool = False
    depth: int | None = None


@dataclass(frozen=True)
class Scored:
    """What a judge made of one image; ``found`` is the whole of it, in the judge's own process alone."""

    score: float
    threshold: float
    anomalous: bool
    regions: tuple[Region, ...] = ()
    found: Prediction | None = field(default=None, compare=False, repr=False)


# ---------------------------------------------------------------- what the arbiter asks for


@dataclass(frozen=True)
class Say:
    """Give this verdict to the sinks; ``shot`` is what there's of an image."""

    verdict: Verdict
    shot: Shot | None = None


@dataclass(frozen=True)
class Hand:
    """Have a judge judge the image in a slot.

    Attributes:
        judge, trigger, camera, shot: whose image of what.
        follows: the judge has judged the camera's image before this one, of which none is missing, and its
            answer is what counts.
    """

    judge: str
    trigger: int
    camera: str
    shot: Shot
    follows: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Free:
    """Nobody needs a slot any more: the camera may write into it."""

    camera: str
    slot: int


@dataclass(frozen=True)
class End:
    """Kill a judge, which hangs or can't judge; ``Arbiter.judge_gone`` says when that's done."""

    judge: str
    why: str


@dataclass(frozen=True)
class Reopen:
    """Close and open a camera, so that what is under way in it is dropped."""

    camera: str


@dataclass(frozen=True)
class Late:
    """A judge answered after the verdict was said: to be logged, and never sent.

    Attributes:
        judge, trigger, camera, part: whose answer on what.
        late_ns: after the deadline.
        scored: the answer; None where it was an error.
    """

    judge: str
    trigger: int
    camera: str
    part: str
    late_ns: int
    scored: Scored | None


@dataclass(frozen=True)
class Ready:
    """Whether the line can judge what comes has changed, or why it can't.

    Attributes:
        reasons: why not, a notice each; empty where it's ready.
    """

    reasons: tuple[Notice, ...]

    @property
    def ready(self) -> bool:
        """Whether every trigger is expected to get a score."""
        return not self.reasons


Action = Say | Hand | Free | End | Reopen | Late | Ready

__all__ = ["Action", "End", "Free", "Hand", "Late", "Ready", "Reopen", "Say", "Scored", "Shot"]
