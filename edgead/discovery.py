"""Find the distributions that hold plugins by their metadata alone: nothing of a plugin is imported here.

Two groups of entry points are read. ``edgead`` names modules that implement hooks; they're imported by
``edgead.plugins`` when a name is first looked up. ``edgead.commands`` names verbs of the command line, each
imported when it's typed, so that ``edgead --help`` costs the same with fifty plugins as with none.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from edgead.errors import one_line
from edgead.registry import FIRST_PARTY, Entry, Plugin, Registry

GROUP = "edgead"
COMMANDS = "edgead.commands"
ALLOW_LIST = "EDGEAD_PLUGINS"
"""Environment variable: the distributions, by comma, whose plugins may be used; set but empty: none. Unset:
all. edgead's own are always used."""

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Found:
    """One distribution with entry points for edgead.

    Attributes:
        name, version: normalised name, and version.
        distribution: its metadata.
        allowed: whether the allow-list lets it be used.
    """

    name: str
    version: str
    distribution: Distribution
    allowed: bool

    @property
    def who(self) -> str:
        """How messages name it."""
        return f"{self.name} {self.version}"

    def entry_points(self, group: str) -> list[EntryPoint]:
        """Its entry points of a group; raises whatever unreadable metadata raises."""
        return [point for point in self.distribution.entry_points if point.group == group]


def find(group: str, installed: Iterable[Distribution] | None = None) -> Iterator[Found]:
    """Yield the distributions that mention the group; one that an earlier one on ``sys.path`` hides isn't.

    Args:
        installed: the distributions to look through; all that are on ``sys.path`` by default.
    """
    names, seen = allow_list(), set()
    for distribution in distributions() if installed is None else installed:
        try:
            mentioned = f"[{group}]" in (distribution.read_text("entry_points.txt") or "").replace(" ", "")
        except (OSError, UnicodeError):
            continue
        if mentioned and (name := _name(distribution)) not in seen:
            seen.add(name)
            allowed = names is None or name == FIRST_PARTY or name in names
            yield Found(name, _version(distribution), distribution, allowed)


def allow_list() -> frozenset[str] | None:
    """The normalised names in ``EDGEAD_PLUGINS``, or None where all plugins may be used."""
    text = os.environ.get(ALLOW_LIST)
    return None if text is None else frozenset(normalised(word) for word in text.split(",") if word.strip())


def not_installed(found: Iterable[Found]) -> Iterator[Plugin]:
    """A plugin with its problem for each name in the allow-list that isn't there: misspelt, most likely."""
    known = {each.name for each in found}
    for name in sorted((allow_list() or frozenset()) - known):
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "install it, or take it off the list"
        problem = f"{ALLOW_LIST} names '{name}', which isn't installed or has no plugin: {hint}"
        yield Plugin(name, "(not installed)", "", problems=(problem,))


def commands(installed: Iterable[Distribution] | None = None) -> Registry:
    """Return the verbs that plugins add, by metadata alone."""
    return Registry([plugin for found in find(COMMANDS, installed) for plugin in commands_of(found)])


def commands_of(found: Found) -> Iterator[Plugin]:
    """What one distribution adds to the command line."""
    if not found.allowed:
        return
    try:
        points = found.entry_points(COMMANDS)
    except Exception as error:
        text = f"{found.who}: its entry_points.txt can't be read ({one_line(error)}); reinstall it"
        yield Plugin(found.name, found.version, COMMANDS, (), (text,))
        return
    entries, faults = [], []
    for point in points:
        if not NAME.fullmatch(point.name):
            faults.append(
                f"{found.who}: command name '{point.name}' can't be used: use a-z, 0-9, single hyphens"
            )
        elif not IMPORT_STRING.fullmatch(point.value):
            faults.append(
                f"{found.who}: command '{point.name}' needs 'package.module:function', not '{point.value}'"
            )
        else:
            entries.append(Entry("commands", point.name, "", found.name, found.version, point.value))
    if points:
        yield Plugin(found.name, found.version, COMMANDS, tuple(entries), tuple(faults))


def registering(hook: str, name: str, installed: Iterable[Distribution] | None = None) -> list[str]:
    """Who registers a name, read off the source of what the entry points name: nothing is imported.

    So a name that the source computes isn't seen.

    Args:
        hook: the function's name, ``edgead_register_engines`` for instance.
        name: what it registers.

    Returns:
        Distributions with their versions, where need be that they aren't allowed.
    """
    return [
        found.who if found.allowed else f"{found.who}, which {ALLOW_LIST} leaves out,"
        for found in find(GROUP, installed)
        if any(_mentions(point, hook, name) for point in _points(found))
    ]


def _points(found: Found) -> list[EntryPoint]:
    try:
        return found.entry_points(GROUP)
    except Exception:  # unreadable metadata: `edgead plugins` tells
        return []


def _mentions(point: EntryPoint, hook: str, name: str) -> bool:
    """Whether the module holds ``def HOOK`` with a call whose first argument, or ``name``, is the name."""
    path, spec = None, None
    parts = point.value.partition(":")[0].split(".")
    try:
        for depth in range(1, len(parts) + 1):
            spec = PathFinder.find_spec(".".join(parts[:depth]), path)
            path = spec.submodule_search_locations if spec else None
        tree = ast.parse(Path(spec.origin).read_bytes()) if spec and spec.origin else None
    except (OSError, SyntaxError, ValueError):
        return False
    hooks = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == hook] if tree else []
    calls = [call for function in hooks for call in ast.walk(function) if isinstance(call, ast.Call)]
    given = [[*call.args[:1], *(k.value for k in call.keywords if k.arg == "name")] for call in calls]
    return any(isinstance(each, ast.Constant) and each.value == name for values in given for each in values)


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _name(distribution: Distribution) -> str:
    """A distribution with broken metadata still gets a name to be blamed by."""
    try:
        name = distribution.metadata["Name"]
    except Exception:
        name = None
    return normalised(name or str(getattr(distribution, "_path", "unknown distribution")))


def _version(distribution: Distribution) -> str:
    try:
        return distribution.version or "(no version)"
    except Exception:
        return "(no version)"


__all__ = [
    "ALLOW_LIST",
    "COMMANDS",
    "GROUP",
    "IMPORT_STRING",
    "NAME",
    "Found",
    "allow_list",
    "commands",
    "commands_of",
    "find",
    "normalised",
    "not_installed",
    "registering",
]
