"""What ``edgead plugins new`` writes, and the example, which is just that."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edgead.cli import main
from edgead.errors import InputError, OutputError
from edgead.testing.template import FILES, plugin_files, write_plugin

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"
LEFT_BY_TOOLS = {"__pycache__", ".ruff_cache", ".pytest_cache", ".mypy_cache", ".venv", "build", "dist"}


def test_the_example_is_what_the_template_writes() -> None:
    again = "rm -r examples/third_party_plugin; edgead plugins new kmeans --out examples/third_party_plugin"
    here = {
        path.relative_to(EXAMPLE).as_posix(): path.read_text()
        for path in EXAMPLE.rglob("*")
        if path.is_file() and not LEFT_BY_TOOLS & set(path.relative_to(EXAMPLE).parts)
    }
    assert here == plugin_files("kmeans"), f"run: {again}"


@pytest.mark.parametrize("name", ["glow", "my-method", "edgead-glow", "p4m"])
def test_any_name_yields_a_plugin_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", name]) == 0
    short = name.removeprefix("edgead-")
    folder = tmp_path / f"edgead-{short}"
    assert f"edgead plugins check edgead-{short}" in capsys.readouterr().out
    assert len(list(folder.rglob("*.*"))) >= len(list(FILES.rglob("*.in")))
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "__NAME__" not in text + path.name and "kmeans" not in text.lower()
            if path.suffix == ".py":
                ast.parse(text)
    assert (folder / "src" / f"edgead_{short.replace('-', '_')}" / "scorer.py").is_file()


@pytest.mark.parametrize("name", ["Glow", "9lives", "a--b", "../x", "", "glow!"])
def test_a_name_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be a method's name"):
        write_plugin(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'padim' is taken: edgead registers it"):
        write_plugin("padim", tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_plugin("glow", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
