"""The web server: uvicorn, with a bound on everything that a stranger can hold."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgead.errors import OutputError, one_line
from edgead.line.page.guard import Guard
from edgead.line.page.setup import Setup

SPARE = 32
"""Connections beside those that watch."""
HEAD_SECONDS = 10.0
"""How long a request's head may take to come, from the connection on."""
CLOSING = 10.0
"""Seconds that a connection that is being closed may take over what is left to send."""
MOST_HEAD = 16 << 10


class Protocol(H11Protocol):
    """A connection that has to ask for something soon, or is ended."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._end_if_silent)

    def _end_if_silent(self) -> None:
        waiting: Any = self.cycle  # None before the first request
        if waiting is None and not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """Ends when it's told, and not by signals: these are for the line's own process."""

    def install_signal_handlers(self) -> None:
        """None."""

    async def sweep(self) -> None:
        """End connections that are closed here and never take what is left."""
        since: dict[Any, float] = {}
        while True:
            await asyncio.sleep(CLOSING / 4)
            closing = {c for c in self.server_state.connections if c.transport.is_closing()}
            since = {c: since.get(c, time.monotonic()) for c in closing}
            for connection, began in since.items():
                if time.monotonic() - began > CLOSING:
                    connection.transport.abort()


def server_of(app: Guard, setup: Setup) -> Server:
    """A server, not started yet.

    Raises:
        OutputError: certificate or key can't be used.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
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
