"""Word to systemd, where it started the line: that it's up, how it is, and that it goes on.

The protocol is ``sd_notify``: datagrams to the socket that an environment variable names. Where there's none,
nothing is sent and nothing fails.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Of the environment; they are for the line's own process, and not for those that it starts."""


class Watchdog:
    """Tells systemd.

    Args:
        environment: this process's if not given.

    Attributes:
        period: seconds between two feedings, half of what systemd waits; None where it doesn't watch.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        self.period: float | None = None
        mine = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        with suppress(ValueError):
            if mine and (waits := int(given.get("WATCHDOG_USEC", "0"))) > 0:
                self.period = waits / 2e6
        self._fed: float | None = None

    def tell(self, **words: object) -> None:
        """Send words: ``READY=1``, ``STATUS=...``; never waits, and never raises."""
        if not self._address or sys.platform == "win32":
            return
        text = "\n".join(f"{name}={str(word)[:500].splitlines()[0]}" for name, word in words.items())
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(text.encode(), address)

    def feed(self, now: float, well: bool) -> None:
        """Say that the line goes on, where it's well and it's time to; else systemd restarts the line."""
        if self.period is None or not well or (self._fed is not None and now - self._fed < self.period):
            return
        self._fed = now
        self.tell(WATCHDOG=1)


__all__ = ["VARIABLES", "Watchdog"]
