"""From a name to its checks: what is registered under it, and the functions that check such things."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgead.discovery import normalised
from edgead.errors import UnknownNameError
from edgead.plugins import registry
from edgead.registry import KINDS, Entry, Kind, singular
from edgead.testing.check import Check

MODULES: Mapping[Kind, str] = {kind: f"edgead.testing.{kind}" for kind in KINDS}


def checks(
    *names: str,
    expected: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
    folders: Mapping[str, Path] | None = None,
    backbone: str | None = None,
    weights: Path | None = None,
) -> list[Check]:
    """Return the checks of what is registered under the names; nothing is checked yet.

    Args:
        names: distributions (all that they register), registered names of any kind, and backbones as
            ``NAME:ARGUMENT``.
        expected: checks that are known to fail, ``KIND/NAME/CHECK``, each with the reason; added to those
            that the plugin itself states as ``edgead_expected_failures``.
        options: by method, source or sink, ``key=value`` words: to make a training short for instance, or to
            say which camera.
        folders: by method, good images instead of generated ones; by layout, a folder of one category in it.
        backbone: instead of each method's own.
        weights: a weights file, for the backbones that take one.

    Raises:
        UnknownNameError: nobody registers a name, or ``expected`` names no check.
    """
    given = _Given(dict(options or {}), dict(folders or {}), backbone, weights)
    found = [check for name in names for check in _of_name(name, given)]
    known = {str(check) for check in found}
    for name in expected or {}:
        if name not in known:
            raise UnknownNameError("check", name, known)
    stated = {**_stated(), **(expected or {})}
    return [
        replace(check, expected=stated.get(str(check)))
        for check in {str(check): check for check in found}.values()
    ]


class _Given:
    """What the kit's user gives beside names."""

    def __init__(
        self,
        options: Mapping[str, Sequence[str]],
        folders: Mapping[str, Path],
        backbone: str | None,
        weights: Path | None,
    ) -> None:
        self.options, self.folders, self.backbone, self.weights = options, folders, backbone, weights


def _stated() -> dict[str, str]:
    return {name: why for plugin in registry().plugins for name, why in plugin.expected_failures.items()}


def _of_name(name: str, given: _Given) -> list[Check]:
    names = registry()
    plugins = [plugin for plugin in names.plugins if plugin.distribution == normalised(name)]
    if plugins:
        entries = [entry for plugin in plugins for entry in plugin.registers if _used(entry)]
        found = [check for entry in entries for check in _of_entry(entry, entry.name, given)]
        return [*_of_distribution(normalised(name), found), *found]
    registered = name.partition(":")[0]
    kinds = [
        kind
        for kind in KINDS
        if registered in names.names(kind) and (kind == "backbones" or registered == name)
    ]
    if not kinds:
        everything = [entry.name for kind in KINDS for entry in names.entries(kind)]
        known = [*everything, *(plugin.distribution for plugin in names.plugins)]
        raise UnknownNameError("plugin or registered name", name, set(known), names.note)
    return [check for kind in kinds for check in _of_entry(names.entry(kind, registered), name, given)]


def _used(entry: Entry) -> bool:
    """Whether the name is this distribution's: one that lost it to another has that as its problem."""
    return entry in registry().entries(entry.kind)


def _of_distribution(name: str, found: Iterable[Check]) -> Iterator[Check]:
    from edgead.testing import plugins

    mine = tuple(plugin for plugin in registry().plugins if plugin.distribution == name)
    functions = plugins.CHECKS
    own = [f"plugin/{name}/{_named(function)}" for function in functions]
    subject = plugins.Distribution(name, mine, (*own, *(str(check) for check in found)))
    return _made("plugin", name, functions, lambda: subject)


def _of_entry(entry: Entry, name: str, given: _Given) -> Iterator[Check]:
    functions = importlib.import_module(MODULES[entry.kind]).CHECKS

    @functools.cache
    def subject() -> Any:
        if entry.kind == "methods":
            from edgead.testing.workshop import Wishes, Workshop

            options, folder = tuple(given.options.get(name, ())), given.folders.get(name)
            return Workshop(name, Wishes(options, given.backbone, given.weights, folder))
        if entry.kind == "backbones":
            from edgead.testing.backbones import Opened

            return Opened(name, given.weights)
        if entry.kind == "layouts":
            from edgead.testing.layouts import Example

            return Example(entry, given.folders.get(name))
        if entry.kind in ("sources", "sinks"):
            from edgead.testing.made import Made

            return Made(entry, tuple(given.options.get(name, ())))
        return entry

    return _made(singular(entry.kind), name, functions, subject)


def _made(
    kind: str, name: str, functions: Sequence[Callable[[Any], None]], subject: Callable[[], Any]
) -> Iterator[Check]:
    """The subject is made when a check first needs it, and shared by the others."""
    for function in functions:
        says = " ".join((function.__doc__ or "").split())

        def run(function: Callable[[Any], None] = function) -> None:
            function(subject())

        yield Check(kind, name, _named(function), says, run)


def _named(function: Callable[..., None]) -> str:
    return function.__name__.replace("_", "-")


__all__ = ["checks"]
