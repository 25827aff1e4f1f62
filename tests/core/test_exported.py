"""What modules export is sorted, true, complete and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import edgead
import edgead_exporters
import edgead_plugins
from edgead.errors import MissingDependencyError

PACKAGES = (edgead, edgead_plugins, edgead_exporters)
SKIPPED = ("edgead.__main__",)  # it runs


def names() -> list[str]:
    found = [package.__name__ for package in PACKAGES]
    for package in PACKAGES:
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [name for name in found if name not in SKIPPED]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {package.__name__ for package in PACKAGES}:
            raise
        pytest.skip(f"{error.name} isn't installed")
    except MissingDependencyError as error:
        pytest.skip(str(error))


def own(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The public classes and functions that a module defines."""
    for name, value in vars(module).items():
        is_code = inspect.isclass(value) or inspect.isroutine(value)
        if is_code and not name.startswith("_") and value.__module__ == module.__name__:
            yield name, value


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("name", names())
def test_a_modules_exports_are_sorted_true_and_complete(name: str) -> None:
    module = load(name)
    if not hasattr(module, "__all__"):
        pytest.skip("it names no exports")
    exported = list(module.__all__)
    assert exported == sorted(set(exported), key=order)
    assert not [one for one in exported if not hasattr(module, one)]
    assert not [one for one, value in own(module) if one not in exported and not is_hook(value)]


@pytest.mark.parametrize("name", names())
def test_what_is_public_is_documented(name: str) -> None:
    module = load(name)
    assert module.__doc__, "the module has no docstring"
    assert not [one for one, value in own(module) if not value.__doc__ and not is_hook(value)]


def is_hook(value: object) -> bool:
    """A hook is documented where it's specified."""
    return hasattr(value, "edgead_impl") or hasattr(value, "edgead_spec")


@pytest.mark.parametrize("name", edgead.__all__)
def test_what_edgead_exports_is_there_and_documented(name: str) -> None:
    value = getattr(edgead, name)
    if isinstance(value, str | ModuleType):
        return
    assert inspect.getdoc(value)
    for member, function in inspect.getmembers(value, inspect.isroutine):
        if inspect.isclass(value) and not member.startswith("_") and member in vars(value):
            assert inspect.getdoc(function), f"{name}.{member}"


def test_edgead_exports_what_its_types_say() -> None:
    """The lazy names are those that a type checker sees."""
    import ast
    from pathlib import Path

    (block,) = (
        node
        for node in ast.parse(Path(edgead.__file__).read_text("utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.pop("errors") == "edgead"
    assert seen == edgead._HOME
    assert set(seen) | {"errors", "__version__"} == set(edgead.__all__)
    assert dir(edgead) == edgead.__all__ == sorted(edgead.__all__, key=order)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        edgead.fitt  # noqa: B018


def test_the_names_of_the_api_need_no_heavy_package() -> None:
    code = (
        "import edgead, sys\n"
        "edgead.Fit, edgead.Export, edgead.Verified, edgead.errors\n"
        "print([m for m in ('numpy', 'cv2', 'click', 'onnx', 'openvino') if m in sys.modules])\n"
        "edgead.fit, edgead.export, edgead.evaluate, edgead.verify, edgead.compare, edgead.load\n"
        "print([m for m in ('click', 'onnx', 'openvino', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
