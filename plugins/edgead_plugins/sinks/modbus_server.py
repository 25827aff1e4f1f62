"""A Modbus TCP server in a thread: the framing, seven functions, and bounds for whoever connects.

Every request of a client is answered, also where several come at once, in their order and each by itself. A
client that isn't allowed, says nothing, takes no answers, or doesn't speak the protocol, is closed.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgead_plugins.sinks.addresses import Network, allowed
from edgead_plugins.sinks.interlock import ILLEGAL_VALUE, Interlock, Refused

ILLEGAL_FUNCTION = 1
HEADER = struct.Struct(">HHHB")
LONGEST = 254
"""Of a request, in bytes: what the header calls its length, the unit's byte in it."""
MOST_UNREAD = 1 << 16
"""Bytes of answers that a client may leave lying."""

TOLD_REFUSED = 10.0
"""Seconds that a client's refusal is told of."""


@dataclass
class _Client:
    end: socket.socket
    heard: float
    got: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)


class ModbusServer:
    """Serves an interlock's registers until it's closed.

    Args:
        listener: listens, and is the server's from now on.
        interlock: what is read and written.
        clients: how many may be connected.
        idle: seconds after which a client that asks nothing is closed.
        networks: who may connect; everybody where it's empty.

    Attributes:
        counts: what has happened.
    """

    def __init__(
        self,
        listener: socket.socket,
        interlock: Interlock,
        clients: int,
        idle: float,
        networks: tuple[Network, ...] = (),
    ) -> None:
        self._listener, self._most, self._idle, self._networks = listener, clients, idle, networks
        self._answers = answers_of(interlock)
        self._clients: dict[socket.socket, _Client] = {}
        self.counts: Counter[str] = Counter()
        self._refused = (0.0, "")
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._waking, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="edgead-modbus", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    @property
    def refused(self) -> str:
        """Who was refused lately, and why; empty where nobody was."""
        when, refused = self._refused
        return refused if time.monotonic() - when < TOLD_REFUSED else ""

    def close(self) -> None:
        """Close every client and the listener."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._waking.send(b"x")
        self._thread.join(2.0)

    # ------------------------------------------------------------ the thread

    def _serve(self) -> None:
        try:
            while not self._closing:
                for key, events in self._selector.select(1.0):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.data, _Client):
                        self._talk(key.data, events)
                self._close_idle()
        finally:
            for client in list(self._clients.values()):
                self._close(client)
            self._selector.close()
            for end in (self._listener, self._waking, self._woken):
                end.close()

    def _accept(self) -> None:
        try:
            end, peer = self._listener.accept()
        except OSError:  # gone again, or no descriptor is left
            self.counts["clients_refused"] += 1
            time.sleep(0.01)
            return
        refused = ""
        if not allowed(str(peer[0]), self._networks):
            refused = f"{peer[0]} wanted to connect and isn't among those in allow"
        elif len(self._clients) >= self._most:
            refused = f"{peer[0]} wanted to connect, and as many as clients says are connected"
        if refused:
            self.counts["clients_refused"] += 1
            self._refused = (time.monotonic(), refused)
            end.close()
            return
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self._clients[end] = _Client(end, time.monotonic())
        self._selector.register(end, selectors.EVENT_READ, client)

    def _talk(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = client.end.recv(4096)
                if not data:
                    self._close(client)
                    return
                client.got += data
                if not self._answer(client):
                    self.counts["clients_misspoken"] += 1
                    self._close(client)
                    return
            self._send(client)
        except BlockingIOError:
            return
        except OSError:
            self._close(client)

    def _answer(self, client: _Client) -> bool:
        """Answer the requests that are whole; False where it's no Modbus."""
        while len(client.got) >= HEADER.size:
            number, protocol, length, unit = HEADER.unpack_from(client.got)
            if protocol != 0 or not 2 <= length <= LONGEST:
                return False
            if len(client.got) < HEADER.size - 1 + length:
                break
            request = bytes(client.got[HEADER.size : HEADER.size - 1 + length])
            del client.got[: HEADER.size - 1 + length]
            client.heard = time.monotonic()
            answer = self._answers(request)
            if answer[0] & 0x80:
                self.counts["requests_refused"] += 1
            client.out += HEADER.pack(number, 0, len(answer) + 1, unit) + answer
        return True

    def _send(self, client: _Client) -> None:
        if client.out:
            with contextlib.suppress(BlockingIOError):
                del client.out[: client.end.send(client.out)]
        if len(client.out) > MOST_UNREAD:
            self.counts["clients_not_reading"] += 1
            self._close(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        self._selector.modify(client.end, events, client)

    def _close_idle(self) -> None:
        now = time.monotonic()
        for client in list(self._clients.values()):
            if now - client.heard > self._idle:
                self.counts["clients_idle"] += 1
                self._close(client)

    def _close(self, client: _Client) -> None:
        if self._clients.pop(client.end, None) is not None:
            self._selector.unregister(client.end)
            client.end.close()


# ---------------------------------------------------------------- the protocol


def answers_of(interlock: Interlock) -> Callable[[bytes], bytes]:
    """What answers a request, both without the header: function, then what belongs to it."""

    def read_bits(body: bytes) -> bytes:
        at, count = _two(body, 2000)
        bits = interlock.read_bits(at, count)
        packed = sum(bit << place for place, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
        return bytes([len(packed)]) + packed

    def read(body: bytes) -> bytes:
        return _counted(interlock.read(*_two(body, 125)))

    def write_one(body: bytes) -> bytes:
        at, value = _two(body, 0xFFFF, 0)
        interlock.write(at, [value])
        return body

    def write(body: bytes) -> bytes:
        at, count = _two(body[:4], 123)
        interlock.write(at, _values(body[4:], count))
        return body[:4]

    def write_and_read(body: bytes) -> bytes:
        at, count = _two(body[:4], 125)
        written_at, written = _two(body[4:8], 121)
        interlock.read(at, count)  # what can't be read refuses the whole, before anything is written
        interlock.write(written_at, _values(body[8:], written))
        return _counted(interlock.read(at, count))

    functions = {1: read_bits, 2: read_bits, 3: read, 4: read, 6: write_one, 16: write, 23: write_and_read}

    def answer(request: bytes) -> bytes:
        function = request[0]
        try:
            if function not in functions:
                raise Refused(ILLEGAL_FUNCTION)
            return bytes([function]) + functions[function](request[1:])
        except Refused as refused:
            return bytes([function | 0x80, refused.args[0]])

    return answer


def _two(body: bytes, most: int, least: int = 1) -> tuple[int, int]:
    """An address, and a count or value in its range."""
    if len(body) != 4:
        raise Refused(ILLEGAL_VALUE)
    at, count = struct.unpack(">HH", body)
    if not least <= count <= most:
        raise Refused(ILLEGAL_VALUE)
    return at, count


def _values(body: bytes, count: int) -> tuple[int, ...]:
    """The registers to be written, after how many bytes they are."""
    if len(body) != 1 + 2 * count or body[0] != 2 * count:
        raise Refused(ILLEGAL_VALUE)
    return struct.unpack(f">{count}H", body[1:])


def _counted(words: Sequence[int]) -> bytes:
    return struct.pack(f">B{len(words)}H", 2 * len(words), *words)


__all__ = ["HEADER", "LONGEST", "MOST_UNREAD", "TOLD_REFUSED", "ModbusServer", "answers_of"]
