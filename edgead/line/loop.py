"""The loop of a process that drives a plugin's object, until it's told to stop or the line is gone."""

from __future__ import annotations

from edgead.line.channel import Channel
from edgead.line.pauses import Pauses


class Loop:
    """What a camera's and a sink's process have in common.

    Args:
        channel: to the line's own process.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pauses = Pauses()
        self._is_open = False
        self._stopped = False

    def run(self) -> None:
        """Go on until told to stop, or the line is gone; then let go of what is open."""
        try:
            while not self._stopped and not self._channel.closed:
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


__all__ = ["Loop"]
