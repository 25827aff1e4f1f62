"""Messages between two processes of a line: JSON objects over a socket, and nobody ever waits to send one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import threading
from typing import Any

Message = dict[str, Any]

MOST_BYTES = 1 << 20
"""Of one message, and of all that wait to be sent."""
_LENGTH = struct.Struct(">I")


class Channel:
    """One end. Sending is safe from any thread, receiving is for one.

    Args:
        end: a connected stream socket, the channel's from now on.

    Attributes:
        closed: the other end is gone, or has sent what is no message; nothing is sent any more.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._in, self._out = bytearray(), bytearray()
        self._read: list[Message] = []
        self._sending = threading.Lock()
        self.closed = False

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """This end, and the socket for another process's."""
        ours, theirs = socket.socketpair()
        return Channel(ours), theirs

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    @property
    def has_more(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def send(self, message: Message) -> bool:
        """Send a message, or as much as the other end takes now; False where it can't take it at all."""
        data = json.dumps(message, separators=(",", ":")).encode()
        with self._sending:
            if self.closed or len(self._out) + len(data) + _LENGTH.size > MOST_BYTES:
                return False
            self._out += _LENGTH.pack(len(data)) + data
            self._flush()
            return not self.closed

    def flush(self) -> None:
        """Send what waits, as far as the other end takes it now."""
        with self._sending:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def receive(self, timeout: float = 0.0) -> list[Message]:
        """The messages that are there; where there are none, those that come in so many seconds."""
        found, self._read = self._read + self._messages(), []
        if found or self.closed:
            return found
        try:
            select.select([self], [self] if self._out else [], [], timeout)
        except (OSError, ValueError):
            self.closed = True
        if self._out:
            self.flush()
        return self._messages()

    def first(self, timeout: float) -> Message | None:
        """The next message alone, or None where none comes in so many seconds."""
        found = self.receive(timeout)
        self._read = found[1:]
        return found[0] if found else None

    def _messages(self) -> list[Message]:
        with contextlib.suppress(BlockingIOError):
            while not self.closed:
                try:
                    more = self._socket.recv(1 << 16)
                except ConnectionError:
                    more = b""
                self._in += more
                self.closed = not more
                if len(self._in) > MOST_BYTES:
                    break
        found: list[Message] = []
        while len(self._in) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._in)
            if length > MOST_BYTES:
                self.closed = True
                break
            if len(self._in) < _LENGTH.size + length:
                break
            try:
                message = json.loads(self._in[_LENGTH.size : _LENGTH.size + length])
            except (ValueError, RecursionError):
                message = None
            del self._in[: _LENGTH.size + length]
            if not isinstance(message, dict):
                self.closed = True
                break
            found.append(message)
        return found

    def close(self) -> None:
        """Let go of the socket."""
        self.closed = True
        self._socket.close()


def of_descriptor(number: int) -> Channel:
    """The end that a parent handed on."""
    os.set_inheritable(number, False)
    return Channel(socket.socket(fileno=number))


__all__ = ["MOST_BYTES", "Channel", "Message", "of_descriptor"]
