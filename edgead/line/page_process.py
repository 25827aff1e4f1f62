"""The page: a process that serves it, and that nobody waits for."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from edgead.extras import explained
from edgead.line.channel import Channel, Message
from edgead.line.child import run

NICE = 10
"""How far behind the line's other processes it stands."""


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Serve until told to stop."""
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(NICE)
    with explained("the line's page", "web"):
        from edgead.line.page.running import serve
    asyncio.run(serve(channel, start))


__all__ = ["main", "work"]
