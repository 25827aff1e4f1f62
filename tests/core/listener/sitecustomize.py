"""Imported by every Python process that has this folder on its path, those that a library starts included:
any attempt to resolve a name or to use an internet socket is written to a file and refused.
"""

from __future__ import annotations

import os
import sys

INTERNET = (2, 10)  # AF_INET, AF_INET6
CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def listen(event: str, arguments: tuple[object, ...]) -> None:
    made = event == "socket.__new__" and arguments[1] in INTERNET
    local = event == "socket.connect" and isinstance(arguments[1], (str, bytes))  # AF_UNIX: a path
    if made or (event in CALLS and not local):
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:  # noqa: PTH123
            file.write(f"{event} {arguments[1:]}\n")
        raise OSError("no network in this test")


sys.addaudithook(listen)  # hears sockets that C code makes through Python's module too, and can't be removed
