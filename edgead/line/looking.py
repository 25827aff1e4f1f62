"""Which cameras the installed sources see, each asked in a process of its own and no longer than is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import DeviceError, EdgeadError, PluginError, TimedOutError
from edgead.line.channel import Message
from edgead.line.processes import Child, Children
from edgead.line.starts import refusal
from edgead.types import SeenCamera

LOOK_SECONDS = 20.0
"""How long a source may look: cameras on a network answer within seconds."""
MOST_SEEN = 1000
"""Cameras of a source that are told of."""


@dataclass(frozen=True)
class Looked:
    """What one source sees.

    Attributes:
        source: its registered name.
        cameras: what it sees; None where it can't tell which cameras are there, as a folder can't.
        error: why it can't look, or None.
    """

    source: str
    cameras: tuple[SeenCamera, ...] | None = ()
    error: EdgeadError | None = None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        seen = [
            {"name": each.name, "options": dict(each.options), "about": dict(each.about)}
            for each in self.cameras or ()
        ]
        return {
            "source": self.source,
            "cameras": seen if self.cameras is not None else None,
            "error": None if self.error is None else str(self.error),
        }


def look(sources: Mapping[str, Sequence[str]], folder: Path, seconds: float = LOOK_SECONDS) -> list[Looked]:
    """Ask sources which cameras they see, all at once.

    Args:
        sources: by registered name, the options to ask with, ``key=value`` each.
        folder: where relative paths in options begin.
        seconds: how long to wait for the slowest.
    """
    children, found = Children(folder), dict[str, Looked]()
    for name, words in sources.items():
        first: Message = {"source": name, "words": list(words)}
        children.add(Child(name, "look", first=lambda first=first: first))  # type: ignore[misc]
    until = time.monotonic() + seconds
    try:
        children.start_due(time.monotonic())
        while len(found) < len(sources) and time.monotonic() < until:
            for child, message in children.messages(0.05):
                found.setdefault(child.name, _heard(child.name, message))
            for child, why in children.ended(time.monotonic()):
                child.again = None
                error = DeviceError(f"{child.name}: {why} while it looked; look into its driver")
                found.setdefault(child.name, Looked(child.name, (), error))
    finally:
        children.end_all(0.2)
    late = f"no answer in {seconds:g} s; look into its driver"
    return [found.get(name, Looked(name, (), TimedOutError(f"{name}: {late}"))) for name in sources]


def _heard(source: str, message: Message) -> Looked:
    try:
        if message["is"] == "refused":
            text = str(message.get("text")).removeprefix(f"{source}: ")
            return Looked(source, (), refusal(source, {**message, "text": text}))
        return Looked(source, _seen(message["cameras"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = f"{source}: it said what can't be understood ({error}); tell its author"
        return Looked(source, (), PluginError(text))


def _seen(cameras: Sequence[Mapping[str, Any]] | None) -> tuple[SeenCamera, ...] | None:
    if cameras is None:
        return None
    return tuple(
        SeenCamera(str(each["name"]), dict(each["options"]), dict(each["about"]))
        for each in cameras[:MOST_SEEN]
    )


__all__ = ["LOOK_SECONDS", "Looked", "look"]
