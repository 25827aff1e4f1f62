"""Find the installed plugins, ask each what it registers, and keep every fault with the plugin that has it.

A plugin is an entry point of the group ``edgead``, in any installed distribution; edgead's own methods,
backbones and exporters come the same way. Each one is loaded by itself: a fault in one is kept as its
``problems`` for ``edgead plugins`` to show and never stops another. A plugin that can't be imported or breaks
the contract of ``edgead.hookspecs`` registers nothing; a fault in one name costs only that name.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from types import ModuleType
from typing import Any

import pluggy

from edgead import hookspecs
from edgead.registry import FIRST_PARTY, KINDS, Entry, Kind, Plugin, Registry, one_line, singular

GROUP = "edgead"
_HOOKS = tuple(f"edgead_register_{kind}" for kind in KINDS)
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@functools.cache
def registry() -> Registry:
    """Return the installed plugins' registry, made at first use. ``registry.cache_clear()`` forgets it."""
    return load_registry()


def load_registry(installed: Iterable[Distribution] | None = None) -> Registry:
    """Load every entry point of the group ``edgead``.

    Args:
        installed: the distributions to look through; all that are on ``sys.path`` by default.
    """
    found = distributions() if installed is None else installed
    plugins = [plugin for distribution in _first_of_each_name(found) for plugin in _load_all(distribution)]
    plugins.sort(
        key=lambda plugin: (plugin.distribution != FIRST_PARTY, plugin.distribution, plugin.entry_point)
    )
    return Registry(plugins)


# ---------------------------------------------------------------- discovery


def _first_of_each_name(found: Iterable[Distribution]) -> Iterator[Distribution]:
    """Skip a distribution that an earlier one on ``sys.path`` hides, as the import system does."""
    seen = set()
    for distribution in found:
        try:
            mentions_us = "[edgead]" in (distribution.read_text("entry_points.txt") or "").replace(" ", "")
        except (OSError, UnicodeError):
            continue
        if mentions_us and (name := _identity(distribution)[0]) not in seen:
            seen.add(name)
            yield distribution


def _identity(distribution: Distribution) -> tuple[str, str]:
    """(normalised name, version); a distribution with broken metadata still gets a name to be blamed by."""
    try:
        name, version = distribution.metadata["Name"], distribution.version
    except Exception:
        name, version = None, None
    name = name or str(getattr(distribution, "_path", "unknown distribution"))
    return re.sub(r"[-_.]+", "-", name).lower(), version or "(no version)"


def _load_all(distribution: Distribution) -> Iterator[Plugin]:
    name, version = _identity(distribution)
    try:
        entry_points = [point for point in distribution.entry_points if point.group == GROUP]
    except Exception as error:
        text = f"{name} {version}: its entry_points.txt can't be read ({one_line(error)}); reinstall it"
        yield Plugin(name, version, "", (), (text,))
        return
    for point in entry_points:
        yield _load(point, name, version)


def _load(point: EntryPoint, name: str, version: str) -> Plugin:
    who = f"{name} {version}"
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:
        text = f"{who}: entry point '{point.name} = {point.value}' can't be imported: {one_line(error)}"
        return Plugin(name, version, point.name, (), (text,))
    try:
        if faults := list(_contract_faults(plugin, point.name)):
            return Plugin(name, version, point.name, (), tuple(f"{who}: {fault}" for fault in faults))
        entries, faults = _collect(plugin, name, version)
    except (Exception, SystemExit) as error:
        text = f"{who}: a hook of entry point '{point.name}' raised {one_line(error)}"
        return Plugin(name, version, point.name, (), (text,))
    return Plugin(name, version, point.name, tuple(entries), tuple(f"{who}: {fault}" for fault in faults))


# ---------------------------------------------------------------- the contract


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("edgead")
    manager.add_hookspecs(hookspecs)
    return manager


def _contract_faults(plugin: Any, entry_point: str) -> Iterator[str]:
    api = getattr(plugin, "edgead_api", hookspecs.API_VERSION)
    if api != hookspecs.API_VERSION:
        newer = isinstance(api, int) and api > hookspecs.API_VERSION
        yield (
            f"it is written for plugin API {api!r}, this edgead has {hookspecs.API_VERSION}: "
            f"upgrade {'edgead' if newer else 'the plugin'}"
        )
        return
    manager, hooks = _manager(), 0
    for attribute in dir(plugin):
        value = getattr(plugin, attribute, None)
        marked = inspect.isroutine(value) and manager.parse_hookimpl_opts(plugin, attribute)
        hook = (marked and marked.get("specname")) or attribute
        if hook == "edgead_api" or not (marked or hook.startswith("edgead_")):
            continue
        if isinstance(value, ModuleType):  # what `import edgead_plugins` leaves in a plugin's module
            continue
        if hook not in _HOOKS:
            near = difflib.get_close_matches(hook, _HOOKS, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the hooks are {', '.join(_HOOKS)}"
            yield f"there is no hook '{hook}': {hint}"
        elif not marked:
            yield f"the hook {hook} is never called: decorate it with @edgead.hookimpl"
        hooks += 1
    if not hooks:
        yield f"entry point '{entry_point}' implements no hook: point it at the module that does"
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        yield f"a hook has a wrong signature, see edgead/hookspecs.py: {one_line(error)}"


def _collect(plugin: Any, distribution: str, version: str) -> tuple[list[Entry], list[str]]:
    """Call the plugin's hooks; returns what they register and what is wrong with single names."""
    entries: list[Entry] = []
    faults: list[str] = []
    manager = _manager()  # one for each plugin, so that a fault is always this plugin's
    manager.register(plugin)

    def register_as(kind: Kind) -> Callable[..., None]:
        def register(name: str, factory: str | Callable[..., Any], summary: str = "") -> None:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                faults.append(f"{singular(kind)} name {name!r} can't be used: use a-z, 0-9, single hyphens")
            elif not (callable(factory) or (isinstance(factory, str) and _IMPORT_STRING.fullmatch(factory))):
                what = f"{singular(kind)} '{name}'"
                faults.append(f"{what} needs a callable or 'package.module:Name', not {factory!r}")
            else:
                summary = " ".join(str(summary).split())
                entries.append(Entry(kind, name, summary, distribution, version, factory))

        return register

    for kind in KINDS:
        caller = getattr(manager.hook, f"edgead_register_{kind}")
        if not caller.get_hookimpls():
            continue
        if kind == "commands":
            import click  # only where a plugin adds commands: the camera never needs it

            group = click.Group()
            caller(cli=group)
            for name, command in group.commands.items():
                register_as(kind)(name, command, command.get_short_help_str(80))
        else:
            caller(register=register_as(kind))
    return entries, faults


__all__ = ["KINDS", "Entry", "Kind", "Plugin", "Registry", "load_registry", "registry"]
