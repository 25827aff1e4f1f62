"""The newest images that nothing else keeps, in memory: somebody may yet file one of them."""

from __future__ import annotations

from collections import Counter, OrderedDict

from edgead.line.record.storing import Picture

MOST_BYTES = 256 << 20
"""Of all of them together."""

Key = tuple[str, str, int]
"""Camera, run, trigger."""


class Recent:
    """Holds each camera's newest images; the oldest of all go where they're too large together.

    Args:
        most: images of each camera; 0 for none.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[Key, Picture] = OrderedDict()
        self._bytes = 0

    def put(self, picture: Picture) -> None:
        """Hold one more."""
        verdict = picture.verdict
        camera = str(verdict["camera"])
        self._held[camera, str(verdict["run"]), int(verdict["trigger"])] = picture
        self._bytes += picture.image.nbytes
        counts = Counter(key[0] for key in self._held)
        if counts[camera] > self.most:
            self.take(next(key for key in self._held if key[0] == camera))
        while self._bytes > MOST_BYTES and len(self._held) > 1:
            self.take(next(iter(self._held)))

    def take(self, key: Key) -> Picture | None:
        """The image of a verdict, which isn't held any more then; None where it isn't."""
        picture = self._held.pop(key, None)
        if picture is not None:
            self._bytes -= picture.image.nbytes
        return picture


__all__ = ["Key", "Recent"]
