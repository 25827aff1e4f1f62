"""What a newcomer types, and what may stand anywhere: help, version, another tool's verbs, -v, completion."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgead.cli import VERBS, cli, main
from edgead.cli.output import typed
from edgead.cli.words import MEANT, read_anywhere


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(list(words)) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_no_word_is_a_question_and_so_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    whole, err = said(capsys)
    assert err == ""
    assert whole.startswith("Usage: edgead") and len(whole.splitlines()) > 30
    assert said(capsys, "help")[0] == said(capsys, "--help")[0] == whole
    assert said(capsys, "help", "run")[0] == said(capsys, "run", "--help")[0]
    assert said(capsys, "help", "plugins", "check")[0].startswith("Usage: edgead plugins check")
    assert "did you mean fit" in said(capsys, "help", "ft", code=2)[1]
    assert said(capsys, "version")[0] == said(capsys, "--version")[0]


def test_another_tools_verb_is_answered_with_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for word, ours in (("train", "fit"), ("predict", "run"), ("infer", "run"), ("test", "eval"),
                       ("evaluate", "eval"), ("serve", "run"), ("convert", "export")):  # fmt: skip
        out, err = said(capsys, word, "something", code=2)
        assert out == "" and len(err.splitlines()) == 1
        assert f"`edgead {ours} " in err


def test_the_answers_name_verbs_that_there_are() -> None:
    assert not set(MEANT) & set(VERBS)
    for answer in MEANT.values():
        named = re.findall(r"`edgead (\w+)", answer)
        assert named and set(named) <= set(VERBS)


def test_a_plugins_verb_comes_before_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("train")
    def train() -> None:
        click.echo("a plugin's")

    known = type(cli).get_command
    monkeypatch.setattr(
        type(cli), "get_command", lambda self, ctx, name: train if name == "train" else known(self, ctx, name)
    )
    assert said(capsys, "train")[0] == "a plugin's\n"


def test_options_that_may_stand_anywhere() -> None:
    found = read_anywhere(["-v", "run", "--debug", "b", "-vv", "--no-plugins", "x", "--verbose"])
    assert (found.words, found.debug, found.no_plugins, found.verbose) == (["run", "b", "x"], True, True, 4)
    after = read_anywhere(["run", "b", "--", "-v", "--debug"])
    assert (after.words, after.debug, after.verbose) == (["run", "b", "--", "-v", "--debug"], False, 0)


def test_verbose_logs_to_stderr_and_leaves_no_handler(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command("doctor")
    def work() -> None:
        logging.getLogger("edgead.workbench.fit").info("reading images: 0.10 s")
        logging.getLogger("edgead_plugins.anything").debug("in detail")
        logging.getLogger("another.library").info("not ours")

    before = {name: list(logging.getLogger(name).handlers) for name in ("", "edgead", "edgead_plugins")}
    told = {}
    for words in ((), ("-v",), ("-vv",)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(cli), "get_command", lambda self, ctx, name: work)
            told[words] = said(capsys, "doctor", *words)[1]
    assert told[()] == ""
    assert "INFO  edgead.workbench.fit: reading images: 0.10 s" in told["-v",]
    assert "in detail" not in told["-v",] and "in detail" in told["-vv",]
    assert "not ours" not in told["-vv",]
    assert before == {name: list(logging.getLogger(name).handlers) for name in before}
    assert logging.getLogger("edgead").level == logging.NOTSET


def test_the_library_sets_no_handler() -> None:
    code = (
        "import logging, pkgutil, importlib, edgead\n"
        "import edgead.workbench.export, edgead.workbench.fit, edgead.runtime.detector, edgead.cli\n"
        "print([n for n in (None, 'edgead') if logging.getLogger(n).handlers])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.strip() in ("[]", "[None]")  # None: a package's that it imports
    assert "'edgead'" not in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_the_shell_takes(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, _ = said(capsys, "completion", shell)
    assert "_EDGEAD_COMPLETE" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=30)


def test_completion_completes_verbs_and_options() -> None:
    def complete(line: str, position: int) -> list[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "_EDGEAD_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(position),
        }
        done = subprocess.run([sys.executable, "-m", "edgead"], capture_output=True, text=True,
                              env=environment, check=True, timeout=60)  # fmt: skip
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("edgead ins", 1) == ["inspect", "install"]
    assert "--threshold" in complete("edgead run --thr", 2)
    assert complete("edgead fit patchc", 2) == ["patchcore"]
    assert complete("edgead backbones resnet3", 2) == ["resnet34"]
    assert complete("edgead export x --target open", 4) == ["openvino"]
    for words in ("run my", "inspect my", "verify my", "bench my", "run b my", "export my"):
        assert complete(f"edgead {words}", len(words.split())) == ["my"]  # the shell looks for files


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="as a Unix shell reads it")
@pytest.mark.parametrize(
    "word",
    [b"plain.edgead", b"my part.edgead", b"it's", b"$HOME", b"a\\b", b"a\nb", b"-x", "größe".encode(),
     b"caf\xe9 d.png", b"'\\\xff\x1b[2J"],
)  # fmt: skip
def test_a_suggested_command_means_the_same_word_to_a_shell(word: bytes) -> None:
    text = typed(os.fsdecode(word))
    assert "\n" not in text and "\x1b" not in text
    done = subprocess.run(["bash", "-c", b"printf %s " + os.fsencode(text)], capture_output=True, check=True)
    assert done.stdout == word


def test_fit_and_run_say_what_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.png").touch()
    (tmp_path / "photo.png").touch()
    assert "METHOD comes first" in said(capsys, "fit", "good", "patchcore", code=2)[1]
    assert "good: a folder of 1 image, not a bundle" in said(capsys, "inspect", "good", code=3)[1]
    assert "photo.png: an image, not a bundle" in said(capsys, "run", "photo.png", "good", code=3)[1]
