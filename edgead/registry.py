"""The registered names, each with who registers it, and what happens when two plugins want the same one.

A name that edgead registers is edgead's: another plugin that wants it is shown as a problem and not used. A
name that several others want, and not edgead, is refused when used, naming them all.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from edgead.errors import EdgeadError, PluginError, UnknownNameError, one_line
from edgead.extras import missing

Kind = Literal[
    "backbones",
    "scorers",
    "postprocessors",
    "methods",
    "exporters",
    "engines",
    "layouts",
    "sources",
    "sinks",
    "commands",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

FIRST_PARTY = "edgead"


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes:
        kind: one of ``KINDS``.
        name: what the user types.
        summary: one line on it, may be empty.
        distribution, version: who registers it.
        factory: what was registered, a callable or an import string; ``Registry.get`` resolves it.
    """

    kind: Kind
    name: str
    summary: str
    distribution: str
    version: str
    factory: str | Callable[..., Any] = field(repr=False)

    @property
    def module(self) -> str:
        """The module that the factory is in; empty where it doesn't say."""
        if isinstance(self.factory, str):
            return self.factory.partition(":")[0]
        function = self.factory.func if isinstance(self.factory, functools.partial) else self.factory
        return str(getattr(function, "__module__", ""))


@dataclass(frozen=True)
class Plugin:
    """One entry point and what became of it.

    Attributes:
        distribution, version: the distribution that holds it.
        entry_point: its name in the group ``edgead``; empty where the group itself can't be read.
        module: what the entry point names, for instance ``edgead_mine``.
        registers: what it registers, names that lost to another plugin included.
        problems: one line per fault, each naming the distribution; empty when all is well.
        expected_failures: conformance checks that it's known to fail, ``KIND/NAME/CHECK``, and why.
        notices: one line each on what works now and won't for ever.
        load_seconds: what importing it and calling its hooks took.
        switched_off: whether ``EDGEAD_PLUGINS`` or ``--no-plugins`` keeps it from being loaded.
    """

    distribution: str
    version: str
    entry_point: str
    registers: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    load_seconds: float = 0.0
    switched_off: bool = False

    @property
    def problem(self) -> str | None:
        """The problems in one line, or None."""
        return "; ".join(self.problems) or None

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that it lives in: the entry point's, and those of what it registers."""
        return tuple(
            name
            for name in (self.module.partition(":")[0], *(entry.module for entry in self.registers))
            if name
        )

    @property
    def packages(self) -> frozenset[str]:
        """The top-level packages of these; edgead's own core isn't among them."""
        return frozenset(name.partition(".")[0] for name in self.modules) - {FIRST_PARTY}


class Registry:
    """Every registered name, by kind. Use ``registry()`` for the installed plugins' own."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        plugins = tuple(plugins)
        claims: dict[tuple[Kind, str], list[tuple[int, Entry]]] = {}
        for index, plugin in enumerate(plugins):
            for entry in plugin.registers:
                claims.setdefault((entry.kind, entry.name), []).append((index, entry))
        self._entries: dict[tuple[Kind, str], Entry] = {}
        self._ambiguous: dict[tuple[Kind, str], str] = {}
        faults: list[list[str]] = [list(plugin.problems) for plugin in plugins]
        for key, claim in claims.items():
            ours = [(index, entry) for index, entry in claim if entry.distribution == FIRST_PARTY]
            if len(claim) == 1 or len(ours) == 1:
                winner, self._entries[key] = (ours or claim)[0]
                for index, entry in claim:
                    if index != winner:
                        faults[index].append(_overruled(entry))
            else:
                self._ambiguous[key] = _clash([entry for _, entry in claim])
                for index in {index for index, _ in claim}:
                    faults[index].append(self._ambiguous[key])
        self.plugins = tuple(
            replace(plugin, problems=tuple(mine)) for plugin, mine in zip(plugins, faults, strict=True)
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Every fault found, one line each."""
        return tuple(dict.fromkeys(text for plugin in self.plugins for text in plugin.problems))

    def names(self, kind: Kind) -> list[str]:
        """Return the usable names of a kind, sorted."""
        return sorted(name for k, name in self._entries if k == kind)

    def entries(self, kind: Kind) -> list[Entry]:
        """Return the usable entries of a kind, sorted by name."""
        return [self._entries[kind, name] for name in self.names(kind)]

    def entry(self, kind: Kind, name: str) -> Entry:
        """Return who registers a name.

        Raises:
            edgead.errors.UnknownNameError: nobody does.
            edgead.errors.PluginError: several do, and none of them is edgead itself.
        """
        if (kind, name) in self._ambiguous:
            raise PluginError(self._ambiguous[kind, name])
        if (kind, name) not in self._entries:
            raise UnknownNameError(singular(kind), name, self.names(kind), self.note)
        return self._entries[kind, name]

    @property
    def note(self) -> str:
        """What may explain that a name is missing."""
        off = [plugin.distribution for plugin in self.plugins if plugin.switched_off]
        notes = [f"EDGEAD_PLUGINS or --no-plugins leaves out {', '.join(off)}"] if off else []
        return "; ".join(notes + ["some plugins have problems, see `edgead plugins`"] * bool(self.problems))

    def get(self, kind: Kind, name: str) -> Any:
        """Return the factory registered under a name, imported now where it was given as a string.

        Raises:
            edgead.errors.UnknownNameError: nobody registers the name.
            edgead.errors.MissingDependencyError: it needs a package of an extra that isn't installed.
            edgead.errors.PluginError: the name is ambiguous, or its import string doesn't resolve.
        """
        entry = self.entry(kind, name)
        return _resolve(entry, entry.factory) if isinstance(entry.factory, str) else entry.factory


def _resolve(entry: Entry, target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    what = f"{entry.distribution} {entry.version}: {singular(entry.kind)} '{entry.name}'"
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except EdgeadError:
        raise
    except ModuleNotFoundError as error:
        if absent := missing(error, for_what=f"{singular(entry.kind)} '{entry.name}'"):
            raise absent from error
        raise PluginError(f"{what} can't be loaded from '{target}': {one_line(error)}") from error
    except Exception as error:
        raise PluginError(f"{what} can't be loaded from '{target}': {one_line(error)}") from error


def _overruled(entry: Entry) -> str:
    what = f"{singular(entry.kind)} '{entry.name}'"
    return (
        f"{entry.distribution} {entry.version}: {what} is edgead's own, which is used; register another name"
    )


def _clash(entries: list[Entry]) -> str:
    who = list(dict.fromkeys(f"{entry.distribution} {entry.version}" for entry in entries))
    what = f"{singular(entries[0].kind)} '{entries[0].name}'"
    if len(who) == 1:
        return f"{who[0]}: {what} is registered {len(entries)} times; rename all but one"
    return f"{what} is registered by {' and by '.join(who)}: uninstall all but one of them"


def singular(kind: Kind) -> str:
    """What one of a kind is called in a message."""
    return {"postprocessors": "post-processor", "exporters": "target"}.get(kind, kind[:-1])


__all__ = ["FIRST_PARTY", "KINDS", "Entry", "Kind", "Plugin", "Registry", "singular"]
