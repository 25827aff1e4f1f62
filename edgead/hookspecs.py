"""What a plugin may register: the whole extension contract.

A plugin is a module or object under the entry-point group ``edgead`` that implements any of these hooks
with ``@edgead.hookimpl``. Hooks only register names; nothing on the frame path ever calls one, and no bundle
has one called. Keep the module cheap to import: a factory may be an import string ("package.module:Name"),
loaded when it's used.

Every ``register`` below is ``register(name, factory, summary="")``. Names are lower case with hyphens.
A plugin states ``edgead_api = 1``, the API_VERSION it was written for; docs/write-a-plugin.md says what that
promises. Verbs need no hook: each is an entry point of the group ``edgead.commands``, a click command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import pluggy

from edgead.types import Method, Register

API_VERSION = 1
DEPRECATED_APIS: dict[int, str] = {}
"""Older APIs that still work, and the last version of edgead that they work with."""


@runtime_checkable
class StatesItsApi(Protocol):
    """A plugin's module that says which API it was written for; another is taken for the current one.

    Attributes:
        edgead_api: the number.
    """

    edgead_api: int


@runtime_checkable
class ExpectsFailures(Protocol):
    """A plugin's module that knows which conformance checks it fails.

    Attributes:
        edgead_expected_failures: the reason by ``KIND/NAME/CHECK``.
    """

    edgead_expected_failures: Mapping[str, str]


hookspec = pluggy.HookspecMarker("edgead")
hookimpl = pluggy.HookimplMarker("edgead")


@hookspec
def edgead_register_backbones(register: Register) -> None:
    """factory(argument: str, weights: Path | None) -> Backbone; ``NAME:argument`` on the command line."""


@hookspec
def edgead_register_scorers(register: Register) -> None:
    """factory: a class with a frozen dataclass ``Options``; ``factory(options) -> Scorer``."""


@hookspec
def edgead_register_postprocessors(register: Register) -> None:
    """factory() -> PostProcessor."""


@hookspec
def edgead_register_methods(register: Register) -> None:
    """factory() -> Method, a recipe of the names above."""


@hookspec
def edgead_register_exporters(register: Register) -> None:
    """factory() -> Exporter, one per target."""


@hookspec
def edgead_register_engines(register: Register) -> None:
    """factory() -> Engine, what runs a compiled model; see ``edgead.runtime.session``."""


@hookspec
def edgead_register_layouts(register: Register) -> None:
    """factory() -> Layout, one per kind of data set."""


@hookspec
def edgead_register_sources(register: Register) -> None:
    """factory: a class with a frozen dataclass ``Options``; ``factory(options) -> Source``."""


@hookspec
def edgead_register_sinks(register: Register) -> None:
    """factory: a class with a frozen dataclass ``Options``; ``factory(options) -> Sink``."""


__all__ = [
    "API_VERSION",
    "DEPRECATED_APIS",
    "ExpectsFailures",
    "Method",
    "StatesItsApi",
    "hookimpl",
    "hookspec",
]
