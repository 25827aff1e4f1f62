"""Every member of a public protocol has a check in the kit: without it, or with a wrong one, it fails."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from edgead.runtime.session import members
from edgead.testing import CheckFailed, checks
from edgead.testing.catalogue import MODULES
from edgead.testing.protocols import OPTIONAL, REQUIRED, YIELDED, require_members
from tests.core.sites import install, on_path
from tests.core.test_contract import EVERY_MEMBER, protocols

NOT_A_PLUGINS = {
    "Progress": "what a caller gives, and edgead calls",
    "Register": "what edgead gives, and a plugin calls",
    "StatesItsApi": "a module's: the check states-its-api",
    "ExpectsFailures": "a module's: the check expected-failures-exist",
}
WRONG: dict[str, Any] = {
    "float_nodes": "conv1",
    "learns_defects": "yes",
    "learns_positions": "no",
    "carries_images": 1,
    "timed_here": None,
    "notices": ["mind the gap"],
    "train": 3,
    "check_compute": lambda: None,
    "refit": lambda: None,
    "with_image_score": lambda: None,
    "matrices": lambda shape: None,
    "in_numpy": lambda maps, more: None,
    "in_bulk": lambda: None,
    "part": lambda maps: None,
    "fit_folds": lambda: None,
    "start_owned": None,
    "map_owned": lambda: None,
    "on_trigger": lambda: None,
    "cameras": lambda timeout: None,
}
ASKED = {*REQUIRED.values(), *YIELDED}


class Whole:
    """Has whatever it's asked for, but what it lacks."""

    def __init__(self, without: str = "", **has: Any) -> None:
        self._without, self._has = without, has

    def __getattr__(self, name: str) -> Any:
        optional = {member for protocol in OPTIONAL for member in members(protocol)}
        if name in self.__dict__["_has"]:
            return self.__dict__["_has"][name]
        if name == self.__dict__["_without"] or name in optional:
            raise AttributeError(name)
        return object()


@pytest.mark.parametrize(("name", "member"), EVERY_MEMBER, ids=lambda part: part)
def test_every_member_is_asked_for(name: str, member: str) -> None:
    protocol = protocols()[name]
    if name in NOT_A_PLUGINS:
        return
    assert member in members(protocol)
    if protocol in OPTIONAL:
        for asked in REQUIRED.values():
            require_members(Whole(), asked)
            with pytest.raises(CheckFailed, match=member):
                require_members(Whole(**{member: WRONG[member]}), asked)
        return
    assert protocol in ASKED, f"no check of the kit asks for the members of {name}"
    require_members(Whole(), protocol)
    with pytest.raises(CheckFailed, match=f"lacks {member}; see edgead"):
        require_members(Whole(member), protocol)


@pytest.mark.parametrize("kind", REQUIRED)
def test_each_kinds_checks_ask_its_protocol(kind: Any) -> None:
    source = inspect.getsource(importlib.import_module(MODULES[kind]))
    assert f"{REQUIRED[kind].__name__})" in source and "require_members(" in source


def test_what_a_plugins_object_yields_is_asked_too() -> None:
    modules = [importlib.import_module(MODULES[kind]) for kind in ("engines", "methods")]
    source = "".join(map(inspect.getsource, modules))
    for protocol in YIELDED:
        assert f", {protocol.__name__})" in source, protocol


BROKEN = """
from edgead import hookimpl
edgead_api = 1
class Thing:
    Options = int
@hookimpl
def edgead_register_{kind}(register): register("broken-thing", {factory})
"""
FACTORIES = {"backbones": "lambda argument, weights: Thing()", "scorers": "Thing", "engines": "Thing",
             "sources": "Thing", "sinks": "Thing"}  # fmt: skip


@pytest.mark.parametrize("kind", REQUIRED)
def test_a_plugin_without_any_member_is_told_which(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = BROKEN.format(kind=kind, factory=FACTORIES.get(kind, "lambda: Thing()"))
    install(tmp_path, "edgead-broken", "[edgead]\nmain = broken_plugin\n", broken_plugin=text)
    with on_path(monkeypatch, tmp_path):
        results = [check.run() for check in checks("broken-thing")]
    told = [result.message for result in results if result.outcome == "failed" and "lacks" in result.message]
    assert told, results
    for member in members(REQUIRED[kind]):  # type: ignore[index]
        assert member == "Options" or any(member in message for message in told), member
