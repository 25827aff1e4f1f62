"""The web server: uvicorn, with a bound on everything that a stranger can hold."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import uvicorn

from edgead.errors import OutputError, one_line
from edgead.line.page.guard import Guard
from edgead.line.page.setup import Setup

SPARE = 32
"""Connections beside those that watch."""
HEAD_SECONDS = 10.0
"""How long a request's head may take to come: from the connection on, and from the answer before it."""
TAKING = 30.0
"""Seconds in which a browser has to take something of what is ready for it; on a slow line the system's own
buffers take some of these."""
PIECE = 4096
"""Bytes that are something."""
MOST_HEAD = 16 << 10


class Server(uvicorn.Server):
    """Ends when it's told, and not by signals: these are for the line's own process."""

    def install_signal_handlers(self) -> None:
        """None."""

    async def sweep(self) -> None:
        """End the connections that ask for nothing, or take nothing: uvicorn waits for these for ever."""
        since: dict[Any, tuple[object, float]] = {}
        while True:
            await asyncio.sleep(min(HEAD_SECONDS, TAKING) / 4)
            now, before = time.monotonic(), since
            since = {}
            for connection in list(self.server_state.connections):
                if (state := _waited_for(connection)) is None:
                    continue
                known, began = before.get(connection, (None, now))
                since[connection] = (state, began if known == state else now)
                if now - since[connection][1] > (TAKING if state[0] == "take" else HEAD_SECONDS):
                    connection.transport.abort()


def _waited_for(connection: Any) -> tuple[object, ...] | None:
    """What a connection's browser is to do next, the same as long as it does nothing; None for nothing."""
    left, cycle = connection.transport.get_write_buffer_size(), connection.cycle
    if left or connection.transport.is_closing():
        return "take", id(cycle), left // PIECE
    return ("ask", id(cycle)) if cycle is None or cycle.response_complete else None


def server_of(app: Guard, setup: Setup) -> Server:
    """A server, not started yet.

    Raises:
        OutputError: certificate or key can't be used.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=setup.clients + SPARE,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MOST_HEAD,
        ssl_certfile=setup.certificate,
        ssl_keyfile=setup.key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:  # ssl's errors are of the first
        raise OutputError(
            f"the page's certificate or key can't be used ({one_line(error, 'message', 300)}): give PEM "
            "files that belong together"
        ) from None
    return Server(config)


def bound(setup: Setup) -> socket.socket:
    """The socket that it listens on.

    Raises:
        OutputError: another program has the port, or the address isn't this machine's.
    """
    host, port = setup.address
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unbound(setup, error) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise _unbound(setup, error) from None
    listening.setblocking(False)
    return listening


def _unbound(setup: Setup, error: OSError) -> OutputError:
    return OutputError(
        f"the page can't listen on {setup.address[0]}:{setup.address[1]} ({error.strerror or error}): give "
        "another listen in the line's [page]"
    )


__all__ = ["Server", "bound", "server_of"]
