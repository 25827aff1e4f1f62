"""Server-sent events: what is so now, to every browser that watches.

Each browser gets the newest state when it can take one, and never what it missed: a slow one sees fewer
states, and costs one state's memory. One that takes nothing at all is let go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

EVERY = 0.2
"""Seconds between two states at least."""
BEAT = 2.0
"""Seconds after which the state is sent again though nothing has changed: what is shown is current."""
STUCK = 20.0
"""Seconds that a browser may take nothing until it's let go."""


class Clients:
    """The browsers that watch.

    Args:
        most: at once.
        state: makes what is sent, as JSON values.
    """

    def __init__(self, most: int, state: Callable[[], dict[str, Any]]) -> None:
        self._most, self._state = most, state
        self._waiting: set[asyncio.Event] = set()
        self._changed = asyncio.Event()
        self.newest = b""
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether one more must come back later."""
        return len(self._waiting) >= self._most

    def change(self) -> None:
        """Something is news; never waits."""
        self._changed.set()

    async def work(self) -> None:
        """Make states as there's news, and wake who waits for one."""
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), BEAT)
            self._changed.clear()
            if self._waiting:
                self.renew()
                for each in self._waiting:
                    each.set()
            await asyncio.sleep(EVERY)

    def renew(self) -> bytes:
        """Make the newest state."""
        text = json.dumps(self._state(), separators=(",", ":"))
        self.newest = f"event: now\ndata: {text}\n\n".encode()
        return self.newest

    def stream(self, goes_on: Callable[[], bool]) -> Stream:
        """The answer to one browser.

        Args:
            goes_on: whether whoever asked is still logged in.
        """
        return Stream(self, goes_on)

    async def _serve(self, send: Send, goes_on: Callable[[], bool]) -> None:
        mine = asyncio.Event()
        self._waiting.add(mine)
        try:
            head = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            data = self.renew()
            while goes_on():
                part = {"type": "http.response.body", "body": data, "more_body": True}
                await asyncio.wait_for(send(part), STUCK)
                await mine.wait()
                mine.clear()
                data = self.newest
            await send({"type": "http.response.body", "body": b"event: bye\ndata: {}\n\n"})
        finally:
            self._waiting.discard(mine)


class Stream:
    """An answer that goes on until the browser goes, is stuck, or is logged out."""

    def __init__(self, clients: Clients, goes_on: Callable[[], bool]) -> None:
        self._clients, self._goes_on = clients, goes_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        serving = asyncio.ensure_future(self._clients._serve(send, self._goes_on))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (serving, gone):
                task.cancel()
            with suppress(asyncio.CancelledError, asyncio.TimeoutError, OSError):
                await serving


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


__all__ = ["EVERY", "Clients", "Stream"]
