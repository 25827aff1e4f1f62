"""Load the installed plugins, ask each what it registers, and keep every fault with the plugin that has it.

A plugin is an entry point of the group ``edgead``, in any installed distribution; edgead's own methods,
backbones and exporters come the same way. Each one is loaded by itself: a fault in one is kept as its
``problems`` for ``edgead plugins`` to show and never stops another. A plugin that can't be imported or breaks
the contract of ``edgead.hookspecs`` registers nothing; a fault in one name costs only that name.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint
from types import ModuleType
from typing import Any

import pluggy

from edgead import hookspecs
from edgead.discovery import COMMANDS, GROUP, IMPORT_STRING, NAME, Found, commands_of, find, not_installed
from edgead.errors import one_line
from edgead.registry import FIRST_PARTY, KINDS, Entry, Kind, Plugin, Registry, singular

_KINDS = tuple(kind for kind in KINDS if kind != "commands")  # those are found without importing anything
_HOOKS = tuple(f"edgead_register_{kind}" for kind in _KINDS)
_FACTS = ("edgead_api", "edgead_expected_failures")
"""What a plugin states about itself beside its hooks."""


@functools.cache
def registry() -> Registry:
    """Return the installed plugins' registry, made at first use. ``registry.cache_clear()`` forgets it."""
    return load_registry()


def load_registry(installed: Iterable[Distribution] | None = None) -> Registry:
    """Load every entry point of the group ``edgead`` that ``EDGEAD_PLUGINS`` allows.

    Args:
        installed: the distributions to look through; all that are on ``sys.path`` by default.
    """
    installed = None if installed is None else list(installed)
    found, verbs = list(find(GROUP, installed)), list(find(COMMANDS, installed))
    plugins = [plugin for each in found for plugin in _load_all(each)]
    plugins += [plugin for each in verbs for plugin in commands_of(each)]
    plugins += not_installed([*found, *verbs])
    plugins.sort(
        key=lambda plugin: (plugin.distribution != FIRST_PARTY, plugin.distribution, plugin.entry_point)
    )
    return Registry(plugins)


def _load_all(found: Found) -> Iterator[Plugin]:
    if not found.allowed:
        yield Plugin(found.name, found.version, "", switched_off=True)
        return
    try:
        entry_points = found.entry_points(GROUP)
    except Exception as error:
        text = f"{found.who}: its entry_points.txt can't be read ({one_line(error)}); reinstall it"
        yield Plugin(found.name, found.version, "", (), (text,))
        return
    for point in entry_points:
        yield _load(point, found)


def _load(point: EntryPoint, found: Found) -> Plugin:
    start = time.perf_counter()
    expected: Mapping[str, str] = {}

    def made(entries: Iterable[Entry], faults: Iterable[str], notices: Iterable[str] = ()) -> Plugin:
        return Plugin(
            found.name,
            found.version,
            point.name,
            tuple(entries),
            tuple(f"{found.who}: {fault}" for fault in faults),
            tuple(f"{found.who}: {notice}" for notice in notices),
            expected_failures=expected,
            module=point.value,
            load_seconds=time.perf_counter() - start,
        )

    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:
        return made((), [f"entry point '{point.name} = {point.value}' can't be imported: {one_line(error)}"])
    try:
        if faults := list(_contract_faults(plugin, point.name)):
            return made((), faults)
        expected = dict(_expected_failures(plugin))
        entries, faults = _collect(plugin, found.name, found.version)
    except (Exception, SystemExit) as error:
        return made((), [f"a hook of entry point '{point.name}' raised {one_line(error)}"])
    return made(entries, faults, _deprecations(plugin))


# ---------------------------------------------------------------- the contract


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("edgead")
    manager.add_hookspecs(hookspecs)
    return manager


def _api_of(plugin: object) -> int:
    return plugin.edgead_api if isinstance(plugin, hookspecs.StatesItsApi) else hookspecs.API_VERSION


def _expected_failures(plugin: object) -> Mapping[str, str]:
    return plugin.edgead_expected_failures if isinstance(plugin, hookspecs.ExpectsFailures) else {}


def _contract_faults(plugin: Any, entry_point: str) -> Iterator[str]:
    api = _api_of(plugin)
    if api != hookspecs.API_VERSION and api not in hookspecs.DEPRECATED_APIS:
        newer = isinstance(api, int) and api > hookspecs.API_VERSION
        yield (
            f"it is written for plugin API {api!r}, this edgead has {hookspecs.API_VERSION}: "
            f"upgrade {'edgead' if newer else 'the plugin'}"
        )
        return
    expected: Any = _expected_failures(plugin)
    if not isinstance(expected, Mapping) or not all(isinstance(t, str) for i in expected.items() for t in i):
        yield "edgead_expected_failures must be a dict: {'KIND/NAME/CHECK': 'the reason'}"
    manager, hooks = _manager(), 0
    for attribute in dir(plugin):
        value = inspect.getattr_static(plugin, attribute, None)
        marked = inspect.isroutine(value) and manager.parse_hookimpl_opts(plugin, attribute)
        hook = (marked and marked.get("specname")) or attribute
        if hook in _FACTS or not (marked or hook.startswith("edgead_")):
            continue
        if isinstance(value, ModuleType):  # what `import edgead_plugins` leaves in a plugin's module
            continue
        if hook == "edgead_register_commands":
            yield f"verbs aren't registered by a hook: name each in the entry-point group '{COMMANDS}'"
        elif hook not in _HOOKS:
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


def _deprecations(plugin: Any) -> Iterator[str]:
    api = _api_of(plugin)
    if api in hookspecs.DEPRECATED_APIS:
        yield (
            f"it is written for plugin API {api}, which works up to edgead {hookspecs.DEPRECATED_APIS[api]}; "
            f"the plugin needs a release for API {hookspecs.API_VERSION}"
        )


def _collect(plugin: Any, distribution: str, version: str) -> tuple[list[Entry], list[str]]:
    """Call the plugin's hooks; returns what they register and what is wrong with single names."""
    entries: list[Entry] = []
    faults: list[str] = []
    manager = _manager()  # one for each plugin, so that a fault is always this plugin's
    manager.register(plugin)

    def register_as(kind: Kind) -> Callable[..., None]:
        def register(name: str, factory: str | Callable[..., Any], summary: str = "") -> None:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                faults.append(f"{singular(kind)} name {name!r} can't be used: use a-z, 0-9, single hyphens")
            elif not (callable(factory) or (isinstance(factory, str) and IMPORT_STRING.fullmatch(factory))):
                what = f"{singular(kind)} '{name}'"
                faults.append(f"{what} needs a callable or 'package.module:Name', not {factory!r}")
            else:
                summary = " ".join(str(summary).split())
                entries.append(Entry(kind, name, summary, distribution, version, factory))

        return register

    for kind in _KINDS:
        caller = getattr(manager.hook, f"edgead_register_{kind}")
        if caller.get_hookimpls():
            caller(register=register_as(kind))
    return entries, faults


__all__ = ["KINDS", "Entry", "Kind", "Plugin", "Registry", "load_registry", "registry"]
