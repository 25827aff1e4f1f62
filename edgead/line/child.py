"""What every process of a line begins with, and how it says that it can't do its work.

A process is started with two numbers, the descriptor of its channel and its parent, and where Python finds
what it imports. The first message says what to do. It ends with its parent, however that ends, and by nothing
else that a terminal or a service manager sends: the parent tells it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from edgead.errors import EdgeadError, PluginError, one_line
from edgead.line.channel import Channel, Message, of_descriptor
from edgead.registry import Kind

ALIVE = 0.2
"""Seconds: something is heard of every process at least so often."""
_SET_PARENT_DEATH_SIGNAL = 1


def run(work: Callable[[Channel, Message], None]) -> None:
    """Be a process of a line: take the first message and work on it until the parent goes or says stop."""
    number, parent = int(sys.argv[1]), int(sys.argv[2])
    _end_with(parent)
    channel = of_descriptor(number)
    start = _first(channel)
    if start is None:
        os._exit(0)
    try:
        work(channel, start)
    except EdgeadError as error:
        refuse(channel, error)
    except Exception as error:
        refuse(channel, PluginError(f"unexpected {one_line(error)}"))
    for _ in range(20):
        channel.flush()
        if not channel.has_more or channel.closed:
            break
        channel.receive(0.05)
    sys.stderr.flush()
    os._exit(0)  # an engine, or a camera's driver, may hang where it's taken down


def say(channel: Channel, message: Message) -> None:
    """Say what mustn't be lost: where the line takes no more, the process ends, and that is seen."""
    if not channel.send(message) and not channel.closed:
        os._exit(4)


def refuse(channel: Channel, error: EdgeadError) -> None:
    """Say why this can't be done."""
    channel.send({"is": "refused", "kind": type(error).__name__, "text": one_line(error, "message", 2000)})


def made_of(kind: Kind, name: str, options: dict[str, Any]) -> Any:
    """A registered source or sink, made of its options.

    Raises:
        UnknownNameError, PluginError, MissingDependencyError: as ``Registry.get``.
        OptionError: an option is unknown, of another type, or out of range.
    """
    from edgead.line.tables import made
    from edgead.plugins import registry

    factory = registry().get(kind, name)
    who = registry().entry(kind, name)
    try:
        return factory(made(factory.Options, options, f"{name}'s options"))
    except EdgeadError:
        raise
    except Exception as error:
        text = (
            f"{who.distribution} {who.version}: '{name}' can't be made ({one_line(error)}); tell its author"
        )
        raise PluginError(text) from error


def _first(channel: Channel) -> Message | None:
    while not channel.closed:
        if (message := channel.first(1.0)) is not None:
            return message
    return None


def _end_with(parent: int) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    import resource

    with contextlib.suppress(OSError, ValueError):  # who writes a core first is noticed as gone seconds later
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


__all__ = ["ALIVE", "made_of", "refuse", "run", "say"]
