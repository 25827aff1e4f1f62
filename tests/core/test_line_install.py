"""``edgead line install`` and ``rollback`` against a line that runs, and one that doesn't."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgead import sign
from edgead.bundle import Note, add_revision, read_bundle
from edgead.cli import main
from edgead.line.config import read_line
from edgead.line.installing import phases
from edgead.slots import Slots
from tests.core.test_line_cli import Running, change, running, until, verdicts
from tests.mean_bundle import picture, write_mean_bundle

__all__ = ["running"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

GOLDEN = Path(__file__).parents[1] / "golden"
LINE = """
[line]
name = "L1"
deadline_ms = 5000
hung_ms = 10000
shadow = 3
trial = 4

[[camera]]
name = "top"
source = "folder"
bundle = "slots"
threads = 1
queue = 64
options = { path = "parts", rate = 20, loop = true }

[[sink]]
kind = "file"
role = "verdict"
options = { path = "verdicts.jsonl" }
"""
OLD, NEW = (read_bundle(GOLDEN / f"v{number}.edgead").digest for number in (2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A line of one part that comes again and again, with a golden bundle in its slots."""
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "0.png"), picture(60))
    (tmp_path / "line.toml").write_text(LINE)
    Slots(tmp_path / "slots").install(GOLDEN / "v2.edgead", good_after=0)
    return tmp_path


def bundles(folder: Path) -> list[str]:
    """The bundles that verdicts by a score name, one after the other."""
    found = [each["bundle"] for each in verdicts(folder) if each["why"] == "score"]
    return [each for index, each in enumerate(found) if index == 0 or found[index - 1] != each]


def install(folder: Path, bundle: Path, *words: str) -> int:
    return main(["line", "install", str(bundle), str(folder / "line.toml"), *words])


def answer(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capfd.readouterr().out))


def test_a_line_that_runs_takes_a_bundle_from_a_stick_and_goes_back(
    folder: Path, running: Callable[..., Running], capfd: pytest.CaptureFixture[str]
) -> None:
    stick = folder / "stick"
    shutil.copytree(GOLDEN / "v3.edgead", stick / "part.edgead")
    line = running(folder)
    until(lambda: verdicts(folder))
    assert main(["line", "run", str(folder / "line.toml")]) == 7
    assert f"this line runs already, as process {line.process.pid}" in capfd.readouterr().err
    assert install(folder, stick, "--good-after", "20", "--json") == 0
    told = answer(capfd)
    assert told["line"]["took"] is True and told["line"]["process"] == line.process.pid
    assert told["current"]["name"] == NEW and told["cameras"] == ["top"]
    slots = Slots(folder / "slots")
    until(lambda: (slot := slots.current()) is not None and slot.state == "good")
    assert bundles(folder) == [OLD, NEW], "each verdict names the bundle that judged, and none went back"
    assert main(["line", "rollback", str(folder / "line.toml"), "--why", "a trial"]) == 0
    assert "has taken it" in capfd.readouterr().out
    until(lambda: bundles(folder) == [OLD, NEW, OLD])
    line.process.terminate()
    code, _, err = line.ends()
    assert (code, err) == (0, "") and not (folder / "line.toml.status").exists()
    assert {each["why"] for each in verdicts(folder)} <= {"score", "stopped"}
    triggers = [each["trigger"] for each in verdicts(folder)]
    assert triggers == list(range(1, len(triggers) + 1)), "exactly one each"


def keys_of(folder: Path) -> None:
    """A key in the line's folder, which its file demands."""
    pytest.importorskip("cryptography", reason="needs the [sign] extra")
    from edgead.trust.keys import make_keys

    make_keys(folder / "qa.key", folder / "qa.pub")
    change(folder, "shadow = 3", 'shadow = 3\nkeys = ["qa.pub"]')


def test_what_a_line_refuses_is_said_and_rolled_back(
    folder: Path, running: Callable[..., Running], capfd: pytest.CaptureFixture[str]
) -> None:
    keys_of(folder)
    shutil.copytree(GOLDEN / "v2.edgead", folder / "signed.edgead")
    sign(folder / "signed.edgead", folder / "qa.key", serial=1)
    slots = Slots(folder / "slots", trust=folder / "qa.pub")
    slots.install(folder / "signed.edgead", good_after=0)
    line = running(folder)
    until(lambda: verdicts(folder))
    change(folder, 'keys = ["qa.pub"]', "")  # whoever installs asks for no signature any more, the line does
    assert install(folder, GOLDEN / "v3.edgead") == 4
    said = capfd.readouterr().err
    assert f"process {line.process.pid}, didn't take it" in said and "no signature" in said
    back = until(slots.went_back)
    assert back.left == NEW and back.to.startswith(OLD) and "no signature" in back.why
    assert line.process.poll() is None and bundles(folder) == [OLD]


def test_what_was_refused_is_seen_even_after_the_line_has_looked_again(folder: Path) -> None:
    """Going back has the line look once more, within a tenth of a second, and find what it runs."""
    line, slot = read_line(folder / "line.toml"), Slots(folder / "slots").current()
    assert slot is not None
    refused = {"to": str(slot.path), "phase": "refused", "why": "no signature"}
    runs = {"to": str(slot.path.with_name("other")), "phase": "same", "why": ""}
    status = {"asked": 2, "cameras": {"top": runs}, "given_up": {"top": refused}}
    (folder / "line.toml.status").write_text(json.dumps(status))
    found = partial(phases, folder / "line.toml", line, ["top"], slot.path)
    assert found(1) == ({"top": "refused"}, ["no signature"])
    assert found(2) == ({}, []), "that's of an earlier one: the line hasn't looked yet"


def test_a_line_that_follows_its_slots_needs_not_be_told(
    folder: Path, running: Callable[..., Running]
) -> None:
    change(folder, "trial = 4", "trial = 4\nfollow_slots = true")
    running(folder)
    until(lambda: verdicts(folder))
    Slots(folder / "slots").install(GOLDEN / "v3.edgead")
    until(lambda: bundles(folder) == [OLD, NEW])


def test_a_folder_whose_thresholds_were_revised_is_taken_on_a_signal(
    folder: Path, running: Callable[..., Running]
) -> None:
    write_mean_bundle(folder / "mean.edgead")
    change(folder, '"slots"', '"mean.edgead"')
    line = running(folder, "--json")
    until(lambda: verdicts(folder))
    bundle = read_bundle(folder / "mean.edgead")
    record = replace(bundle.manifest.thresholds["default"], score=40.0)
    add_revision(bundle, {"default": record}, Note(why="a test"))
    line.process.send_signal(signal.SIGHUP)
    status = folder / "line.toml.status"
    until(lambda: verdicts(folder)[-1]["threshold"] == 40)
    until(lambda: json.loads(status.read_text())["cameras"]["top"]["phase"] == "done")
    line.process.send_signal(signal.SIGHUP)
    until(lambda: json.loads(status.read_text())["cameras"]["top"]["phase"] == "same")
    line.process.terminate()
    code, out, _ = line.ends()
    assert code == 0 and "line-swap-same" in out and "revision" in out


def test_one_that_does_not_run_takes_it_at_its_next_start(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert install(folder, GOLDEN / "v3.edgead") == 0
    assert "line L1 doesn't run: its next start takes it" in capfd.readouterr().out
    assert main(["line", "rollback", str(folder / "line.toml"), "--json"]) == 0
    told = answer(capfd)
    assert told["line"]["process"] is None and told["current"]["name"] == OLD


def test_nothing_but_the_bundle_is_read(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stick, secret = folder / "stick", folder / "secret"
    shutil.copytree(GOLDEN / "v3.edgead", stick / "part.edgead")
    (stick / "part.edgead" / "notes").mkdir()
    shutil.copyfile(GOLDEN / "README.md", secret)
    model = stick / "part.edgead" / "model.onnx"
    model.rename(folder / "model.onnx")
    model.symlink_to(folder / "model.onnx")
    assert install(folder, stick) == 3
    assert "link" in capfd.readouterr().err
    shutil.rmtree(stick)
    stick.mkdir()
    (stick / "part.edgead").symlink_to(GOLDEN / "v3.edgead")
    assert install(folder, stick) == 3
    assert "leads out of its folder" in capfd.readouterr().err
    slot = Slots(folder / "slots").current()
    assert slot is not None and slot.name == OLD


@pytest.mark.parametrize(
    ("old", "new", "words", "said"),
    [
        ('"slots"', '"mean.edgead"', [], "isn't a folder of slots"),
        ("", "", ["--camera", "side"], "no camera 'side': there's top"),
        ("threads = 1", 'keys = "x"', [], "keys"),
    ],
)
def test_what_cannot_be_installed_is_said(
    folder: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, words: list[str], said: str
) -> None:
    if old:
        change(folder, old, new)
    assert install(folder, GOLDEN / "v3.edgead", *words) == 2
    assert said in capfd.readouterr().err


def test_the_lines_keys_are_demanded(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys_of(folder)
    assert install(folder, GOLDEN / "v3.edgead") == 3
    assert "no signature" in capfd.readouterr().err
