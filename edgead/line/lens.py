"""One camera, as the line's own process sees it: its ring, which slots are in use, and whether it's open."""

from __future__ import annotations

from edgead.line.channel import Message
from edgead.line.events import Shot
from edgead.line.matching import MOST_EARLY
from edgead.line.ring import Ring, refused

SPARE = 5 + MOST_EARLY
"""Slots beside those of images that wait for judges: two that are judged, one that a judge on probation looks
at, some that wait for their trigger, and two for the camera to write into."""


class Misunderstood(Exception):
    """A process said what can't be: it's broken."""


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
        slot = message["slot"]
        shape, dtype = tuple(message.get("shape", ())), str(message.get("dtype", "uint8"))
        if slot is not None:
            if slot not in range(self.ring[1]) or slot in self._taken or refused(shape, dtype):
                raise Misunderstood(f"it announces {dtype} {shape} in slot {slot}")
            self._taken.add(slot)
        return Shot(
            slot,
            int(message["grabbed"]),
            shape,
            dtype,
            message["frame_id"],
            message["camera_ns"],
            message["encoder"],
            message["problem"],
            bool(message.get("overrun", False)),
            message.get("depth"),
        )

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


__all__ = ["Lens", "Misunderstood"]
