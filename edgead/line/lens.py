"""One camera, as the line's own process sees it: its ring, which slots are in use, and whether it's open."""

from __future__ import annotations

from typing import Any

from edgead.line.channel import Message
from edgead.line.events import Shot
from edgead.line.matching import MOST_EARLY
from edgead.line.ring import Ring, refused

SPARE = 5 + MOST_EARLY
"""Slots beside those of images that wait for judges: two that are judged, one that a judge on probation looks
at, some that wait for their trigger, and two for the camera to write into."""


class Misunderstood(Exception):
    """A process said what can't be: it's broken."""


def whole(number: Any) -> int:
    """A number of another process's, as it's said: of 64 bits, with a sign or without.

    Raises:
        Misunderstood: it's none.
    """
    if type(number) is not int or not -(1 << 63) <= number < 1 << 64:
        raise Misunderstood(f"it says {str(number)[:40]!r} where a number should be")
    return number


class Lens:
    """A camera's slots, and how often it was opened.

    Args:
        queue: images that may wait.
        size: bytes of a slot.
        lent: slots that the recorder may have besides.

    Attributes:
        ring: the slots, as a process is told of them: descriptor, number, size.
        epoch: counts openings; what was said of another isn't heard.
        is_open: whether it takes triggers.
    """

    def __init__(self, queue: int, size: int, lent: int = 0) -> None:
        made = Ring.make(queue + SPARE + lent, size)
        self.ring = (made.descriptor, made.slots, made.size)
        self._made = made
        self._taken: set[int] = set()
        self.epoch = 0
        self.is_open = False

    @property
    def free(self) -> list[int]:
        """The slots that a new process may write into."""
        return [slot for slot in range(self.ring[1]) if slot not in self._taken]

    def shot(self, message: Message) -> Shot:
        """An announced image; its slot is taken until ``let_go``.

        Raises:
            Misunderstood: no camera says such a thing.
        """
        slot, problem = message["slot"], message["problem"]
        shape, dtype = tuple(map(whole, message.get("shape", ()))), str(message.get("dtype", "uint8"))
        shot = Shot(
            slot,
            whole(message["grabbed"]),
            shape,
            dtype,
            _or_none(message["frame_id"]),
            _or_none(message["camera_ns"]),
            _or_none(message["encoder"]),
            None if problem is None else str(problem)[:500],
            bool(message.get("overrun", False)),
            _or_none(message.get("depth")),
        )
        if slot is not None:  # the last that may fail: who announces nonsense takes no slot along
            if whole(slot) not in range(self.ring[1]) or slot in self._taken or refused(shape, dtype):
                raise Misunderstood(f"it announces {dtype} {shape} in slot {slot}")
            self._taken.add(slot)
        return shot

    def let_go(self, slot: int) -> None:
        """Nobody needs a slot any more."""
        self._taken.discard(slot)

    def opening(self) -> Message:
        """The message that has it opened, or opened anew."""
        self.epoch, self.is_open = self.epoch + 1, False
        return {"is": "open", "epoch": self.epoch}

    def opened(self, message: Message) -> bool:
        """Word that it's open; False where it's of an earlier opening."""
        self.is_open = message["epoch"] == self.epoch
        return self.is_open

    def close(self) -> None:
        """Let go of the ring."""
        self._made.close()


def _or_none(number: Any) -> int | None:
    return None if number is None else whole(number)


__all__ = ["Lens", "Misunderstood", "whole"]
