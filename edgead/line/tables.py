"""Tables of a TOML file as frozen dataclasses: each key is known, typed and bounded, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from edgead.errors import OptionError
from edgead.options import check_options, parse_options

T = TypeVar("T")


def made(options_type: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build options from a table.

    Args:
        options_type: a frozen dataclass with a default for every field.
        table: values by name, as TOML or JSON has them; lists become tuples.
        where: begins the message of an error.

    Raises:
        OptionError: a name isn't known, with the near ones; a value is of another type, or out of range.
    """
    try:
        options = parse_options(options_type, (), {str(key): _plain(value) for key, value in table.items()})
        check_options(options)
        for key, value in table.items():
            _check_text(key, value)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return options


def _check_text(key: str, value: Any) -> None:
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, str) and "\0" in one:
            raise OptionError(f"option '{key}' holds a NUL, which no name or path may: take it out")


def _plain(value: Any) -> Any:
    return tuple(_plain(one) for one in value) if isinstance(value, list) else value


__all__ = ["made"]
