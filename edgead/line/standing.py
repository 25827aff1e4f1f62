"""Whether the line is ready, and if not why: what a PLC's interlock goes by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgead.line.bench import Bench
from edgead.notices import Notice


class Standing:
    """What has to be there for a line to be ready: nothing is, at first.

    Attributes:
        cameras: whether each takes triggers, and it's certain which image is which trigger's.
        silent: cameras of which nothing is heard, though they should be there.
        sinks: whether each that takes part in the verdict is there.
        stopped: a verdict was the fail-safe's, on a line that stops then.
        ending: the line is being ended.
    """

    def __init__(self, cameras: Iterable[str], sinks: Iterable[str]) -> None:
        self.cameras = dict.fromkeys(cameras, False)
        self.silent: set[str] = set()
        self.sinks = dict.fromkeys(sinks, False)
        self.stopped = False
        self.ending = False

    def reasons(self, benches: Mapping[str, Bench]) -> tuple[Notice, ...]:
        """Why the line isn't ready, a notice each; none where it is."""
        found = [Notice("line-ending")] if self.ending else []
        found += [Notice("line-stopped")] if self.stopped else []
        found += [Notice("line-camera-away", {"camera": name}) for name, up in self.cameras.items() if not up]
        quiet = [name for name, up in self.cameras.items() if up and name in self.silent]
        found += [Notice("line-camera-silent", {"camera": name}) for name in quiet]
        found += [Notice("line-judges-away", {"camera": name}) for name, b in benches.items() if not b.able]
        found += [Notice("line-sink-away", {"sink": name}) for name, up in self.sinks.items() if not up]
        return tuple(found)


__all__ = ["Standing"]
