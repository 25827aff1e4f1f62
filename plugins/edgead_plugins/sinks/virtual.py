"""A virtual PLC: starts a virtual belt, may tell of its triggers, and writes down each verdict."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from edgead.errors import DatasetError, OutputError
from edgead.files import output_errors
from edgead.line.broken import break_down
from edgead.line.faults import of_word
from edgead.line.records import record_of
from edgead.types import Health, Role, Verdict
from edgead_plugins.belt import SECOND, Belt, BeltOptions, read_start, write_start

LEAD = 300_000_000
"""Ns from the line's first readiness to part 0."""


@dataclass(frozen=True)
class VirtualOptions(BeltOptions):
    """The belt, and what the PLC does beside it."""

    tells: bool = False
    """Whether it tells of each part's trigger."""


class Virtual:
    """The PLC. Its belt runs on in a thread, whatever becomes of the line."""

    Options: ClassVar[type] = VirtualOptions
    roles: ClassVar[tuple[Role, ...]] = ("verdict", "inform")

    def __init__(self, options: VirtualOptions | None = None) -> None:
        self.options = options or VirtualOptions()
        self._faults = {str(fault.part): fault for fault in map(of_word, self.options.faults)}
        self._told: Callable[[str | None], None] | None = None
        self._log: IO[str] | None = None
        self._is_open = False
        self._level: bool | None = None
        self._gone_until = 0
        self._belt: threading.Thread | None = None
        self._writing = threading.Lock()
        self._verdicts = 0

    def on_trigger(self, told: Callable[[str | None], None]) -> None:
        """Whom to tell of triggers."""
        self._told = told

    def open(self) -> None:
        """Begin to take verdicts."""
        self.close()
        if time.monotonic_ns() < self._gone_until:
            raise OutputError("the virtual PLC is away, as its fault script says")
        if self.options.log:
            with output_errors(Path(self.options.log)):
                self._log = Path(self.options.log).open("a")  # noqa: SIM115
        self._is_open = True

    def send(self, verdict: Verdict) -> None:
        """Write a verdict down."""
        if not self._is_open:
            raise OutputError("the virtual PLC isn't open; open it first")
        fault = self._faults.pop(verdict.part, None)
        what = "" if fault is None else fault.what.removeprefix("sink-")
        if fault is not None and what == "gone":
            self._gone_until = time.monotonic_ns() + round(fault.seconds * SECOND)
            raise OutputError("the virtual PLC went away, as its fault script says")
        if fault is not None and what == "slow":
            time.sleep(fault.seconds)
        elif what in ("hang", "exit", "crash", "stop"):
            break_down(what)
        self._verdicts += 1
        self._write({"verdict": record_of(verdict), "at": time.monotonic_ns()})

    def beat(self, ready: bool) -> None:
        """The belt starts with the first readiness, and goes on."""
        if not self._is_open:
            raise OutputError("the virtual PLC isn't open; open it first")
        if ready != self._level:
            self._level = ready
            self._write({"ready": ready, "at": time.monotonic_ns()})
        if ready and self._belt is None and self.options.belt:
            self._belt = threading.Thread(target=self._run, daemon=True)
            self._belt.start()

    def health(self) -> Health:
        """Verdicts that it got."""
        return Health(self._is_open, "" if self._is_open else "not open", {"verdicts": self._verdicts})

    def close(self) -> None:
        """Take no more verdicts."""
        self._is_open, self._level = False, None
        with self._writing:
            log, self._log = self._log, None
            if log is not None:
                log.close()

    def _write(self, record: dict[str, Any]) -> None:
        with self._writing:
            if self._log is not None:
                self._log.write(json.dumps(record) + "\n")
                self._log.flush()

    def _run(self) -> None:
        file = Path(self.options.belt)
        try:
            start = read_start(file)
        except DatasetError:
            start = None
        if start is None:
            start = time.monotonic_ns() + LEAD
            write_start(file, start)
        if self._told is None or not self.options.tells:
            return
        belt = Belt(self.options.rate, self.options.parts, map(of_word, self.options.faults), start)
        part = belt.next_after(time.monotonic_ns())
        while (at := belt.at(part)) is not None:
            if (left := at - time.monotonic_ns()) > 0:
                time.sleep(left / SECOND)
            self._told(str(part))
            self._write({"trigger": part, "at": time.monotonic_ns()})
            part += 1


__all__ = ["Virtual", "VirtualOptions"]
