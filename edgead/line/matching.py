"""Which trigger an image belongs to. Where that isn't certain, it isn't guessed.

Both rest on the camera's count of triggers. ``ByImage`` is for lines where the image is the first that is
known of a trigger; ``ByTrigger`` for those that are told of triggers beside, by a PLC.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edgead.line.events import Shot
from edgead.types import Why

MOST_GAP = 1000
"""Triggers that a jump of the camera's count may stand for; what jumps farther has begun to count anew."""
MOST_WAITING = 256
"""Triggers that may wait for their image."""
MOST_EARLY = 4
"""Images that may wait for their trigger."""


class ByImage:
    """Each image is a trigger's, and each number that the count leaves out is one whose image was lost."""

    def __init__(self) -> None:
        self._last: int | None = None
        self.doubtful = False

    def opened(self) -> None:
        """The camera begins; nothing is known of its count."""
        self._last, self.doubtful = None, False

    def missing(self, shot: Shot) -> list[int]:
        """The numbers of triggers whose images were lost before this one; ``doubtful`` is set where the
        count ended, went back, stood still or jumped too far to tell, until the camera is open anew."""
        last, new = self._last, shot.frame_id
        self._last = new
        if self.doubtful or last is None:
            return []
        if new is None:
            self.doubtful = True
            return []
        self.doubtful = not 0 < new - last <= MOST_GAP
        return [] if self.doubtful else list(range(last + 1, new))


@dataclass
class Matches:
    """What became known by one event.

    Attributes:
        found: triggers with their images.
        failed: triggers that get none, and why.
        dropped: images that no trigger gets.
        reopen: it isn't certain any more how triggers and images go together.
    """

    found: list[tuple[int, Shot]] = field(default_factory=list)
    failed: list[tuple[int, Why]] = field(default_factory=list)
    dropped: list[Shot] = field(default_factory=list)
    reopen: bool = False


@dataclass(frozen=True)
class _Waiting:
    trigger: int
    at: int
    number: int | None


class ByTrigger:
    """Triggers are told of, and each one's image comes before or after that, at most ``window`` apart.

    Until they're synchronised, one trigger and one image have to come with nothing else within a window of
    them: their numbers belong together, and so do all that follow, each counted up by one. Anything else than
    what's expected ends that: the triggers that wait get no image, and the camera is to be opened anew, so
    that nothing old is under way.

    Args:
        window: ns.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._open = False
        self._next: int | None = None  # the number that the next trigger has
        self._seen = -1  # the highest number of an image
        self._stirred = 0  # when something came last, while not synchronised
        self._waiting: deque[_Waiting] = deque()
        self._early: dict[int, tuple[Shot, int]] = {}

    @property
    def synchronised(self) -> bool:
        """Whether the next image's trigger is known."""
        return self._next is not None

    @property
    def next_at(self) -> int | None:
        """When ``expire`` has something to do, ns, or None."""
        firsts = [self._waiting[0].at] if self._waiting else []
        firsts += [arrived for _, arrived in self._early.values()]
        return min(firsts) + self._window if firsts else None

    def opened(self, now: int) -> None:
        """The camera begins. What was triggered just before may still come, so it's waited for quiet."""
        self._open, self._stirred = True, now

    def lost(self) -> Matches:
        """The camera is gone."""
        found = self._reset("no-image")
        found.reopen = False
        return found

    def trigger(self, now: int, trigger: int, at: int) -> Matches:
        """A trigger was told of, which was at ``at``."""
        found = Matches()
        if not self._open:
            return Matches(failed=[(trigger, "no-image")])
        if self._next is None:
            return self._first_trigger(now, trigger, at)
        number, self._next = self._next, self._next + 1
        if number in self._early:
            found.found.append((trigger, self._early.pop(number)[0]))
        elif number <= self._seen:  # an image after it was there already
            found.failed.append((trigger, "no-image"))
        elif len(self._waiting) == MOST_WAITING:
            found = self._reset("uncorrelated")
            found.failed.append((trigger, "uncorrelated"))
        else:
            self._wait(trigger, at, number)
        return found

    def shot(self, now: int, shot: Shot) -> Matches:
        """An image came, or word that one is lost."""
        if not self._open:
            return Matches(dropped=[shot])
        number = shot.frame_id
        if number is None or number <= self._seen:
            return self._unexpected(shot)
        self._seen = number
        if self._next is None:
            return self._first_shot(now, shot, number)
        found = Matches()
        while self._waiting and (self._waiting[0].number or 0) < number:
            found.failed.append((self._waiting.popleft().trigger, "no-image"))
        if self._waiting and self._waiting[0].number == number:
            found.found.append((self._waiting.popleft().trigger, shot))
        elif 0 <= number - self._next <= MOST_GAP and len(self._early) < MOST_EARLY:
            self._early[number] = (shot, now)
        else:
            more = self._unexpected(shot)
            more.failed[:0] = found.failed
            return more
        return found

    def expire(self, now: int) -> Matches:
        """What has waited for longer than the window waits no more."""
        found = Matches()
        while self._waiting and self._waiting[0].at + self._window <= now:
            found.failed.append((self._waiting.popleft().trigger, "no-image"))
        if found.failed and self._next is None:  # its image may still be under way
            self._reset("no-image")
            found.reopen = True
        elif any(arrived + self._window <= now for _, arrived in self._early.values()):
            more = self._reset("uncorrelated")
            more.failed[:0] = found.failed
            return more
        return found

    # ------------------------------------------------------------ not synchronised

    def _first_trigger(self, now: int, trigger: int, at: int) -> Matches:
        quiet, self._stirred = now - self._stirred > self._window, now
        if not (quiet or self._early):
            found = self._reset("uncorrelated")
            found.failed.append((trigger, "uncorrelated"))
            return found
        if self._early:
            ((number, (shot, _)),) = self._early.items()
            self._early.clear()
            self._next = number + 1
            return Matches(found=[(trigger, shot)])
        self._wait(trigger, at, None)
        return Matches()

    def _first_shot(self, now: int, shot: Shot, number: int) -> Matches:
        quiet, self._stirred = now - self._stirred > self._window, now
        if self._waiting:
            self._next = number + 1
            return Matches(found=[(self._waiting.popleft().trigger, shot)])
        if not quiet:
            return self._unexpected(shot)
        self._early[number] = (shot, now)
        return Matches()

    def _wait(self, trigger: int, at: int, number: int | None) -> None:
        last = self._waiting[-1].at if self._waiting else at
        self._waiting.append(_Waiting(trigger, max(at, last), number))

    def _unexpected(self, shot: Shot) -> Matches:
        found = self._reset("uncorrelated")
        found.dropped.append(shot)
        return found

    def _reset(self, why: Why) -> Matches:
        """Give up what waits; nothing is taken until the camera is open anew."""
        found = Matches(
            failed=[(waiting.trigger, why) for waiting in self._waiting],
            dropped=[shot for shot, _ in self._early.values()],
            reopen=self._open,
        )
        self._waiting.clear()
        self._early.clear()
        self._next, self._seen, self._open = None, -1, False
        return found


__all__ = ["MOST_EARLY", "MOST_GAP", "MOST_WAITING", "ByImage", "ByTrigger", "Matches"]
