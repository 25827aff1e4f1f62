"""A source or sink that a check makes, of its defaults or the options that the kit's user gives; and what's
checked of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgead.errors import EdgeadError
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.option_checks import options_of, require_json, require_ranges, require_typed

BOUND = 10.0
"""Seconds that a call may take on any machine: a line kills what takes longer."""


@dataclass(frozen=True)
class Made:
    """What is registered, and the words of its options."""

    entry: Entry
    words: tuple[str, ...] = ()

    @property
    def factory(self) -> Any:
        """The class."""
        return registry().get(self.entry.kind, self.entry.name)

    @property
    def options(self) -> Any:
        """Its dataclass of options."""
        return options_of(self.factory, self.factory.Options)

    def one(self) -> Any:
        """A new one."""
        return self.factory(parse_options(self.options, self.words))

    def opened(self) -> Any:
        """A new one, open; skips the check where it can't be here, which another check looks at."""
        one = self.one()
        try:
            one.open()
        except EdgeadError as error:
            one.close()
            raise Skipped(f"it can't be opened here ({error}); give options: -o KEY=VALUE") from error
        return one


def require_one_line(error: BaseException | None, kind: type[EdgeadError], what: str) -> None:
    """Fail where something wasn't refused by this kind of error, in one line."""
    if error is None:
        raise CheckFailed(f"{what} is taken without a word: raise {kind.__name__}")
    require(isinstance(error, kind), f"{what} is a {type(error).__name__} ({error}): raise {kind.__name__}")
    require("\n" not in str(error), f"{what} is an error of several lines: say it in one")


def raised_by(run: Callable[[], object]) -> Exception | None:
    """What a call raises, or None; fails the check where it takes longer than anything may."""
    began = time.monotonic()
    found: Exception | None = None
    try:
        run()
    except Exception as error:
        found = error
    took = time.monotonic() - began
    require(took < BOUND, f"a call took {took:.1f} s: bound it by a timeout of your own")
    return found


# ---------------------------------------------------------------- checks of both


def options_have_defaults(made: Made) -> None:
    """its ``Options`` is a frozen dataclass with a default for every field, and makes one"""
    made.factory(made.options())


def options_survive_json(made: Made) -> None:
    """its options are what a message can hold, and come back from it the same"""
    require_json(made.options)


def options_can_be_typed(made: Made) -> None:
    """each option has a help text, and its default can be given as ``-o name=value``"""
    require_typed(made.options)


def options_keep_their_range(made: Made) -> None:
    """defaults lie in their ``Range``, and a value outside is refused in one line that names the option"""
    require_ranges(made.options)


def closes_at_any_time(made: Made) -> None:
    """``close`` before ``open``, and twice, does nothing"""
    one = made.one()
    for before in (True, False):
        for _ in range(2):
            error = raised_by(one.close)
            when = " before open" if before else ""
            require(error is None, f"close{when} raises {error!r}: it must never")
        raised_by(one.open)
    one.close()


OPTIONS = (options_have_defaults, options_survive_json, options_can_be_typed, options_keep_their_range)

__all__ = [
    "BOUND",
    "OPTIONS",
    "Made",
    "closes_at_any_time",
    "options_can_be_typed",
    "options_have_defaults",
    "options_keep_their_range",
    "options_survive_json",
    "raised_by",
    "require_one_line",
]
