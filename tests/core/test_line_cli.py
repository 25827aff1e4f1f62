"""``edgead line`` as it's typed: a real bundle, a folder of images, a file of verdicts, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.line.record import RecordReader
from edgead.slots import Slots
from tests.mean_bundle import picture, write_mean_bundle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

LINE = """
[line]
name = "L1"
deadline_ms = 5000
hung_ms = 10000

[[camera]]
name = "top"
source = "folder"
bundle = "{bundle}"
threads = 1
options = {{ path = "parts", rate = 20 }}

[[sink]]
kind = "file"
role = "verdict"
options = {{ path = "verdicts.jsonl" }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A line of three parts, of which the second is defective."""
    write_mean_bundle(tmp_path / "mean.edgead")
    (tmp_path / "parts").mkdir()
    for number, spot in enumerate((0, 200, 60)):
        cv2.imwrite(str(tmp_path / "parts" / f"{number}.png"), picture(spot))
    (tmp_path / "line.toml").write_text(LINE.format(bundle="mean.edgead"))
    return tmp_path


def change(folder: Path, old: str, new: str) -> Path:
    file = folder / "line.toml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    return file


def verdicts(folder: Path) -> list[dict[str, Any]]:
    file = folder / "verdicts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)
    return found


class Running:
    """``edgead line run`` as a process of its own."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgead", "line", "run", str(folder / "line.toml"), *words],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in listed.split()]

    def ends(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(folder: Path, *words: str, **variables: str) -> Running:
        started.append(Running(folder, *words, **variables))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_a_line_judges_what_comes_until_it_is_ended(folder: Path, running: Callable[..., Running]) -> None:
    line = running(folder, "--json", "--verdicts")
    until(lambda: len(verdicts(folder)) == 3)
    line.process.send_signal(signal.SIGTERM)
    code, out, err = line.ends()
    assert (code, err) == (0, "")
    found = verdicts(folder)
    assert [each["decision"] for each in found] == ["accept", "reject", "accept"]
    assert {each["why"] for each in found} == {"score"} and [each["part"] for each in found] == [
        "1",
        "2",
        "3",
    ]
    assert [each["score"] for each in found] == [50, 200, 60] and found[1]["threshold"] == 100
    assert found[1]["regions"][0]["box"][2] > 10 and found[0]["regions"] == []
    assert {each["bundle"] for each in found} == {read_bundle(folder / "mean.edgead").digest}
    times = found[0]["times"]
    assert times["trigger"] <= times["grab"] <= times["judged"] <= times["sent"]
    lines = [json.loads(text) for text in out.splitlines()]
    assert [each["verdict"]["part"] for each in lines if "verdict" in each] == ["1", "2", "3"]
    assert [each["ready"] for each in lines if "ready" in each][-2:] == [True, False]
    assert lines[-1]["summary"]["verdicts"] == 3


def test_a_line_with_a_log_keeps_verdicts_images_and_maps(
    folder: Path, running: Callable[..., Running], capfd: pytest.CaptureFixture[str]
) -> None:
    with (folder / "line.toml").open("a") as file:
        file.write("[log]\nimages = { near = 0, good = 'none' }\n")
    assert main(["line", "check", str(folder / "line.toml")]) == 0
    assert "ready      recorder recorder: the record is kept in" in capfd.readouterr().out
    line = running(folder)
    until(lambda: len(verdicts(folder)) == 3)
    line.process.send_signal(signal.SIGTERM)
    assert line.ends()[0] == 0
    with RecordReader(folder / "record") as reader:
        rows = reader.verdicts()
        assert [row.trigger for row in rows] == [3, 2, 1] and [row.kept for row in rows] == [
            None,
            "reject",
            None,
        ]
        assert [row.score for row in reader.scores("top")] == [50, 200, 60]
        assert {"line-started", "line-ready", "line-camera-open"} <= {e.code for e in reader.events()}
        image, small = reader.image(rows[1].id), reader.map(rows[1].id)
    assert image is not None and small is not None
    part = cv2.imread(str(folder / "parts" / "1.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.imread(str(image), cv2.IMREAD_UNCHANGED), part)
    levels = cv2.imread(str(small), cv2.IMREAD_UNCHANGED)
    assert levels.shape == (32, 48) and levels.max() > 128 and levels.min() < 128
    told = json.loads((folder / "record" / "live" / "top.json").read_text())
    assert told["size"]["width"] == 96 and told["trigger"] in (1, 2, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for a process's children")
def test_every_process_ends_with_the_lines_own_however_that_ends(
    folder: Path, running: Callable[..., Running]
) -> None:
    line = running(folder)
    until(lambda: verdicts(folder))
    children = line.children()
    assert len(children) == 4
    os.kill(children[0], signal.SIGSTOP)  # one that can't notice anything
    line.process.kill()
    line.process.wait()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_systemd_hears_that_it_is_up_and_goes_on(folder: Path, running: Callable[..., Running]) -> None:
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(60)
        line = running(folder, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
        heard: list[str] = []
        while heard.count("WATCHDOG=1") < 3:
            heard.append(systemd.recv(4096).decode())
        assert heard.index("READY=1") < heard.index("WATCHDOG=1") and "STATUS=ready" in heard
        line.process.send_signal(signal.SIGINT)
        assert line.ends()[0] == 0
        systemd.settimeout(1)
        while "STOPPING=1" not in heard:
            heard.append(systemd.recv(4096).decode())


def test_a_reader_that_stops_reading_does_not_stop_the_line(
    folder: Path, running: Callable[..., Running]
) -> None:
    change(folder, "rate = 20", "rate = 200, loop = true")
    line = running(folder, "--verdicts", "--json")  # whose pipe nobody reads
    until(lambda: len(verdicts(folder)) > 400)
    assert line.process.poll() is None


def test_a_bundle_that_was_changed_is_refused_and_the_line_does_not_start(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = folder / "mean.edgead" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert main(["line", "run", str(folder / "line.toml")]) == 3
    assert "error: judge top/" in (said := capfd.readouterr()).err and "model.onnx" in said.err
    assert verdicts(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('"folder"', '"foldr"', 2, "no source named 'foldr': did you mean folder?"),
        ('kind = "file"', 'kind = "fill"', 2, "no sink named 'fill': did you mean file?"),
        ("rate = 20", "rat = 20", 2, "no option named 'rat': did you mean rate"),
        ("rate = 20", "rate = -1", 2, "option 'rate' takes number from 0.001 to 10000, not -1"),
        ('role = "verdict"', 'role = "inform"', 2, "no sink has the role verdict"),
        ("threads = 1", 'threads = 1\\ntrigger = "plc"', 2, "no sink tells of triggers"),
        ('kind = "file"', 'kind = "webhook"', 2, "no option named 'path'"),
        ("threads = 1", 'engine = "abacus"', 2, "no engine named 'abacus'"),
        ("threads = 1", "cores = [4095]", 2, "cores 4095: this process may use"),
    ],
)
def test_what_can_never_work_ends_it_at_once(
    folder: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, code: int, said: str
) -> None:
    file = change(folder, old, new.replace("\\n", "\n"))
    assert main(["line", "run", str(file), "--quiet"]) == code
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_webhook_alone_has_no_say_in_verdicts(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change(folder, 'kind = "file"', 'kind = "webhook"')
    file = change(folder, 'options = { path = "verdicts.jsonl" }', "")
    assert main(["line", "run", str(file), "--quiet"]) == 2
    assert "can't have the role verdict: it has inform" in capfd.readouterr().err


# ---------------------------------------------------------------- check


def test_check_tries_everything_and_says_what_it_found(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["line", "check", str(folder / "line.toml")]) == 0
    out = capfd.readouterr().out
    assert "ready      camera top: it gives images of 64x96x3 uint8" in out
    assert "ready      bundle top: warm after" in out and "it judged an image in" in out
    assert "ready      sink file: it's there, with the role verdict" in out
    assert verdicts(folder) == [], "no sink gets a verdict"


def test_check_says_all_that_is_not_ready(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for file in (folder / "parts").iterdir():
        file.unlink()
    change(folder, "mean.edgead", "none.edgead")
    change(folder, '"verdicts.jsonl"', '"nowhere/verdicts.jsonl"')
    assert main(["line", "check", str(folder / "line.toml"), "--json"]) == 5
    told = json.loads(capfd.readouterr().out)
    assert told["ready"] is False and len(told["findings"]) == 3
    errors = {each["kind"]: each["error"] for each in told["findings"]}
    assert "parts" in errors["camera"] and "none.edgead" in errors["bundle"] and "nowhere" in errors["sink"]


def test_check_says_what_is_not_there_once_and_that_the_pages_port_is_taken(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "parts").rename(folder / "elsewhere")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        file = folder / "line.toml"
        file.write_text(f'{file.read_text()}\n[page]\nlisten = "127.0.0.1:{port}"\n')
        assert main(["line", "check", str(file)]) == 5
    said = capfd.readouterr().out
    assert "NOT READY  camera top: parts: no such folder; give the folder" in said
    assert f"NOT READY  page page: the page can't listen on 127.0.0.1:{port}" in said


def test_check_of_a_camera_that_nothing_triggers(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgead.line.check.IMAGE_SECONDS", 0.2)
    change(folder, "rate = 20", "watch = true")
    from edgead.line.check import check_line
    from edgead.line.config import read_line

    line = read_line(folder / "line.toml")
    found = check_line(line, {"top": folder / "mean.edgead"}, image_seconds=0.2)
    assert all(finding.ready for finding in found)
    assert [notice.code for notice in found[0].notices] == ["line-check-no-image"]


# ---------------------------------------------------------------- simulate, slots


def test_simulate_judges_pictures_by_the_lines_own_bundle(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["line", "simulate", str(folder / "line.toml"), "--parts", "6", "--rate", "20", "--json"]
    assert main([*words, "--images", str(folder / "parts"), "--epsilon-ms", "2000"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["triggers"] == told["verdicts"] == 6 and told["whys"] == {"score": 6}
    assert told["tally"]["decisions"] == {"accept": 4, "reject": 2} and told["faults"] == []
    assert verdicts(folder) == [], "the line's own sinks get nothing"
    assert told["untriggered"] == 0 and told["unreached"] == []


def test_simulate_says_what_came_to_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gone = '[[fault]]\npart = 2\nwhat = "camera-gone"\nseconds = 0.3\n'
    (folder / "script.toml").write_text(gone + '[[fault]]\npart = 60\nwhat = "judge-nan"\n')
    words = ["line", "simulate", str(folder / "line.toml"), "--parts", "12", "--rate", "20", "--quiet"]
    assert main([*words, "--faults", str(folder / "script.toml"), "--epsilon-ms", "5000"]) == 0
    said = capfd.readouterr().out
    triggered = int(re.search(r"(\d+) triggers", said)[1])  # type: ignore[index]
    assert f"{12 - triggered} parts triggered nothing" in said and 0 < triggered < 12
    assert "1 fault of the script didn't happen" in said and "judge-nan of part 60" in said
    assert "--images DIR shows yours" in said


def test_a_promise_that_is_not_kept_is_said(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgead.line import core

    real = core.Core._say
    monkeypatch.setattr(core.Core, "_say", lambda self, v: real(self, v) if v.trigger != 3 else None)
    words = ["line", "simulate", str(folder / "line.toml"), "--parts", "6", "--rate", "20", "--stand-in"]
    assert main(words) == 4
    assert "6 triggers have 5 verdicts" in capfd.readouterr().err


def test_a_folder_of_slots_counts_what_its_bundle_judges(
    folder: Path, running: Callable[..., Running]
) -> None:
    slots = Slots(folder / "slots")
    slots.install(Path(__file__).parents[1] / "golden" / "v2.edgead", good_after=40)
    change(folder, "mean.edgead", "slots")
    change(folder, "rate = 20", "rate = 100, loop = true")
    line = running(folder)
    until(lambda: (slot := slots.current()) is not None and slot.state == "good")
    line.process.terminate()
    assert line.ends()[0] == 0
    slot = slots.current()
    assert slot is not None and slot.starts == 1


def test_an_empty_folder_of_slots_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change(folder, "mean.edgead", "slots")
    assert main(["line", "check", str(folder / "line.toml")]) == 3
    assert "slots" in capfd.readouterr().out
