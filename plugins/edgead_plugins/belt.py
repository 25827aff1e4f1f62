"""A virtual belt: which part comes when, the same for the camera over it and the PLC beside it.

The PLC starts it once the line is ready, and writes down when, in a file that the camera waits for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgead.errors import DatasetError
from edgead.files import read_plain
from edgead.line.faults import Fault, of_word
from edgead.options import Range, check_options

SECOND = 1_000_000_000
MOST_BYTES = 1000


@dataclass(frozen=True)
class BeltOptions:
    """What camera and PLC have to know alike."""

    rate: Annotated[float, Range(0.001, 10_000)] = 10.0
    """Parts a second."""
    parts: Annotated[int, Range(0, 1_000_000_000)] = 0
    """How many; 0 for no end."""
    belt: str = ""
    """The file that says when the belt started: a virtual PLC writes it with the line's first readiness.
    Empty: the camera's belt starts with its opening, and the PLC has none."""
    log: str = ""
    """A file for a line of JSON for each trigger, and each verdict that the PLC got."""
    faults: tuple[str, ...] = ()
    """What goes wrong at which part: PART WHAT SECONDS COUNT each."""

    def __post_init__(self) -> None:
        check_options(self)
        for word in self.faults:
            of_word(word)


class Belt:
    """Parts at a rate, but for bursts, which come all at once.

    Args:
        rate: parts a second.
        parts: how many; 0 for no end.
        faults: of which the bursts count here.
        start: when part 0 comes, ns of the monotonic clock.
    """

    def __init__(self, rate: float, parts: int, faults: Iterable[Fault], start: int) -> None:
        self._rate, self._parts, self.start = rate, parts, start
        self._bursts = [(f.part, f.part + f.count) for f in faults if f.what == "belt-burst"]

    def at(self, part: int) -> int | None:
        """When a part comes, ns; None after the last."""
        if self._parts and part >= self._parts:
            return None
        first = min((begin for begin, end in self._bursts if begin <= part < end), default=part)
        return self.start + round(first / self._rate * SECOND)

    def next_after(self, now: int) -> int:
        """The first part that comes after a time."""
        part = max(0, int((now - self.start) / SECOND * self._rate) - 1)
        part = min((begin for begin, end in self._bursts if begin <= part < end), default=part)
        while (at := self.at(part)) is not None and at <= now:
            part += 1
        return part


def write_start(file: Path, start: int) -> None:
    """Write down when the belt starts, whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps({"start_ns": start}))
    beside.replace(file)


def read_start(file: Path) -> int | None:
    """When the belt started, or None where it hasn't.

    Raises:
        DatasetError: the file holds something else.
    """
    try:
        return int(json.loads(read_plain(file, MOST_BYTES))["start_ns"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(f"{file}: doesn't say when a belt starts; remove it") from None


__all__ = ["SECOND", "Belt", "BeltOptions", "read_start", "write_start"]
