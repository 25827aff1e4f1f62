"""The types that an option may have: text becomes a value of one, a value is checked against one, and each is
said in words.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True)
class Range:
    """Which numbers an option takes: ``Annotated[int, Range(1, 64)]``, of a tuple's elements too.

    Attributes:
        low, high: the smallest and the largest; None where there is no bound.
        open_low, open_high: the bound itself isn't taken.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        over = self.low is None or (value > self.low if self.open_low else value >= self.low)
        under = self.high is None or (value < self.high if self.open_high else value <= self.high)
        return over and under

    def __str__(self) -> str:
        """In words: ``from 0 to 1``, ``over 0, at most 1``, ``at least 1``."""
        if None not in (self.low, self.high) and not (self.open_low or self.open_high):
            return f"from {show(self.low)} to {show(self.high)}"
        low = "" if self.low is None else f"{'over' if self.open_low else 'at least'} {show(self.low)}"
        high = "" if self.high is None else f"{'under' if self.open_high else 'at most'} {show(self.high)}"
        return ", ".join(part for part in (low, high) if part)


class UnreadableError(Exception):
    """The text isn't of this type."""


def describe_type(hint: Any) -> str:
    """Say in words what may stand after the ``=``: ``integer at least 1|none``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([describe_type(arguments[0]), *(str(one) for one in _ranges(arguments))])
    if origin is Literal:
        return "|".join(show(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return "|".join(dict.fromkeys(describe_type(argument) for argument in arguments))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"{describe_type(arguments[0])},..."
        return ",".join(describe_type(argument) for argument in arguments)
    return {type(None): "none", bool: "true|false", int: "integer", float: "number", str: "text"}.get(
        hint, str(hint)
    )


def show(value: Any) -> str:
    """Write a value as the user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(show(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def convert(hint: Any, text: str) -> Any:
    """Read a value of this type as ``-o`` gives it; a ``Range`` isn't looked at.

    Raises:
        UnreadableError: the text isn't one.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return convert(arguments[0], text)
    if origin is Literal:
        return _first(text, [(type(value), value) for value in arguments])
    if origin in (Union, types.UnionType):
        # None first and str last: "none" is None even where any text would do.
        order = sorted(arguments, key=lambda a: (a is str, a is not type(None)))
        for argument in order:
            try:
                return convert(argument, text)
            except UnreadableError:
                continue
        raise UnreadableError
    if origin is tuple:
        return _convert_tuple(arguments, text)
    if hint is type(None):
        if text.lower() not in ("none", "null"):
            raise UnreadableError
        return None
    if hint is bool:
        if text.lower() not in _WORDS:
            raise UnreadableError
        return _WORDS[text.lower()]
    if hint in (int, float):
        return _number(hint, text)
    if hint is str:
        return text
    raise TypeError(f"an option can't be of type {hint!r}")


def _first(text: str, candidates: list[tuple[type, Any]]) -> Any:
    for kind, value in candidates:
        try:
            if convert(kind, text) == value:
                return value
        except UnreadableError:
            continue
    raise UnreadableError


def _convert_tuple(arguments: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        words = text.split(",") if text else []
        return tuple(convert(arguments[0], word.strip()) for word in words)
    if [_bare(one) for one in arguments] == [int, int] and "," not in text:
        text = text.lower().replace("x", ",")  # a size is usually typed as 256x256
    words = text.split(",")
    if len(words) != len(arguments):
        raise UnreadableError
    return tuple(convert(argument, word.strip()) for argument, word in zip(arguments, words, strict=True))


def _number(kind: type, text: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise UnreadableError from None
    if not _is_finite(value):
        raise UnreadableError
    return value


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # some whole numbers are too large for a float


def fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type and in its ``Range``; a type that isn't known here takes any."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        values = value if isinstance(value, tuple | list) else (value,)
        numbers = [number for number in values if isinstance(number, int | float)]
        inside = all(number in one for one in _ranges(arguments) for number in numbers)
        return inside and fits(arguments[0], value)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin in (Union, types.UnionType):
        return any(fits(argument, value) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(each) == len(value) and all(fits(*pair) for pair in zip(each, value, strict=True))
    if hint in (int, float):  # a whole number is a float too; True, for Python an int, is neither
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and _is_finite(value)
    return not isinstance(hint, type) or isinstance(value, hint)


def range_of(hint: Any) -> Range | None:
    """The first ``Range`` in a type."""
    arguments = get_args(hint)
    if get_origin(hint) is Annotated:
        return next(iter(_ranges(arguments)), range_of(arguments[0]))
    return next((found for argument in arguments if (found := range_of(argument)) is not None), None)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _ranges(arguments: tuple[Any, ...]) -> list[Range]:
    """Those among the arguments of an ``Annotated``."""
    return [one for one in arguments[1:] if isinstance(one, Range)]


__all__ = ["Range", "UnreadableError", "convert", "describe_type", "fits", "range_of", "show"]
