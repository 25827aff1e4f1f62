"""What holds of any ``Options`` of a plugin's: what the checks of scorers, sources and sinks share."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from edgead.errors import OptionError
from edgead.options import Range, describe_options, parse_options
from edgead.testing.check import CheckFailed, require


def options_of(owner: Any, options: Any) -> Any:
    """The dataclass; fails the check where it isn't a frozen one with a default for every field."""
    require(
        isinstance(options, type) and dataclasses.is_dataclass(options),
        f"{named(owner)}.Options must be a dataclass: @dataclass(frozen=True)",
    )
    assert isinstance(options, type) and dataclasses.is_dataclass(options)
    require(options.__dataclass_params__.frozen, "Options must be frozen: @dataclass(frozen=True)")  # type: ignore[attr-defined]
    lacking = [
        field.name
        for field in dataclasses.fields(options)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    require(not lacking, f"options without a default: {', '.join(lacking)}; give each one")
    return options


def named(owner: Any) -> str:
    """What a factory is called."""
    return owner.__name__ if isinstance(owner, type) else repr(owner)


def require_json(options: Any) -> None:
    """The defaults come back from JSON the same."""
    try:
        kept = json.loads(json.dumps(dataclasses.asdict(options()), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"the defaults aren't JSON ({error}): use bool, int, float, str, Literal, tuples of them, or None"
        ) from error
    back = options(**{name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()})
    require(back == options(), f"{options()} comes back from JSON as {back}")


def require_typed(options: Any) -> None:
    """Each has a help text, and its default can be given as ``-o name=value``."""
    for option in describe_options(options):
        require(option.help, f"option '{option.name}' has no help: write a string under the field")
        read = parse_options(options, [f"{option.name}={option.default}"])
        require(
            read == options(),
            f"-o {option.name}={option.default} is read as {getattr(read, option.name)!r}: use a plain type",
        )


def require_ranges(options: Any) -> None:
    """Defaults lie in their ranges, and a value outside is refused in one line that names the option."""
    try:
        defaults = parse_options(options, [])
    except OptionError as error:
        raise CheckFailed(f"the defaults are refused: {error}") from error
    for option in describe_options(options):
        for number in _outside(option.range):
            default = getattr(defaults, option.name)
            value = (number,) * max(1, len(default)) if isinstance(default, tuple) else number
            told = ""
            try:
                options(**{option.name: value})
            except OptionError as error:
                told = str(error)
            require(
                option.name in told and "\n" not in told,
                f"{options.__name__}({option.name}={value!r}) isn't refused with one line that names the "
                f"option, {option.type}: call edgead.options.check_options(self) in __post_init__",
            )


def _outside(its: Range | None) -> list[float]:
    """A number under the range and one over it, where it ends."""
    if its is None:
        return []
    under = [] if its.low is None else [its.low if its.open_low else its.low - 1]
    return under + ([] if its.high is None else [its.high if its.open_high else its.high + 1])


__all__ = ["named", "options_of", "require_json", "require_ranges", "require_typed"]
