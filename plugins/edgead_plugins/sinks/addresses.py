"""Addresses as options give them: where to listen, and who may connect."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from edgead.errors import OptionError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def host_and_port(name: str, text: str) -> tuple[str, int]:
    """The two of ``HOST:PORT``; an IPv6 address stands in brackets.

    Args:
        name: the option's.

    Raises:
        OptionError: it's something else.
    """
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    number = int(port) if port.isdecimal() and port.isascii() and len(port) < 6 else -1
    if not colon or not host or not 0 <= number <= 65535 or not text.isascii() or not text.isprintable():
        raise OptionError(f"option '{name}' takes HOST:PORT, 127.0.0.1:502 say, not '{text[:60]}'")
    return host, number


def networks(name: str, texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses, or networks as 192.168.1.0/24.

    Raises:
        OptionError: one is neither.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise OptionError(
            f"option '{name}' takes addresses, 192.168.1.7 or 192.168.1.0/24 say ({error})"
        ) from None


def allowed(peer: str, among: tuple[Network, ...]) -> bool:
    """Whether a peer's address is in one of the networks; everybody's where there are none."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not among or any(address in network for network in among)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: nobody can.
    """
    family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(16)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


__all__ = ["Network", "allowed", "host_and_port", "listening", "networks"]
