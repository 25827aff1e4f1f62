"""Fault scripts: what goes wrong at which part, so that a line can be seen to say its verdicts all the same.

A script is TOML, a table for each fault::

    [[fault]]
    part = 12
    what = "judge-hang"
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from edgead.errors import DatasetError, OptionError, UnknownNameError, cut
from edgead.extras import explained
from edgead.files import read_plain
from edgead.line.tables import made
from edgead.names import shown
from edgead.options import Range, check_options

# fmt: off
What = Literal[
    "judge-slow", "judge-hang", "judge-raise", "judge-nan", "judge-exit", "judge-crash", "judge-stop",
    "camera-slow", "camera-lost", "camera-gap", "camera-gone", "camera-hang", "camera-exit",
    "camera-crash", "camera-stop", "camera-missed", "camera-ghost",
    "sink-slow", "sink-gone", "sink-hang", "sink-exit", "sink-crash", "sink-stop",
    "belt-burst",
    "swap", "swap-refused", "swap-crash", "swap-raise", "swap-hang", "swap-worse",
]
# fmt: on
WHATS: tuple[str, ...] = get_args(What)
SWAPS: tuple[What, ...] = tuple(what for what in get_args(What) if what.startswith("swap"))
MOST = 10_000
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Fault:
    """One fault, as a script's table has it."""

    part: Annotated[int, Range(0, 1_000_000_000)] = 0
    """The part that it happens to, from 0."""
    what: What = "judge-raise"
    """What goes wrong."""
    seconds: Annotated[float, Range(0, 3600)] = 0.2
    """How long what is slow or gone is so."""
    count: Annotated[int, Range(1, 1000)] = 1
    """How many parts a gap or a burst has."""

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def where(self) -> str:
        """judge, camera, sink, belt or swap."""
        return self.what.partition("-")[0]

    @property
    def word(self) -> str:
        """The fault in one text, as ``of_word`` reads it."""
        return f"{self.part} {self.what} {self.seconds:g} {self.count}"


def of_word(word: str) -> Fault:
    """Read a fault that was written as one text; raises OptionError."""
    try:
        part, what, seconds, count = word.split()
        return Fault(int(part), what, float(seconds), int(count))  # type: ignore[arg-type]
    except ValueError:
        raise OptionError(
            f"'{cut(word, 60)}' is no fault: write PART WHAT SECONDS COUNT, '12 judge-hang 0 1' for instance"
        ) from None


def words(faults: Iterable[Fault], where: str) -> list[str]:
    """Those of one place, and the belt's, which all have to know of, as texts."""
    return [fault.word for fault in faults if fault.where in (where, "belt")]


def drawn(seed: int, parts: int, count: int) -> tuple[Fault, ...]:
    """So many faults of any kind but ``camera-ghost``, each at a part of its own; the same for the same seed.

    An image that nothing triggered can be taken for the next part's where it comes close before it, and how
    close that is on a busy machine, no script says.
    """
    rng = random.Random(seed)
    places = sorted(rng.sample(range(1, parts), min(count, parts - 1)))
    kinds = [what for what in WHATS if what != "camera-ghost"]
    return tuple(
        Fault(part, rng.choice(kinds), round(rng.uniform(0.05, 0.6), 2), rng.randint(2, 6))  # type: ignore[arg-type]
        for part in places
    )


def read_script(file: Path) -> tuple[Fault, ...]:
    """Read a fault script.

    Raises:
        DatasetError: it can't be read, or isn't TOML.
        OptionError, UnknownNameError: a key or value isn't one of ``Fault``.
    """
    with explained("a fault script"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    try:
        document = tomllib.loads(read_plain(Path(file), MOST_BYTES).decode())
    except OSError as error:
        raise DatasetError(f"{shown(file)}: can't be read ({error.strerror}); give a fault script") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{shown(file)}: not TOML: {cut(str(error))}; mend it") from None
    for key in document:
        if key != "fault":
            raise UnknownNameError(f"table of a fault script ({shown(file)})", key, ("fault",))
    tables = document.get("fault", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise OptionError(f"{shown(file)}: fault must be tables: write [[fault]] above the keys of each")
    if len(tables) > MOST:
        raise OptionError(f"{shown(file)}: {len(tables)} faults: a script has {MOST} at most")
    return tuple(
        made(Fault, table, f"{shown(file)}: [[fault]] {number}") for number, table in enumerate(tables, 1)
    )


__all__ = ["SWAPS", "WHATS", "Fault", "drawn", "of_word", "read_script", "words"]
