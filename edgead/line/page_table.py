"""The table ``[page]`` of a line's file: where the operator's page listens, and who may see it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated

from edgead.errors import OptionError, cut
from edgead.options import Range

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]{2,45}\]?")


@dataclass(frozen=True)
class PageTable:
    """The table ``[page]``."""

    listen: str = "127.0.0.1:8080"
    """Address and port. Any but this machine's own takes TLS: certificate and key, or behind_tls_proxy."""
    users: str = "users.toml"
    """Who may log in: `edgead line users` writes it. Where there's none, it's made with a first engineer."""
    hosts: tuple[str, ...] = ()
    """Names that browsers may call the page by, beside the address that it listens on."""
    certificate: str | None = None
    """The TLS certificate, with its chain: a PEM file."""
    key: str | None = None
    """The certificate's private key: a PEM file."""
    behind_tls_proxy: bool = False
    """Whether a proxy ends TLS before it: cookies are for HTTPS alone then, its X-Forwarded-For counts."""
    clients: Annotated[int, Range(1, 64)] = 16
    """Browsers that may watch at once; one more is told to come back later."""

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by HTTPS."""
        return self.certificate is not None or self.behind_tls_proxy

    @property
    def known_hosts(self) -> frozenset[str]:
        """What a request's Host may be, lower case and without its port."""
        host, _ = self.address
        own = {"localhost", "127.0.0.1", "::1"} if is_loopback(host) else {host}
        return frozenset(name.strip("[]").lower() for name in {*own, *self.hosts})


def check_page(table: PageTable, where: str) -> None:
    """Refuse what can't be, or would be open to all.

    Args:
        where: begins the message of an error.

    Raises:
        OptionError: names the key.
    """
    host, colon, port = table.listen.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535
    if not colon or not is_port or not _HOST.fullmatch(host) or (":" in host and host[0] != "["):
        raise OptionError(
            f"{where}: listen '{cut(table.listen, 60)}' must be an address and a port, 127.0.0.1:8080 "
            "for instance"
        )
    for name in table.hosts:
        if not _HOST.fullmatch(name):
            raise OptionError(
                f"{where}: hosts: '{cut(name, 60)}' is no host's name: give names alone, without "
                "scheme or port"
            )
    if (table.certificate is None) != (table.key is None):
        raise OptionError(f"{where}: certificate and key go together: give both, or neither")
    if table.certificate is not None and table.behind_tls_proxy:
        raise OptionError(f"{where}: certificate and behind_tls_proxy exclude each other: give one of them")
    own = table.address[0]
    if not is_loopback(own) and not table.is_secure:
        raise OptionError(
            f"{where}: listen {own} is open to others, and passwords would go over the net as they are: give "
            "certificate and key, say behind_tls_proxy = true, or listen on 127.0.0.1"
        )
    if own in ("0.0.0.0", "::") and not table.hosts:
        raise OptionError(
            f"{where}: with listen {own}, hosts must say by which names browsers reach the page"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own, which no other can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


__all__ = ["PageTable", "check_page", "is_loopback"]
