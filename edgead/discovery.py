"""Find the distributions that hold plugins by their metadata alone: nothing of a plugin is imported here.

Two groups of entry points are read. ``edgead`` names modules that implement hooks; they're imported by
``edgead.plugins`` when a name is first looked up. ``edgead.commands`` names verbs of the command line, each
imported when it's typed, so that ``edgead --help`` costs the same with fifty plugins as with none.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from edgead.registry import FIRST_PARTY, Entry, Plugin, Registry, one_line

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
]
