"""No module imports, in however many steps, what imports it: lazy imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"edgead": ROOT, "edgead_plugins": ROOT / "plugins", "edgead_exporters": ROOT / "exporters"}


class _Imports(ast.NodeVisitor):
    """The modules that a file may import when it runs; what only a type checker imports is passed over."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.base = module if is_package else module.rpartition(".")[0]
        self.found: list[tuple[str, str | None]] = []

    def visit_If(self, node: ast.If) -> None:
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
        for statement in node.orelse if name == "TYPE_CHECKING" else [node.test, *node.body, *node.orelse]:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, None) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = node.module or ""
        if node.level:
            parts = self.base.split(".")
            parts = parts[: len(parts) - node.level + 1]
            source = ".".join([*parts, *([node.module] if node.module else [])])
        self.found += [(source, alias.name) for alias in node.names]


def graph(roots: Mapping[str, Path]) -> dict[str, set[str]]:
    """Each module of these packages to those of them that it imports.

    ``from package import module`` counts as the module.
    """
    files: dict[str, Path] = {}
    for package, root in roots.items():
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    edges: dict[str, set[str]] = {}
    for module, path in files.items():
        reader = _Imports(module, path.name == "__init__.py")
        reader.visit(ast.parse(path.read_text("utf-8")))
        named = {deep if (deep := f"{source}.{name}") in files else source for source, name in reader.found}
        edges[module] = {name for name in named if name in files and name != module}
    return edges


def circles(edges: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """Modules that reach each other: the strongly connected components of more than one (Kosaraju)."""
    order: list[str] = []
    seen: set[str] = set()

    def walk(start: str, ways: Mapping[str, set[str]], into: list[str]) -> None:
        pending = [(start, False)]
        while pending:
            name, left = pending.pop()
            if left:
                into.append(name)
            elif name not in seen:
                seen.add(name)
                pending += [(name, True), *((other, False) for other in ways[name])]

    for name in edges:
        walk(name, edges, order)
    back: dict[str, set[str]] = {name: set() for name in edges}
    for name, others in edges.items():
        for other in others:
            back[other].add(name)
    seen.clear()
    for name in reversed(order):
        found: list[str] = []
        walk(name, back, found)
        if len(found) > 1:
            yield frozenset(found)


def test_no_module_reaches_itself() -> None:
    found = [" <-> ".join(sorted(circle)) for circle in circles(graph(PACKAGES))]
    assert not found, "import circles: " + "; ".join(found)


@pytest.mark.parametrize(
    "sources, expected",
    [
        ({"a": "import p.b", "b": "import p.c", "c": "def f():\n    from p import a"}, {"p.a", "p.b", "p.c"}),
        ({"a": "from p.b import x", "b": "class C:\n    def f(self):\n        import p.a"}, {"p.a", "p.b"}),
        ({"a": "from . import b", "b": "from .a import x"}, {"p.a", "p.b"}),
        ({"__init__": "from p.a import x", "a": "import p"}, {"p", "p.a"}),
        ({"a": "if x:\n    import p.b", "b": "try:\n    import p.a\nexcept E: ..."}, {"p.a", "p.b"}),
        ({"a": "if TYPE_CHECKING:\n    import p.b", "b": "import p.a"}, None),
        ({"a": "if typing.TYPE_CHECKING:\n    import p.b\nelse:\n    x = 1", "b": "import p.a"}, None),
        ({"a": "import p.b, p.c", "b": "import p.c", "c": "import os"}, None),
    ],
)  # fmt: skip
def test_circles_of_any_kind_are_found(
    tmp_path: Path, sources: dict[str, str], expected: set[str] | None
) -> None:
    (tmp_path / "p").mkdir()
    for name, text in {"__init__": "", **sources}.items():
        (tmp_path / "p" / f"{name}.py").write_text(text)
    assert list(circles(graph({"p": tmp_path}))) == ([] if expected is None else [frozenset(expected)])
