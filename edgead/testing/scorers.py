"""Checks of a scorer that need no fitting: the methods that it has, and its options."""

from __future__ import annotations

import inspect
from typing import Any

from edgead.plugins import registry
from edgead.registry import Entry
from edgead.testing.check import require
from edgead.testing.option_checks import named, options_of, require_json, require_ranges, require_typed
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
        require(count == 2, f"{named(scorer)}.{name} must be {NEEDED[name]}; see edgead.types.Scorer")


def options_have_defaults(entry: Entry) -> None:
    """its ``Options`` is a frozen dataclass with a default for every field, and makes a scorer"""
    options = _options(entry)
    _scorer(entry)(options())


def options_survive_json(entry: Entry) -> None:
    """its options are what the bundle's manifest can keep, and come back from it the same"""
    require_json(_options(entry))


def options_can_be_typed(entry: Entry) -> None:
    """each option has a help text, and its default can be given as ``-o name=value``"""
    require_typed(_options(entry))


def options_keep_their_range(entry: Entry) -> None:
    """defaults lie in their ``Range``, and a value outside is refused in one line that names the option"""
    require_ranges(_options(entry))


def a_method_uses_it(entry: Entry) -> None:
    """some registered method uses it: ``edgead fit`` takes methods"""
    names = registry()
    users = [e.name for e in names.entries("methods") if names.get("methods", e.name)().scorer == entry.name]
    require(users, f"no method uses scorer '{entry.name}': register one, edgead_register_methods")


def _scorer(entry: Entry) -> Any:
    return registry().get("scorers", entry.name)


def _options(entry: Entry) -> Any:
    require_members(_scorer(entry), Scorer)
    return options_of(_scorer(entry), _scorer(entry).Options)


CHECKS = (
    has_every_method,
    options_have_defaults,
    options_survive_json,
    options_can_be_typed,
    options_keep_their_range,
    a_method_uses_it,
)
