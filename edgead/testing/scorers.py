"""Checks of a scorer that need no fitting: the methods that it has, and its options."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

from edgead.errors import OptionError
from edgead.options import Range, describe_options, parse_options
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.testing.check import CheckFailed, require
from edgead.testing.protocols import require_members
from edgead.types import Scorer

NEEDED = {
    "feature_maps": "feature_maps(self, backbone)",
    "embed": "embed(self, maps)",
    "fit": "fit(self, data)",
}


def has_every_method(entry: Entry) -> None:
    """it has ``Options``, and ``feature_maps``, ``embed`` and ``fit`` with their arguments"""
    scorer = _scorer(entry)
    require_members(scorer, Scorer)
    for name in NEEDED:
        count = len(
            [p for p in inspect.signature(getattr(scorer, name)).parameters.values() if p.default is p.empty]
        )
        require(count == 2, f"{_name(scorer)}.{name} must be {NEEDED[name]}; see edgead.types.Scorer")


def options_have_defaults(entry: Entry) -> None:
    """its ``Options`` is a frozen dataclass with a default for every field, and makes a scorer"""
    options = _options(entry)
    _scorer(entry)(options())


def options_survive_json(entry: Entry) -> None:
    """its options are what the bundle's manifest can keep, and come back from it the same"""
    options = _options(entry)
    try:
        kept = json.loads(json.dumps(dataclasses.asdict(options()), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"the defaults aren't JSON ({error}): use bool, int, float, str, Literal, tuples of them, or None"
        ) from error
    back = options(**{name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()})
    require(back == options(), f"{options()} comes back from JSON as {back}")


def options_can_be_typed(entry: Entry) -> None:
    """each option has a help text, and its default can be given as ``-o name=value``"""
    options = _options(entry)
    for option in describe_options(options):
        require(option.help, f"option '{option.name}' has no help: write a string under the field")
        read = parse_options(options, [f"{option.name}={option.default}"])
        require(
            read == options(),
            f"-o {option.name}={option.default} is read as {getattr(read, option.name)!r}: use a plain type",
        )


def options_keep_their_range(entry: Entry) -> None:
    """defaults lie in their ``Range``, and a value outside is refused in one line that names the option"""
    options = _options(entry)
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


def a_method_uses_it(entry: Entry) -> None:
    """some registered method uses it: ``edgead fit`` takes methods"""
    names = registry()
    users = [e.name for e in names.entries("methods") if names.get("methods", e.name)().scorer == entry.name]
    require(users, f"no method uses scorer '{entry.name}': register one, edgead_register_methods")


def _scorer(entry: Entry) -> Any:
    return registry().get("scorers", entry.name)


def _options(entry: Entry) -> Any:
    require_members(_scorer(entry), Scorer)
    options = _scorer(entry).Options
    require(
        isinstance(options, type) and dataclasses.is_dataclass(options),
        f"{_name(_scorer(entry))}.Options must be a dataclass: @dataclass(frozen=True)",
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


def _name(scorer: Any) -> str:
    return scorer.__name__ if isinstance(scorer, type) else repr(scorer)


CHECKS = (
    has_every_method,
    options_have_defaults,
    options_survive_json,
    options_can_be_typed,
    options_keep_their_range,
    a_method_uses_it,
)
