"""The plugin contract is all in types: nothing is asked of a plugin that no protocol names and documents."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest

import edgead
import edgead.types
from edgead import hookspecs
from edgead.runtime import session
from edgead.types import LearnsDefects
from edgead_plugins.dmad.scorer import DMAD
from edgead_plugins.patchcore import PatchCore

PACKAGES = ("edgead", "edgead_plugins", "edgead_exporters")
NOT_OF_PLUGINS = {
    "edgead/api/arguments.py: value": "an option that a caller gives, NumPy's perhaps",
    "mine": "this thread's own",
    "function": "a function or class: where Python has it from", "scorer": "a class: its name",
    "frame": "a caller's array, or whatever he gives for one",
    "error": "an exception of the system's or click's",
    "sys.stdout": "the stream that this process was given",
    "signal": "which signals this system has",
    "ort": "an engine's package",
    "distribution": "what importlib.metadata found",
    "whole": "timm's model", "info": "timm's feature_info", "module": "timm's model",
    "loaded.module": "timm's model",
}  # fmt: skip
"""Objects of which an attribute may be asked that may be missing, and why none is a plugin's."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for name in PACKAGES:
        root = Path(str(importlib.import_module(name).__file__)).parent
        for file in sorted(root.rglob("*.py")):
            yield str(file.relative_to(root.parent)), ast.parse(file.read_text())


def test_no_attribute_is_asked_of_a_plugins_object_that_its_protocol_does_not_have() -> None:
    found = []
    for file, tree in sources():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name("getattr"), args=[target, ast.Constant(str(name)), _]):
                    if not {ast.unparse(target), f"{file}: {ast.unparse(target)}"} & NOT_OF_PLUGINS.keys():
                        found.append(f"{file}:{node.lineno}: {ast.unparse(target)}.{name}")
                case ast.Call(func=ast.Name("hasattr"), args=[target, ast.Constant(str(name))]):
                    if not {ast.unparse(target), f"{file}: {ast.unparse(target)}"} & (
                        NOT_OF_PLUGINS.keys() | {"os", "cv2", "hashlib"}  # what this system can do
                    ):
                        found.append(f"{file}:{node.lineno}: hasattr {name}")
    assert not found, "give it a protocol of its own in edgead.types: " + "; ".join(found)


def protocols() -> dict[str, type]:
    found: dict[str, type] = {}
    for module in (edgead.types, session, hookspecs):
        names = [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            value = getattr(module, name)
            if inspect.isclass(value) and value is not Protocol and getattr(value, "_is_protocol", False):
                found[name] = value
    return found


def members(protocol: type) -> list[str]:
    own = [name for name in vars(protocol) if not name.startswith("_")]
    called = ["__call__"] if "__call__" in vars(protocol) else []
    return sorted({*own, *vars(protocol).get("__annotations__", {}), *called})


def strings_under_attributes(protocol: type) -> set[str]:
    """Attributes with a string of their own, as Sphinx and editors read them."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(protocol))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        statement.target.id
        for statement, after in itertools.pairwise(definition.body)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }  # fmt: skip


EVERY_MEMBER = [(name, member) for name, kind in protocols().items() for member in members(kind)]


def test_the_protocols_are_found() -> None:
    assert {"Backbone", "Scorer", "FittedScorer", "Exporter", "Layout", "Session", "StatesItsApi"} <= set(
        protocols()
    )


@pytest.mark.parametrize(("name", "member"), EVERY_MEMBER, ids=lambda part: part)
def test_every_member_of_a_public_protocol_is_documented(name: str, member: str) -> None:
    protocol = protocols()[name]
    assert inspect.getdoc(protocol), f"{name} has no docstring"
    own = vars(protocol).get(member)
    if isinstance(own, property):
        own = own.fget
    if inspect.isfunction(own):
        assert own.__doc__, f"{name}.{member} has no docstring"
        return
    if member in strings_under_attributes(protocol):
        return
    text = inspect.getdoc(protocol) or ""
    listed = text[text.index("Attributes:") :] if "Attributes:" in text else ""
    names = {word.strip() for line in listed.splitlines() for word in line.partition(":")[0].split(",")}
    assert member in names, f"{name}'s docstring doesn't list the attribute {member}"


def test_every_field_of_a_record_that_crosses_is_documented() -> None:
    missing = []
    for name in edgead.types.__all__:
        kind: Any = getattr(edgead.types, name)
        if not (inspect.isclass(kind) and dataclasses.is_dataclass(kind)):
            continue
        text = " ".join(inspect.getdoc(base) or "" for base in kind.__mro__ if dataclasses.is_dataclass(base))
        missing += [
            f"{name}.{f.name}" for f in dataclasses.fields(kind) if f"{f.name}:" not in text
            and f"{f.name}, " not in text and f", {f.name}" not in text and f"``{f.name}``" not in text
        ]  # fmt: skip
    assert not missing


def test_learning_defects_can_be_denied() -> None:
    class No(PatchCore):
        learns_defects = False

    assert isinstance(DMAD(), LearnsDefects) and DMAD().learns_defects
    assert isinstance(No(), LearnsDefects) and not No().learns_defects


def test_the_five_subjects_export_what_the_package_does() -> None:
    subjects: list[ModuleType] = [
        importlib.import_module(f"edgead.types.{info.name}")
        for info in pkgutil.iter_modules(edgead.types.__path__)
    ]
    assert {m.__name__.rpartition(".")[2] for m in subjects} == {"values", "method", "target", "data", "line"}
    theirs = {name for module in subjects for name in module.__all__}
    assert set(edgead.types.__all__) == theirs | {"Register"}


@pytest.mark.parametrize(("old", "new"), [("Training", "FittingData"), ("Examples", "TrainingData")])
def test_the_first_apis_names_go_on_working(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(edgead.types, old) is getattr(edgead.types, new)
    with pytest.raises(AttributeError):
        edgead.types.Nothing  # noqa: B018
