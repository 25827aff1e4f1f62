"""Absurd words on the command line: a sentence and a documented exit code, never a fault of edgead's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import edgead
from edgead.cli import VERBS, cli, main
from edgead.errors import OptionError

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
NUMBERS = ("-1", "0", "99999999999", "1e400", "nan", "-0.0", "9" * 5000, "٣", "1_0", "0x10", "")
CORES = ("0-99999999999", "0-4096", "5-1", "0-", "-", ",", "0" * 5000, "99999", "0,0-,1")
LONG = ("a" * 5000, "/".join(["b" * 200] * 25), f"{'c' * 300}.png")


def verbs() -> list[tuple[str, click.Command]]:
    with click.Context(cli) as context:
        found = [(verb, cli.get_command(context, verb)) for verb in VERBS]
    return [(verb, command) for verb, command in found if command is not None]


def typed(command: click.Command, nothing: str) -> list[str]:
    """The arguments that a verb asks for, as many as it wants, none of which is there."""
    wanted = [p for p in command.params if isinstance(p, click.Argument) and (p.required or p.nargs == -1)]
    return [nothing for _ in wanted]


def options() -> list[tuple[str, str, list[str]]]:
    """Each verb's options that take a value, with the verb's arguments."""
    return [
        (verb, max(option.opts, key=len), typed(command, "not-there"))
        for verb, command in verbs()
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag and option.opts[0] not in ("--out", "-o")
        if verb not in ("demo", "plugins", "doctor", "completion", "methods", "backbones")
    ]


@pytest.mark.parametrize(("verb", "option", "arguments"), options())
def test_no_value_of_an_option_is_a_fault_of_edgeads(verb, option, arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for value in (*NUMBERS, *CORES, *LONG):
        code = main([verb, *arguments, f"{option}={value}"])
        told = capfd.readouterr().err
        assert code in (2, 3, 5, 7), (value[:30], told)
        assert told.startswith("error: ") and told.count("\n") == 1 and "unexpected" not in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["run", str(GOLDEN), ".", "--limit"],
        ["bench", str(GOLDEN), "--frames"],
        ["bench", str(GOLDEN), "--rate"],
        ["eval", str(GOLDEN), ".", "--draws"],
        ["compare", str(GOLDEN), str(GOLDEN), "-d", ".", "--draws"],
        ["benchmark", "-m", "patchcore", "-d", ".", "--seeds"],
        ["benchmark", "-m", "patchcore", "-d", ".", "--jobs"],
        ["calibrate", str(GOLDEN), "--restore"],
        ["fit", "patchcore", ".", "--folds"],
        ["fit", "patchcore", ".", "--seed"],
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
@pytest.mark.parametrize("value", ["9" * 25, "9" * 400, "-1", "nan", "inf"])
def test_a_number_over_64_bits_or_none_at_all_is_refused_before_any_work(words, value, capfd):
    assert main([*words, value]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and words[-1] in told and "unexpected" not in told


def test_python_refuses_the_same(tmp_path):
    for value in (10**30, -(10**30), 10**5000):
        with pytest.raises(OptionError, match="64 bits"):
            edgead.fit("patchcore", tmp_path, seed=value)
    with pytest.raises(OptionError, match="at most 100000"):
        edgead.evaluate(GOLDEN, tmp_path, draws=10**9)


@pytest.mark.parametrize("name", LONG, ids=len)
def test_a_path_that_is_too_long_is_said(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for words in (
        *([verb, *typed(command, name)] for verb, command in verbs() if typed(command, name)),
        ["run", str(GOLDEN), name],
        ["eval", str(GOLDEN), name],
        ["fit", "patchcore", name],
        ["teach", str(GOLDEN), "--missed", name],
        ["calibrate", str(GOLDEN), "--good", name],
        ["verify", str(GOLDEN), "--on-device", "--images", name],
        ["benchmark", "-m", "patchcore", "-d", name],
    ):
        code, told = main(words), capfd.readouterr().err
        assert code in (2, 3, 5, 7), (words[:2], told)
        assert "unexpected" not in told, words[:2]
    assert not [path for path in tmp_path.iterdir() if path.name not in ("plugins",)]


@pytest.mark.parametrize(
    "words", [["run", str(GOLDEN), "good"], ["inspect", str(GOLDEN), "--json"], ["--help"]]
)
@pytest.mark.parametrize("end", ["closed", "full", "gone"])
def test_a_stdout_that_takes_nothing_has_its_exit_code(words, end, tmp_path):
    if end == "full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    import cv2
    import numpy as np

    (tmp_path / "good").mkdir()
    cv2.imwrite(str(tmp_path / "good" / "0.png"), np.full((64, 64, 3), 50, np.uint8))
    reader, writer = os.pipe()
    os.close(reader)
    sink = {"closed": None, "gone": writer}.get(end, subprocess.DEVNULL)
    command = [sys.executable, "-m", "edgead", *words]
    if end == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    if end == "full":
        command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *command]
    root = os.pathsep.join(sys.path)
    done = subprocess.run(command, cwd=tmp_path, stdout=sink, stderr=subprocess.PIPE, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": root})  # fmt: skip
    os.close(writer)
    assert done.returncode == {"closed": 7, "full": 7, "gone": 141}[end], done.stderr
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr
