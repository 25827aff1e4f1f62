"""The command line as a user meets it: exit codes, one-line errors, near matches, nothing heavy for help."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

import click
import pytest

import edgead.cli as command_line
from edgead.cli import VERBS, cli, main
from edgead.cli.reference import reference
from edgead.errors import (
    EdgeadError,
    HashMismatchError,
    MissingDependencyError,
    OutputError,
    ParityError,
    PluginError,
)
from edgead.extras import EXTRAS
from edgead.plugins import Entry, Plugin, Registry, registry
from edgead.progress import make_progress, silent

ROOT = Path(__file__).parents[2]


PATHS = os.pathsep.join(map(str, (ROOT, ROOT / "plugins", ROOT / "exporters")))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS}


def python(*words: str, stdout: int | IO[str] = subprocess.PIPE) -> tuple[int, str, list[str]]:
    """Run Python in a process of its own; returns exit code, stdout and stderr's lines."""
    done = subprocess.run(
        [sys.executable, *words],
        text=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        timeout=120,
    )
    return done.returncode, done.stdout or "", done.stderr.strip().splitlines()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: edgead {verb}")
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.name == verb
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb}: {parameter.name} has no help"


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from edgead.cli import main\n"
        "for words in (['--version'], ['fit', '--help'], ['run', '--help']): main(words)\n"
        "heavy = {'numpy', 'cv2', 'openvino', 'onnxruntime', 'onnx', 'spox', 'nncf', 'rich', 'torch'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules)) or ''))"
    )
    assert python("-c", code)[2] == []


ERRORS = [
    (HashMismatchError("a.edgead: changed"), 3),
    (ParityError("differs"), 4),
    (MissingDependencyError("needs x"), 5),
    (PluginError("acme"), 6),
    (OutputError("full"), 7),
    (EdgeadError("anything"), 1),
    (KeyboardInterrupt(), 130),
    (ValueError("two\nlines"), 1),
    (click.UsageError("wrong word"), 2),
]


@pytest.mark.parametrize("error, code", ERRORS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_an_error_is_one_line_and_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(command_line.cli, "get_command", lambda ctx, name: broken)
    assert main(["doctor"]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert ("--debug" in lines[0]) == isinstance(error, ValueError)
    if not isinstance(error, KeyboardInterrupt):
        main(["--debug", "doctor"])
        assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["ft"], "no command 'ft': did you mean fit"),
        (["nonsense"], "no command 'nonsense': known: "),
        (["doctor", "--jsn"], "'--json'"),
        (["verify"], "BUNDLE"),
        (["inspect", "no-such-bundle"], "no-such-bundle: no such bundle"),
    ],
)
def test_a_wrong_word_is_answered_with_the_near_matches(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (2, 3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_a_bundle_nearby_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "patchcore.edgead").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "pathcore.edgead"]) == 3
    assert "did you mean patchcore.edgead?" in capsys.readouterr().err


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["telemetry"] == "off"
    assert report["packages"]["numpy"]
    assert set(report["extras"]) == set(EXTRAS)
    assert main(["plugins", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert main(["backbones", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)


def test_an_unknown_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "resnett18"]) == 2
    assert "no backbone named 'resnett18'" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_output_is_code_7() -> None:
    with Path("/dev/full").open("w") as full:
        code, _, errors = python("-m", "edgead", "--help", stdout=full)
    assert code == 7
    assert len(errors) == 1


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code, _, errors = python("-m", "edgead", "doctor", stdout=writer)
    os.close(writer)
    assert (code, errors) == (141, [])


def test_the_module_is_the_command() -> None:
    code, out, _ = python("-m", "edgead", "--version")
    assert code == 0
    assert out.startswith("edgead ")


def test_the_documentation_is_generated() -> None:
    if not registry().names("methods"):
        pytest.skip("edgead isn't installed, so its own plugins aren't found")
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == reference(), "run: python -m edgead.cli.reference > docs/cli.md"


@pytest.fixture
def plugin_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that adds the verbs ``polish`` and, in vain, ``doctor``, and one that is no verb."""

    @click.command("polish")
    def polish() -> None:
        """Polish it."""
        click.echo("polished")

    @click.command("doctor")
    def doctor() -> None:
        click.echo("an impostor")

    made = {"polish": polish, "doctor": doctor, "plain": print}
    entries = tuple(Entry("commands", name, "", "acme", "1.0", made[name]) for name in made)
    fake = Registry([Plugin("acme", "1.0", "edgead.commands", entries)])
    monkeypatch.setattr("edgead.discovery.commands", lambda: fake)


@pytest.mark.usefixtures("plugin_verbs")
def test_a_plugin_adds_a_verb_but_takes_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["polish"]) == 0
    assert capsys.readouterr().out == "polished\n"
    assert main(["--help"]) == 0
    listed = r"Commands of plugins:\n  plain +from acme 1.0\n  polish +from acme 1.0\n$"
    assert re.search(listed, capsys.readouterr().out)
    assert main(["polish", "--help"]) == 0
    assert "Polish it." in capsys.readouterr().out
    assert main(["plain"]) == 6
    assert "acme 1.0:" in (said := capsys.readouterr().err) and "@click.command()" in said
    assert main(["doctor"]) == 0
    assert "impostor" not in capsys.readouterr().out
    assert main(["polsh"]) == 2
    assert "did you mean polish" in capsys.readouterr().err


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (make_progress(), make_progress(quiet=True)):
        with progress("working", 3) as advance:
            advance(1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_is_a_bar_on_a_terminal_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with make_progress()("counting patches", 2) as advance:
        advance(2)
    shown = terminal.getvalue()
    assert "counting patches" in shown
    assert shown.endswith("\x1b[2K")  # the last line is erased


def test_progress_needs_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert make_progress() is silent
