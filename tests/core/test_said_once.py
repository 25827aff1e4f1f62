"""No run of six or more lines of code stands twice in the three packages without a reason.

What is said twice is mended in one place and forgotten in the other. Lines are compared without their
indentation; blank lines, comments, docstrings, imports, lone brackets and ``__all__`` don't count.
Names that begin with an underscore stay in their module: what others use is public, and documented.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgead", "plugins/edgead_plugins", "exporters/edgead_exporters")
RUN = 6
"""Lines of code that may not stand twice."""


@dataclass(frozen=True)
class Line:
    """A line of code: its text without indentation, and where it stands."""

    text: str
    file: str
    number: int


@dataclass(frozen=True)
class Twin:
    """A run of lines that stands in two places."""

    one: tuple[Line, ...]
    other: tuple[Line, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """The two files and the first line: what the list of reasons names, since line numbers move."""
        first, second = sorted((self.one[0].file, self.other[0].file))
        return first, second, self.one[0].text

    def __str__(self) -> str:
        places = (f"{run[0].file}:{run[0].number}-{run[-1].number}" for run in (self.one, self.other))
        return f"{' and '.join(places)}: {len(self.one)} lines from {self.one[0].text!r}"


REASONS: Mapping[tuple[str, str, str], str] = {
    (
        "edgead/manifest/document.py",
        "edgead/manifest/format1.py",
        "target: str",
    ): "an old format's fields stay as they were when today's change",
    (
        "edgead/workbench/export.py",
        "edgead/workbench/targets.py",
        "precision: str,",
    ): "a call for one target and a call for all take the same words",
}
"""Runs that may stand twice: the two files, the first line of code, and why."""


def lines(source: str, file: str) -> list[Line]:
    """The lines that count, in order."""
    passed_over: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        is_text = (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        is_all = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        )
        if is_text or is_all or isinstance(node, ast.Import | ast.ImportFrom):
            passed_over.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    found = []
    for number, text in enumerate(source.splitlines(), 1):
        text = text.strip()
        if number not in passed_over and any(c.isalnum() for c in text) and not text.startswith("#"):
            found.append(Line(text, file, number))
    return found


def twins(files: Mapping[str, str], run: int = RUN) -> Iterator[Twin]:
    """Every longest run of at least ``run`` lines that stands in two places of these files, by name."""
    read = {file: lines(source, file) for file, source in files.items()}
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for file, found in read.items():
        for at in range(len(found) - run + 1):
            places[tuple(line.text for line in found[at : at + run])].append((file, at))
    for found_at in places.values():
        for index, (file, at) in enumerate(found_at):
            for other, there in found_at[index + 1 :]:
                if at and there and read[file][at - 1].text == read[other][there - 1].text:
                    continue  # part of a run that began before
                length = run
                while (
                    at + length < len(read[file])
                    and there + length < len(read[other])
                    and read[file][at + length].text == read[other][there + length].text
                ):
                    length += 1
                yield Twin(tuple(read[file][at : at + length]), tuple(read[other][there : there + length]))


def sources() -> dict[str, str]:
    """The text of each module of the three packages, by its path."""
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    assert len(found) > 100
    return found


def in_the_packages() -> list[Twin]:
    return list(twins(sources()))


def private_imports(source: str) -> list[str]:
    """What a module imports that another keeps for itself, ``MODULE.NAME``."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def test_no_module_uses_what_another_keeps_for_itself() -> None:
    assert private_imports("from edgead.a import _b, c\nfrom d import __version__\n") == ["edgead.a._b"]
    found = {file: names for file, source in sources().items() if (names := private_imports(source))}
    assert found == {}


def test_nothing_is_said_twice_without_a_reason() -> None:
    found = [str(twin) for twin in in_the_packages() if twin.key not in REASONS]
    assert not found, "make one of each, or give the reason in REASONS:\n" + "\n".join(found)


def test_every_reason_still_has_its_twins() -> None:
    there = {twin.key for twin in in_the_packages()}
    assert set(REASONS) <= there, "these no longer stand twice: remove them from REASONS"


SIX = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\nf = 6\n"


@pytest.mark.parametrize(
    "one, other",
    {
        "in two files": (SIX, SIX),
        "with another indentation": (SIX, "if x:\n" + "".join(f"    {line}\n" for line in SIX.splitlines())),
        "with a comment and a blank line in it": (SIX, SIX.replace("c = 3\n", "c = 3\n\n# why\n")),
        "with an import in it": (SIX, SIX.replace("c = 3\n", "c = 3\nimport os\n")),
        "twice in one file": (SIX + "between = 0\n" + SIX, "z = 0\n"),
    }.values(),
)
def test_a_run_of_six_is_found(one: str, other: str) -> None:
    (twin,) = twins({"one.py": one, "other.py": other})
    assert [line.text for line in twin.one] == SIX.splitlines() == [line.text for line in twin.other]


@pytest.mark.parametrize(
    "one, other",
    {
        "five lines": (SIX.replace("f = 6", "f = 7"), SIX),
        "a line changed": (SIX.replace("c = 3", "c = 4"), SIX),
        "brackets alone": ("x = f(\n)\n" * 4, "y = f(\n)\n" * 2),
        "a docstring": (f'"""A text.\n\n{SIX}"""\n', f'"""Another.\n\n{SIX}"""\n'),
        "imports": ("import a\nimport b\nimport c\nimport d\nimport e\nimport f\n",) * 2,
        "a list of exported names": ('__all__ = [\n"a",\n"b",\n"c",\n"d",\n"e",\n"f",\n]\n',) * 2,
    }.values(),
)
def test_what_is_no_twin_is_passed_over(one: str, other: str) -> None:
    assert not list(twins({"one.py": one, "other.py": other}))


def test_a_longer_run_is_one_twin() -> None:
    (twin,) = twins({"one.py": SIX + "g = 7\n", "other.py": SIX + "g = 7\nh = 8\n"})
    assert len(twin.one) == 7
