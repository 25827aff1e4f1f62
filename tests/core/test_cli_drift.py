"""``edgead run --drift``: learned over runs, said beside the frame and at the end, in valid lines of JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.cli import main
from edgead.device.drift import Drift, look_at
from edgead.notices import SENTENCES
from tests.mean_bundle import HEIGHT, WIDTH, picture, write_mean_bundle

pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle ``mean.edgead`` and pictures, usual ones and a dark one."""
    monkeypatch.chdir(tmp_path)
    write_mean_bundle(tmp_path / "mean.edgead")
    (tmp_path / "photos").mkdir()
    for i in range(3):
        cv2.imwrite(f"photos/{i}.png", picture(90 + i))
    cv2.imwrite("dark.png", (picture(90) * 0.8).astype(np.uint8))
    return tmp_path


def learned(path: str, frames: int) -> None:
    """A state as ``frames`` usual frames leave it."""
    drift = Drift(edgead.read_bundle(Path("mean.edgead")), path)
    looks = [look_at(picture(90 + i), (HEIGHT, WIDTH)) for i in range(3)]
    for i in range(frames):
        drift.update(90.0 + i % 3, looks[i % 3])
    drift.save()


def test_what_is_learned_is_kept_from_run_to_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for runs in (1, 2):
        assert main(["run", "mean.edgead", "photos", "--drift", "line.json"]) == 0
        captured = capsys.readouterr()
        *judged, last = (json.loads(line) for line in captured.out.splitlines())
        assert [set(line) for line in judged] == [
            {"source", "score", "is_anomalous", "threshold", "regions"}
        ] * 3
        assert set(last) == {"drift"} and last["drift"]["frames"] == 3 * runs
        assert last["drift"]["learning"] is True and last["drift"]["changes"] == []
        assert {notice["code"] for notice in last["drift"]["notices"]} == {
            "drift-learning",
            "drift-no-held-out",
        }
        assert "note: Drift has learned 0 of 10 blocks" in captured.err
    assert main(["run", "mean.edgead", "photos", "--drift", "line.json", "--text"]) == 0
    assert '"drift"' not in capsys.readouterr().out


def test_a_change_is_said_beside_its_frame_and_at_the_end(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned("line.json", 6000)
    usual = Path("line.json").read_bytes()
    assert main(["run", "mean.edgead", *["dark.png"] * 500, "--drift", "line.json"]) == 0
    captured = capsys.readouterr()
    *judged, last = (json.loads(line) for line in captured.out.splitlines())
    assert len(judged) == 500
    told = [(i, notice) for i, line in enumerate(judged) for notice in line.get("drift", ())]
    assert {notice["code"] for _, notice in told} == {"drift-score-down", "drift-brightness-down"}
    assert all(set(notice) == {"code", "values", "text"} for _, notice in told)
    changes = {change["what"]: change for change in last["drift"]["changes"]}
    assert last["drift"]["detected"] is True and changes["brightness"]["since"] == 6000
    assert "note: frames are 20% darker since about frame 6000" in captured.err
    Path("line.json").write_bytes(usual)
    words = ["run", "mean.edgead", *["dark.png"] * 500, "--drift", "line.json", "--text"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if line.startswith("drift: ")]
    assert len(lines) == 500 + len(said) + 1 and any("20% darker" in line for line in said)


def test_frames_that_could_not_be_judged_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos/9.png").write_text("no image")
    assert main(["run", "mean.edgead", "photos", "--drift", "line.json", "--json"]) == 2
    *judged, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert len(judged) == 4 and "error" in judged[-1] and last["drift"]["frames"] == 4
    channels = json.loads(Path("line.json").read_text())["watch"]["channels"]
    assert (channels["judged"]["above"], channels["judged"]["below"]) == (3, 4)
    assert channels["brightness"]["count"] == channels["latency"]["count"] == 3


def test_a_state_that_is_none_or_cant_be_written_stops_the_run_before_it_starts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("line.json").write_text("{}")
    for path, code, told in (
        ("line.json", 2, "no state that Drift left"),
        ("mean.edgead/line.json", 2, "in the bundle"),
        ("nowhere/line.json", 7, "create the folder first"),
    ):
        assert main(["run", "mean.edgead", "photos", "--drift", path]) == code
        captured = capsys.readouterr()
        assert captured.out == "" and told in captured.err and captured.err.count("error: ") == 1
    assert Path("line.json").read_text() == "{}"


@pytest.mark.skipif(os.name == "nt", reason="as Unix has it")
def test_what_was_learned_is_kept_when_it_is_told_to_end(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "NO_COLOR": "1"}
    words = [sys.executable, "-m", "edgead", "run", "mean.edgead", "-", "--drift", "line.json"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(b"photos/0.png\n" * 5)
        running.stdin.flush()
        for _ in range(5):
            assert b"score" in running.stdout.readline()
        time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 143 and b"ended by SIGTERM" in err
    assert (
        json.loads(out)["drift"]["frames"]
        == json.loads(Path("line.json").read_text())["watch"]["frames"]
        == 5
    )


# ---------------------------------------------------------------- the page

PAGE = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")


def test_the_code_of_the_page_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [picture(90 + i % 3) for i in range(40)]
    known = {"detector": edgead.load("mean.edgead"), "camera": frames, "edgead": edgead}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, known)
    drift = known["drift"]
    assert isinstance(drift, Drift) and Path("line3.json").is_file()


def test_the_page_tells_of_every_channel_and_sentence() -> None:
    for channel in ("score", "brightness", "contrast", "sharpness", "judged", "latency"):
        assert f"| `{channel}` |" in PAGE
    for code in SENTENCES:
        what = code.split("-")
        if what[0] == "drift" and what[-1] not in ("up", "down"):
            assert f"`{code}`" in PAGE, code
