"""A look for cameras: a process that asks one source which it could open; a driver may hang, or crash."""

from __future__ import annotations

from edgead.errors import one_line
from edgead.line.channel import Channel, Message
from edgead.line.child import made_of, run
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.types import Discovers, SeenCamera


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Make the source, ask it, and say what it has seen."""
    options = parse_options(registry().get("sources", start["source"]).Options, start["words"])
    source = made_of("sources", start["source"], vars(options))
    if not isinstance(source, Discovers):
        channel.send({"is": "seen", "cameras": None})
        return
    channel.send({"is": "seen", "cameras": [_record(camera) for camera in source.cameras()]})


def _record(camera: SeenCamera) -> Message:
    about = {str(name): one_line(str(text), "message", 200) for name, text in camera.about.items()}
    return {"name": one_line(camera.name, "message", 200), "options": dict(camera.options), "about": about}


__all__ = ["main", "work"]
