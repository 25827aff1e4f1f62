"""The page as it runs: hears the core, looks at the recorder's pictures, and serves."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress

from edgead.errors import OutputError
from edgead.line.channel import Channel, Message
from edgead.line.page.app import application
from edgead.line.page.clients import Clients
from edgead.line.page.drifting import Drifting
from edgead.line.page.history import History
from edgead.line.page.jobs import Jobs
from edgead.line.page.live import Live
from edgead.line.page.logins import Sessions
from edgead.line.page.news import News
from edgead.line.page.pictures import Pictures
from edgead.line.page.serving import bound, server_of
from edgead.line.page.setup import Setup
from edgead.line.page.shown import state
from edgead.line.page.site import Site
from edgead.line.page.users import read_users
from edgead.line.record.places import LIVE
from edgead.trust.demand import KEYS

BEAT = 0.5
"""Seconds between two words to the core that the page is there."""
LOOK = 0.2
"""Seconds between two looks at the recorder's pictures, while somebody watches."""
FAULT = 10.0
"""Seconds at least between two words on faults of the page itself."""
SLICE = 200
"""Messages of the core's that are heard at a time; then others have their turn."""


async def serve(channel: Channel, start: Message) -> None:
    """Serve until the core says stop or is gone.

    Raises:
        DatasetError: the users' file can't be used.
        OutputError: the address is taken, or certificate or key can't be used.
    """
    setup = Setup.of(start)
    read_users(setup.users)  # what is wrong with it is said now
    site = site_of(
        setup,
        lambda camera: channel.send({"is": "reload", "camera": camera}),
        lambda camera, run, trigger: channel.send(
            {"is": "keep", "camera": camera, "run": run, "trigger": trigger}
        ),
        Faults(channel),
    )
    server = server_of(application(site), setup)
    listening = bound(setup)
    heard = asyncio.ensure_future(_hear(channel, site))
    tasks = [heard, *map(asyncio.ensure_future, (site.clients.work(), _look(site), server.sweep()))]
    serving = asyncio.ensure_future(server._serve([listening]))
    channel.send({"is": "up", "address": setup.url})
    try:
        await asyncio.wait({serving, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, *tasks):
            if task.done() and (error := task.exception()) is not None:
                raise error
        if serving.done():
            raise OutputError("the page's server has ended; the line starts it again")
    finally:
        server.should_exit = True
        for task in tasks:
            task.cancel()
        await asyncio.wait({serving}, timeout=2)


class Faults:
    """Tells the core what is wrong with the page itself, now and then; the others are counted."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._told, self._left_out = channel, -FAULT, 0

    def __call__(self, text: str) -> None:
        """One fault."""
        now = time.monotonic()
        if now - self._told < FAULT:
            self._left_out += 1
            return
        more = f" (and {self._left_out} faults before that weren't told)" if self._left_out else ""
        self._told, self._left_out = now, 0
        self._channel.send({"is": "fault", "text": text + more})


def site_of(
    setup: Setup,
    reload: Callable[[str], bool],
    keep: Callable[[str, str, int], bool],
    fault: Callable[[str], object],
) -> Site:
    """All that the page has."""
    record = setup.record
    news, cameras = News(setup.cameras), list(setup.cameras)
    site: Site

    def now() -> dict[str, object]:
        return state(site)

    site = Site(
        setup,
        news,
        History(record),
        Live(None if record is None else record / LIVE, cameras),
        Pictures(),
        Drifting(setup.cameras.values(), None if record is None else record / "drift"),
        Jobs({KEYS: os.pathsep.join(setup.keys)} if setup.keys else {}),
        Sessions(setup.users),
        Clients(setup.clients, now),
        reload,
        keep,
        fault,
    )
    return site


async def _hear(channel: Channel, site: Site) -> None:
    """Hear the core, and tell it now and then that the page is there."""
    loop = asyncio.get_running_loop()
    there, said = asyncio.Event(), 0.0
    loop.add_reader(channel.fileno(), there.set)
    try:
        while not channel.closed:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(there.wait(), BEAT)
            there.clear()
            if loop.time() - said >= BEAT:
                said = loop.time()
                channel.send({"is": "alive"})
            for number, message in enumerate(channel.receive(), 1):
                if message.get("is") == "stop":
                    return
                site.news.hear(message)
                if message.get("is") == "verdict":
                    site.drifting.take(message["verdict"])
                if number % SLICE == 0:
                    await asyncio.sleep(0)
            site.clients.change()
            channel.flush()
    finally:
        loop.remove_reader(channel.fileno())


async def _look(site: Site) -> None:
    """Take in the recorder's pictures while somebody watches."""
    while True:
        if len(site.clients) and await asyncio.to_thread(site.live.look):
            site.clients.change()
        await asyncio.sleep(LOOK)


__all__ = ["Faults", "serve", "site_of"]
