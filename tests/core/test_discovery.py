"""Fifty plugins cost nothing until they are asked for, and a person says which may be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgead.discovery import allow_list
from tests.core.sites import install

SOURCE = """
import pathlib, click
pathlib.Path(__file__).with_suffix(".imported").touch()
from edgead import hookimpl

edgead_api = 1

@hookimpl
def edgead_register_scorers(register):
    register("scorer-{n}", "math:sqrt")

@click.command()
def verb():
    "Say who it is."
    click.echo("verb {n}")
"""


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("fifty")
    for n in range(50):
        points = f"[edgead]\nmain = module_{n}\n[edgead.commands]\nverb-{n} = module_{n}:verb\n"
        install(site, f"edgead-fake-{n}", points, **{f"module_{n}": SOURCE.format(n=n)})
    return site


def edgead(site: Path, *words: str, **variables: str) -> tuple[str, list[str]]:
    """What the command prints, and the plugins that were imported meanwhile."""
    for mark in site.glob("*.imported"):
        mark.unlink()
    path = os.pathsep.join([str(site), str(Path(__file__).parents[2])])
    environment = {**os.environ, **variables, "PYTHONPATH": path}
    command = [sys.executable, "-m", "edgead", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, sorted(mark.stem for mark in site.glob("*.imported"))


def test_help_lists_fifty_verbs_and_imports_no_plugin(fifty: Path) -> None:
    out, imported = edgead(fifty, "--help")
    assert all(f"verb-{n} " in out for n in range(50))
    assert "from edgead-fake-7 1.0" in out
    assert imported == []


def test_a_verb_imports_its_own_plugin_alone(fifty: Path) -> None:
    assert edgead(fifty, "verb-7") == ("verb 7\n", ["module_7"])


@pytest.mark.parametrize("words", [("--version",), ("run", "--help"), ("verify", "--help")])
def test_what_needs_no_name_imports_no_plugin(fifty: Path, words: tuple[str, ...]) -> None:
    assert edgead(fifty, *words)[1] == []


def test_all_are_listed_with_their_times(fifty: Path) -> None:
    out, imported = edgead(fifty, "plugins", "--json")
    found = {p["distribution"]: p for p in json.loads(out) if p["registers"]["scorers"]}
    assert len([name for name in found if name.startswith("edgead-fake")]) == len(imported) == 50
    seven = found["edgead-fake-7"]
    assert (seven["registers"]["scorers"], seven["module"]) == (["scorer-7"], "module_7")
    assert seven["load_ms"] > 0 and not seven["switched_off"]


@pytest.mark.parametrize(
    "words, variables",
    [
        (("plugins", "--no-plugins"), {}),
        (("--no-plugins", "plugins"), {}),
        (("plugins",), {"EDGEAD_PLUGINS": ""}),
    ],
)
def test_none_is_imported_where_none_is_allowed(
    fifty: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    out, imported = edgead(fifty, *words, **variables)
    assert imported == [] and out.count("switched off") == 50


def test_one_is_imported_where_one_is_allowed(fifty: Path) -> None:
    allowed = {"EDGEAD_PLUGINS": "edgead_fake-7"}
    assert edgead(fifty, "plugins", **allowed)[1] == ["module_7"]
    assert "verb-7 " in (out := edgead(fifty, "--help", **allowed)[0]) and "verb-8 " not in out


def test_the_allow_list_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEAD_PLUGINS", raising=False)
    assert allow_list() is None
    for text, names in ((" a, B_c ,", {"a", "b-c"}), ("", set()), (",", set())):
        monkeypatch.setenv("EDGEAD_PLUGINS", text)
        assert allow_list() == names
