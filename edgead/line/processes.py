"""The line's processes: starting, hearing, killing and starting again. Nothing here waits for one of them."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgead.errors import InputError, one_line
from edgead.line.channel import Channel, Message
from edgead.line.pauses import Pauses
from edgead.line.priority import be_idle
from edgead.line.watchdog import VARIABLES

_START = (
    "import sys; sys.path[:] = sys.argv[4:]; import importlib; importlib.import_module(sys.argv[3]).main()"
)
_LAST_WORDS = 4096
_SOON = 0.005
"""Seconds until a process that was killed is looked at again."""
_DYING = 0.1
"""Seconds that a process may take to end after its channel was closed."""


@dataclass(eq=False)
class Child:
    """A process that is to be there, and the one that is.

    Attributes:
        name: unique among those of its kind.
        kind: what it does.
        first: makes the first message, which says what to do.
        descriptors: of files that it shares.
        gently: whether it's to be started so that it takes nothing from others.
        up: it has said that it does what it should.
        heard, asked: when something was heard of it last, and when it was asked last, seconds.
        again: when it's to be started, seconds; None where it's there.
        silent_since: when its channel was found closed, seconds, or 0.
        refusal: why it said that it never will do it, the last time; empty if it hasn't.
        retired: it's to end, and isn't started again.
    """

    name: str
    kind: Literal["camera", "judge", "sink", "recorder", "page", "look"]
    first: Callable[[], Message]
    descriptors: tuple[int, ...] = ()
    gently: Callable[[], bool] = lambda: False
    up: bool = False
    heard: float = 0.0
    asked: float = 0.0
    again: float | None = 0.0
    pauses: Pauses = field(default_factory=Pauses)
    process: subprocess.Popen[bytes] | None = None
    channel: Channel | None = None
    silent_since: float = 0.0
    refusal: str = ""
    retired: bool = False
    _words: bytes = b""
    _why: str = ""
    _unstarted: str = ""  # why it couldn't be started, until that's told

    @property
    def label(self) -> str:
        """What it's called to people."""
        return f"{self.kind} {self.name}"

    def send(self, message: Message) -> bool:
        """Send it a message; False where it isn't there, or takes no more."""
        return self.channel is not None and self.channel.send(message)

    def kill(self, why: str) -> None:
        """End it at once."""
        if self.process is not None and not self._why:
            self._why = why
            with suppress(OSError):
                self.process.kill()

    def retire(self) -> None:
        """End it at once, and for good."""
        self.retired, self.again = True, None
        self.kill("nobody needs it any more")

    def works(self, now: float) -> None:
        """It has said that it does what it should."""
        if not self.up:
            self.up = True
            self.pauses.up(now)


class Children:
    """All processes of a line.

    Args:
        folder: their working folder.

    Raises:
        InputError: this system can't hand sockets and memory to another process as a line does.
    """

    def __init__(self, folder: Path) -> None:
        if sys.platform == "win32":
            raise InputError("edgead line needs Linux or another POSIX system: run it there")
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self.all: list[Child] = []

    def add(self, child: Child) -> Child:
        """Have a process; it's started by ``start_due``."""
        self.all.append(child)
        return child

    def start_due(self, now: float) -> None:
        """Start the processes whose time has come."""
        for child in self.all:
            if child.again is not None and child.again <= now:
                self._start(child, now)

    @property
    def next_at(self) -> float | None:
        """When ``start_due`` or ``ended`` has something to do, seconds, or None."""
        times = [child.again for child in self.all if child.again is not None]
        if any(child._why or (child.channel and child.channel.closed) for child in self.all):
            times.append(time.monotonic() + _SOON)
        return min(times, default=None)

    def messages(self, timeout: float) -> Iterator[tuple[Child, Message]]:
        """What is heard of them in so many seconds; ends with the first that say something."""
        for key, events in self._selector.select(max(0.0, timeout)):
            child: Child = key.data
            if key.fileobj is not child.channel:
                self._listen(child)
                continue
            assert child.channel is not None
            if events & selectors.EVENT_WRITE:
                child.channel.flush()
            for message in child.channel.receive():
                child.heard = time.monotonic()
                yield child, message
            if child.channel.closed:
                self._unregister(child)
        for child in self.all:
            if child.channel is not None and not child.channel.closed:
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.channel.has_more else 0)
                if self._selector.get_key(child.channel).events != wanted:
                    self._selector.modify(child.channel, wanted, child)

    def ended(self, now: float) -> Iterator[tuple[Child, str]]:
        """Those that are no more or couldn't be started, each once, and why; they're started again after a
        pause, but for the retired ones, which are forgotten and not told of."""
        for child in list(self.all):
            if child.process is None:
                why, child._unstarted = child._unstarted, ""
                if child.retired:
                    self.all.remove(child)
                elif why:
                    yield child, why
                continue
            code = child.process.poll()
            if code is None:
                if child.channel is not None and child.channel.closed:
                    child.silent_since = child.silent_since or now
                    if now - child.silent_since > _DYING:  # it isn't dying, and can't be heard any more
                        child.kill("it said what can't be understood")
                continue
            why = self._told(child, code)
            self._let_go(child)
            if child.retired:
                self.all.remove(child)
                continue
            child.again = now + child.pauses.failed(now)
            yield child, why

    def end_all(self, seconds: float) -> None:
        """Tell all to stop, and kill those that haven't in so many seconds."""
        until = time.monotonic() + seconds
        for child in self.all:
            child.send({"is": "stop"})
        while any(c.process is not None and c.process.poll() is None for c in self.all):
            left = until - time.monotonic()
            if left <= 0:
                break
            for _ in self.messages(min(left, 0.02)):
                pass
        for child in self.all:
            child.kill("the line ends")
        until = time.monotonic() + 1.0
        for child in self.all:
            if child.process is not None:
                with suppress(subprocess.TimeoutExpired):  # in a driver: the system ends it when it can
                    child.process.wait(max(0.0, until - time.monotonic()))
                self._let_go(child)
        self._selector.close()

    def _start(self, child: Child, now: float) -> None:
        try:
            ours, theirs = Channel.pair()
        except OSError as error:  # too many files are open
            self._not_started(child, now, error)
            return
        with theirs:
            number = theirs.fileno()
            path = [entry or str(Path.cwd()) for entry in sys.path]
            module = f"edgead.line.{child.kind}_process"
            command = [sys.executable, "-c", _START, str(number), str(os.getpid()), module, *path]
            try:
                child.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(number, *child.descriptors),
                    cwd=self._folder,
                    env={name: value for name, value in os.environ.items() if name not in VARIABLES},
                    start_new_session=True,
                )
            except OSError as error:  # no memory, or too many processes
                ours.close()
                self._not_started(child, now, error)
                return
        if child.gently():
            be_idle(child.process.pid)
        child.channel, child.again, child.up, child.refusal = ours, None, False, ""
        child.heard = child.asked = now
        child._words, child._why, child.silent_since = b"", "", 0.0
        self._selector.register(ours, selectors.EVENT_READ, child)
        assert child.process.stderr is not None
        os.set_blocking(child.process.stderr.fileno(), False)
        self._selector.register(child.process.stderr, selectors.EVENT_READ, child)
        ours.send(child.first())

    def _not_started(self, child: Child, now: float, error: OSError) -> None:
        child._unstarted = f"it can't be started ({one_line(error)})"
        child.again = now + child.pauses.failed(now)

    def _listen(self, child: Child) -> None:
        """Keep the end of what it prints, for the case that they are its last words."""
        assert child.process is not None and child.process.stderr is not None
        try:
            more = os.read(child.process.stderr.fileno(), 1 << 16)
        except OSError:
            return
        child._words = (child._words + more)[-_LAST_WORDS:]
        if not more:
            self._selector.unregister(child.process.stderr)

    def _told(self, child: Child, code: int) -> str:
        if child.process is not None and child.process.stderr is not None and not child._why:
            with suppress(KeyError):
                self._selector.get_key(child.process.stderr)
                self._listen(child)
        words = one_line(child._words.decode("utf-8", "replace"), "last", 300) if child._words else ""
        how = child._why or (f"it ended with {code}" if code >= 0 else f"it was ended by {_signal(-code)}")
        return f"{how} ({words})" if words and not child._why else how

    def _let_go(self, child: Child) -> None:
        self._unregister(child)
        if child.channel is not None:
            child.channel.close()
        if child.process is not None and child.process.stderr is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(child.process.stderr)
            child.process.stderr.close()
        child.process, child.channel, child.up, child._why = None, None, False, ""

    def _unregister(self, child: Child) -> None:
        if child.channel is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(child.channel)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


__all__ = ["Child", "Children"]
