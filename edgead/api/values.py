"""Checks of what the calls are given: one line that names the argument, before any work."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

from edgead.errors import OptionError

MOST = (1 << 63) - 1
"""What no count, number or seed is over."""
MOST_DRAWS = 100_000
"""Bootstrap draws: each keeps eight bytes for every image."""


def text(name: str, value: Any, what: str) -> str:
    """Text; ``what`` says of what kind, for the message.

    Raises:
        OptionError: it's anything else.
    """
    if not isinstance(value, str):
        raise OptionError(f"{name} {value!r} must be {what}")
    return value


def maybe_text(name: str, value: Any, what: str) -> str | None:
    """The same, or None."""
    return None if value is None else text(name, value, what)


def path(name: str, value: Any) -> None:
    """Raise OptionError unless it's a path or None."""
    if value is None:
        return
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise OptionError(f"{name} {value!r} must be a path")


def whole(name: str, value: Any, least: int | None = None, most: int = MOST) -> int:
    """A whole number of any integer type, NumPy's too, but no truth value.

    Raises:
        OptionError: it's anything else, under ``least`` or over ``most``.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{name} {value!r} must be a whole number") from None
    if abs(number) > MOST:  # so long a number isn't printed
        raise OptionError(f"{name} must be a whole number of 64 bits")
    if least is not None and number < least:
        raise OptionError(f"{name} {number} must be at least {least}")
    if number > most:
        raise OptionError(f"{name} {number} must be at most {most}")
    return number


def maybe_whole(name: str, value: Any, least: int | None = None, most: int = MOST) -> int | None:
    """The same, or None."""
    return None if value is None else whole(name, value, least, most)


def number(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """A finite number of any numeric type; text is none.

    Raises:
        OptionError: it's anything else, or not from ``low`` to ``high``.
    """
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{name} {value!r} must be a number") from None
    if not math.isfinite(found):
        raise OptionError(f"{name} {found} must be a finite number")
    if low is not None and high is not None and not low <= found <= high:
        raise OptionError(f"{name} {found} must be from {low:g} to {high:g}")
    return found


def maybe_number(name: str, value: Any) -> float | None:
    """The same, or None."""
    return None if value is None else number(name, value)


def flag(name: str, value: Any) -> bool:
    """True or False, NumPy's too.

    Raises:
        OptionError: it's anything else.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise OptionError(f"{name} {value!r} must be True or False")
    return bool(value)


def maybe_flag(name: str, value: Any) -> bool | None:
    """The same, or None."""
    return None if value is None else flag(name, value)


def called(name: str, value: Any) -> None:
    """Raise OptionError unless it can be called."""
    if not callable(value):
        raise OptionError(f"{name} {value!r} must be a function, edgead.progress.bar for instance")


__all__ = [
    "called",
    "flag",
    "maybe_flag",
    "maybe_number",
    "maybe_text",
    "maybe_whole",
    "number",
    "path",
    "text",
    "whole",
]
