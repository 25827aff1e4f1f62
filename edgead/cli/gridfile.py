"""A grid file: the options of ``edgead benchmark`` as TOML, so that a table can be made again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgead.errors import DatasetError, OptionError, UnknownNameError, cut
from edgead.files import read_plain
from edgead.names import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LISTS = ("methods", "datasets")
"""Options that are given once for each value; other lists are values with a comma between."""
MOST_BYTES = 1 << 20


def read_grid(file: Path, parameters: Mapping[str, click.Parameter]) -> dict[str, Any]:
    """Read a grid file.

    Args:
        parameters: the options that a grid may hold, by name as it's typed, without the hyphens in front.

    Returns:
        The values by the parameters' own names, as the command line would have them.

    Raises:
        DatasetError: the file can't be read, or isn't TOML.
        UnknownNameError: a key is no option.
        OptionError: a value is no text, number, truth value or list of texts and numbers.
    """
    try:
        document = tomllib.loads(read_plain(file, MOST_BYTES).decode())
    except OSError as error:
        raise DatasetError(f"{shown(file)}: can't be read ({error.strerror}); give a grid file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else cut(str(error))
        raise DatasetError(f"{shown(file)}: not TOML: {why}; mend it, or give a grid file") from None
    found: dict[str, Any] = {}
    for key, value in document.items():
        typed = key.replace("_", "-")
        if typed not in parameters:
            raise UnknownNameError(f"key of a grid file ({shown(file)})", key, list(parameters))
        found[str(parameters[typed].name)] = _value(value, typed in LISTS, f"{shown(file)}: {key}")
    return found


def _value(value: Any, is_list: bool, what: str) -> Any:
    if is_list:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return value
        raise OptionError(f'{what} must be a list of texts, ["a", "b"] for instance')
    if isinstance(value, list) and all(_is_plain(word) for word in value):
        return ",".join(map(str, value))
    if isinstance(value, bool) or _is_plain(value):
        return value
    raise OptionError(f"{what} must be a text, a number, true, false, or a list of texts or numbers")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


__all__ = ["LISTS", "read_grid"]
