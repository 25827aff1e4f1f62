"""``edgead run`` as it's typed: every frame has its line, its heatmap and its row, whatever ends the run."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.cli.read_ahead import planned
from edgead.cli.verdicts import HeatmapNames
from edgead.notices import SENTENCES, Notice
from edgead.runtime.detector import Detector
from tests.mean_bundle import HEIGHT, WIDTH, picture, write_mean_bundle

pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")

EDGEAD = (sys.executable, "-m", "edgead")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "NO_COLOR": "1"}
unix = pytest.mark.skipif(os.name == "nt", reason="as Unix has it")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle ``mean.edgead``."""
    monkeypatch.chdir(tmp_path)
    write_mean_bundle(tmp_path / "mean.edgead")
    return tmp_path


def write(*names: str, spot: int = 0) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(cv2.imencode(Path(name).suffix, picture(spot))[1].tobytes())


def video(name: str, frames: int) -> bytes:
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), 10, (2 * WIDTH, 2 * HEIGHT))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    for index in range(frames):
        writer.write(picture(index % 200))
    writer.release()
    return Path(name).read_bytes()


def run(
    capsys: pytest.CaptureFixture[str], *words: str, code: int = 0
) -> tuple[list[dict[str, object]], str]:
    """The lines of JSON on stdout, and what is on stderr."""
    assert main(["run", "mean.edgead", *words]) == code
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


# ---------------------------------------------------------------- heatmaps


def test_every_frame_has_a_heatmap_of_its_own_over_all_sources(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("ds/good/000.png", "ds/good/001.png", "ds/spot/000.png", "ds/spot/001.png")
    write("a b.png", "a-b.png", "A-B.png", "a.b.png", "v.avi.000000.png", "v/v.avi.png")
    video("v.avi", 2)
    sources = ("ds/good", "ds/spot", "a b.png", "a-b.png", "A-B.png", "v.avi", "v", "v.avi.000000.png")
    judged, _ = run(capsys, *sources, "--out", "h")
    heatmaps = [str(line["heatmap"]) for line in judged]
    assert len(judged) == 11
    assert len({name.casefold() for name in heatmaps}) == 11
    assert {str(path) for path in Path("h").iterdir()} == set(heatmaps)
    assert heatmaps[0] == str(Path("h", "000.png.heatmap.png"))
    assert heatmaps[2] == str(Path("h", "spot-000.png.heatmap.png"))


def test_the_same_file_twice_has_two_heatmaps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.png")
    judged, _ = run(capsys, "a.png", "./a.png", "a.png", "--out", "h")
    assert len({line["heatmap"] for line in judged}) == 3


def test_names_of_heatmaps_are_plain_unique_and_short() -> None:
    names = HeatmapNames()
    given = [
        *("größe.png", "GRÖSSE.png", "gro\u0308ße.png", "a\\b.png", "a/b.png", "a:b?.png", "caf\udce9.png"),
        *("x" * 250 + ".png", "x" * 251 + ".png", "部" * 80 + ".png", "..", " "),
    ]
    made = [names(name, name) for name in given]
    assert len({name.casefold() for name in made}) == len(given)
    for name in made:
        assert not set('\\/:*?"<>| ') & set(name)
        assert len(name.encode()) < 220 and name.endswith(".heatmap.png")
        assert not name.startswith(".")


def test_heatmaps_do_not_go_among_the_sources(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("new/a.png")
    _, err = run(capsys, "new", "--out", "new/../new", code=2)
    assert "judged next time" in err
    assert [path.name for path in Path("new").iterdir()] == ["a.png"]


# ---------------------------------------------------------------- what is printed


@pytest.mark.parametrize("cut", [0.5, 0.8])
def test_a_video_that_is_cut_keeps_its_lines_and_ends_in_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str], cut: float
) -> None:
    data = video("v.avi", 20)
    Path("v.avi").write_bytes(data[: int(len(data) * cut)])
    write("a.png")
    judged, err = run(capsys, "v.avi", "a.png", "--csv", "v.csv", code=2)
    assert [line["frame"] for line in judged[:-2]] == list(range(len(judged) - 2))
    assert 3 <= len(judged) < 20
    assert "it states 20 frames" in str(judged[-2]["error"])
    assert judged[-1]["source"] == "a.png"  # the other source is judged all the same
    assert "1 of" in err
    rows = list(csv.DictReader(Path("v.csv").read_text().splitlines()))
    assert [row["error"] for row in rows] == [line.get("error", "") for line in judged]


def test_a_note_about_a_video_is_in_its_last_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video("v.avi", 3)
    monkeypatch.setattr("edgead.streams.Stream.doubt", lambda stream: "who knows")
    judged, _ = run(capsys, "v.avi")
    assert [line.get("note") for line in judged] == [None, None, "who knows"]
    assert main(["run", "mean.edgead", "v.avi", "--text"]) == 0
    assert "note: v.avi frame 2: who knows" in capsys.readouterr().out


def test_people_get_a_verdict_where_to_look_and_a_summary(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("good.png")
    write("spot.png", spot=200)
    Path("bad.png").write_text("no image")
    assert main(["run", "mean.edgead", "good.png", "spot.png", "bad.png", "--text"]) == 2
    captured = capsys.readouterr()
    good, spot, bad, summary = captured.out.splitlines()
    assert re.match(r"GOOD +score 50 +threshold 100 +good\.png$", good)
    assert re.match(
        r"ANOMALOUS +score 200 +threshold 100 +spot\.png; 1 region of 20 x 20 pixels at x 30, y 20$", spot
    )
    assert bad.startswith("ERROR") and bad.count("bad.png") == 1
    assert re.match(r"2 judged, 1 anomalous, 1 failed, median \d+\.\d ms a frame$", summary)
    assert "1 of 3" in captured.err
    assert main(["run", "mean.edgead", "good.png", "--text", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["run", "mean.edgead", "good.png", "--text", "--json"]) == 2


@unix
def test_a_terminal_shows_lines_for_people_and_a_pipe_lines_of_json(folder: Path) -> None:
    write("good.png")
    parent, child = pty.openpty()
    words = [*EDGEAD, "run", "mean.edgead", "good.png"]
    subprocess.run(words, stdout=child, stderr=subprocess.PIPE, env=ENVIRONMENT, check=True, timeout=120)
    os.close(child)
    assert b"GOOD" in os.read(parent, 10_000)
    os.close(parent)
    done = subprocess.run(words, capture_output=True, env=ENVIRONMENT, check=True, timeout=120)
    assert json.loads(done.stdout)["score"] == 50.0
    assert done.stderr == b""


def test_csv_has_a_row_for_each_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("good.png")
    write("spot.png", spot=200)
    judged, _ = run(capsys, "good.png", "spot.png", "--csv", "v.csv", "--out", "h")
    rows = list(csv.DictReader(Path("v.csv").read_text().splitlines()))
    for row, line in zip(rows, judged, strict=True):
        assert row["source"] == line["source"] and row["heatmap"] == line["heatmap"]
        assert float(row["score"]) == line["score"]
        assert row["is_anomalous"] == str(line["is_anomalous"])
        assert row["regions"] == str(len(line["regions"]))  # type: ignore[arg-type]
    assert "no/v.csv" in run(capsys, "good.png", "--csv", "no/v.csv", code=7)[1]


def test_what_a_bundle_has_to_say_is_said_by_run_bench_and_inspect(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SENTENCES, "dim", "the images were {share:.0%} too dark; light them")
    write_mean_bundle(Path("dim.edgead"), [Notice("dim", {"share": 0.5}), Notice("newer", {"n": 3})])
    write("good.png")
    said = "the images were 50% too dark; light them"
    assert main(["run", "dim.edgead", "good.png"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"note: {said}", "note: newer: n 3"]
    assert len(captured.out.splitlines()) == 1
    assert main(["bench", "dim.edgead", "mean.edgead", "--frames", "1", "--json"]) == 0
    captured = capsys.readouterr()
    assert f"note: dim.edgead: {said}" in captured.err
    told = [[each["text"] for each in row["notices"]] for row in json.loads(captured.out)["bundles"]]
    assert told == [[said, "newer: n 3"], []]
    assert main(["inspect", "dim.edgead"]) == 0
    out = capsys.readouterr().out
    assert out.index(said) < out.index("Facts")
    assert main(["inspect", "dim.edgead", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notices"][0] == {
        "code": "dim",
        "values": {"share": 0.5},
        "text": said,
    }


def test_quiet_leaves_no_note_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SENTENCES, "dim", "the images were {share:.0%} too dark; light them")
    write_mean_bundle(Path("dim.edgead"), [Notice("dim", {"share": 0.5})])
    write("good.png")
    for verb in (["run", "dim.edgead", "good.png", "--text"], ["bench", "dim.edgead", "--frames", "1"]):
        assert main([*verb, "-q"]) == 0
        captured = capsys.readouterr()
        assert captured.err == "note: the images were 50% too dark; light them\n"
        assert "judged" not in captured.out
    rated = ["bench", "dim.edgead", "--frames", "1", "--rate", "100", "--json", "-q"]
    assert main(rated) == 0
    assert json.loads(capsys.readouterr().out)["bundles"][0]["notices"][0]["code"] == "dim"


def test_a_strangers_text_moves_no_cursor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mean_bundle(Path("odd.edgead"), [Notice("\x1b[2Jcode", {"a\nb": "\x1b]0;title\x07"})])
    write("good.png")
    for words in (["inspect", "odd.edgead"], ["run", "odd.edgead", "good.png"]):
        assert main(words) == 0
        captured = capsys.readouterr()
        assert "\\x1b" in captured.out + captured.err
        assert "\x1b" not in captured.out + captured.err and "\x07" not in captured.out + captured.err


# ---------------------------------------------------------------- sources


@unix
def test_a_name_that_is_not_text_is_judged_and_shown_escaped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"new/caf\xe9.png")
    try:
        write(name, "new/a\n\x1b[2J.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    judged, _ = run(capsys, "new", "--out", "h", "--csv", "v.csv")
    assert {line["source"] for line in judged} == {"new/caf\\xe9.png", "new/a\\x0a\\x1b[2J.png"}
    assert len(list(Path("h").iterdir())) == 2
    assert "caf\\xe9.png" in Path("v.csv").read_text()
    assert main(["run", "mean.edgead", "new", "--text"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    Path(name).write_text("no image")
    _, err = run(capsys, name, code=2)
    assert "caf" in err


@unix
def test_names_go_to_an_output_that_takes_ascii_alone(folder: Path) -> None:
    write("größe.png")
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for words in (["--json"], ["--text"]):
        done = subprocess.run(
            [*EDGEAD, "run", "mean.edgead", "größe.png", *words],
            capture_output=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        if words == ["--json"]:
            assert json.loads(done.stdout)["source"] == "größe.png"


def test_paths_come_by_stdin_too(folder: Path) -> None:
    write("a.png", "b c.png")
    done = subprocess.run(
        [*EDGEAD, "run", "mean.edgead", "-"],
        input=b"a.png\nnowhere.png\n\nb c.png\n",
        capture_output=True,
        env=ENVIRONMENT,
        timeout=120,
    )
    judged = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["source"] for line in judged] == ["a.png", "nowhere.png", "b c.png"]
    assert "error" in judged[1] and done.returncode == 2


def test_a_pattern_is_expanded_and_what_is_missing_is_named_before_work_starts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("p/a.png", "p/b.png", "p/c.bmp")
    judged, _ = run(capsys, "p/*.png")
    assert [line["source"] for line in judged] == ["p/a.png", "p/b.png"]
    judged, err = run(capsys, "p/*.png", "x.png", "y.png", code=2)
    assert judged == [] and "x.png" in err and "y.png" in err


def test_a_stream_that_is_not_there_keeps_its_password_to_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged, err = run(capsys, "rtsp://admin:geheim@127.0.0.1:9/x", "-v", code=5)
    assert judged[0]["source"] == "rtsp://admin:***@127.0.0.1:9/x"
    assert "geheim" not in err + json.dumps(judged)


def test_bits_that_were_learned_are_those_that_are_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value of 1000 is 62 of 255 in 12 bits, 4 in 16: by hand, round(1000 * 255 / 4095)."""
    cv2.imwrite("deep.png", np.full((2 * HEIGHT, 2 * WIDTH), 1000, np.uint16))
    assert run(capsys, "deep.png")[0][0]["score"] == 4.0
    assert run(capsys, "deep.png", "--depth", "12")[0][0]["score"] == 62.0
    judged, _ = run(capsys, "deep.png", "--depth", "9", code=2)
    assert "over 9 bits" in str(judged[0]["error"])


# ---------------------------------------------------------------- how it ends


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_code_7_and_what_was_written_stays(folder: Path) -> None:
    write("a.png", "b.png")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*EDGEAD, "run", "mean.edgead", "a.png", "b.png", "--out", "h", "--csv", "v.csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
            timeout=120,
        )
    assert done.returncode == 7
    assert len(done.stderr.strip().splitlines()) == 1
    assert len(list(csv.DictReader(Path("v.csv").read_text().splitlines()))) >= 1
    done = subprocess.run(
        [*EDGEAD, "run", "mean.edgead", "a.png", "--csv", "/dev/full"],
        capture_output=True,
        env=ENVIRONMENT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 7 and "/dev/full" in done.stderr


def test_a_heatmap_that_cannot_be_written_costs_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.png", "b.png")
    Path("h", "b.png.heatmap.png", "in-the-way").mkdir(parents=True)
    judged, err = run(capsys, "a.png", "b.png", "--out", "h", "--csv", "v.csv", code=7)
    assert [(line["source"], line["score"]) for line in judged] == [("a.png", 50.0), ("b.png", 50.0)]
    assert "heatmap" not in judged[1] and "b.png.heatmap.png" in err
    assert len(list(csv.DictReader(Path("v.csv").read_text().splitlines()))) == 2


@pytest.mark.parametrize("kind, lines, code", [("FrameError", 2, 2), ("InferenceError", 1, 5)])
def test_a_frame_that_is_refused_ends_nothing_and_an_engine_that_fails_ends_the_run(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lines: int,
    code: int,
) -> None:
    from edgead import errors
    from edgead.runtime.detector import Detector

    write("a.png", "b.png")
    really, waiting = Detector.__call__, [getattr(errors, kind)("gone")]

    def judge(self: Detector, frame: np.ndarray) -> object:
        if waiting:
            raise waiting.pop()
        return really(self, frame)

    monkeypatch.setattr(Detector, "__call__", judge)
    judged, err = run(capsys, "a.png", "b.png", "--csv", "v.csv", code=code)
    assert len(judged) == lines and judged[0] == {"source": "a.png", "error": "gone"}
    assert len(err.splitlines()) == 1
    assert len(Path("v.csv").read_text().splitlines()) == 1 + lines


@unix
def test_a_closed_stdout_is_an_error_of_one_line_or_none(folder: Path) -> None:
    write("a.png")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m edgead run mean.edgead a.png --csv v.csv >&-"],
        capture_output=True,
        env=ENVIRONMENT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 7, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@unix
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_was_judged_stays_when_a_run_is_ended(folder: Path, number: signal.Signals, code: int) -> None:
    write("a.png")
    running = subprocess.Popen(
        [*EDGEAD, "run", "mean.edgead", "-", "--csv", "v.csv", "--out", "h"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)],
    )
    assert running.stdin is not None and running.stdout is not None
    running.stdin.write("a.png\n")
    running.stdin.flush()
    first = running.stdout.readline()
    time.sleep(0.2)  # so that it waits for the next path
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert json.loads(first)["score"] == 50.0 and out == ""
    assert len(err.strip().splitlines()) == 1
    assert len(list(csv.DictReader(Path("v.csv").read_text().splitlines()))) == 1
    assert [path.name for path in Path("h").iterdir()] == ["a.png.heatmap.png"]


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--cores", "0-99999999999"], 2, "isn't a list of cores"),
        (["--cores", "5-2"], 2, "lower to a higher"),
        (["--cores", "0-9999"], 2, "lower to a higher"),
        (["--threads", "100000"], 2, "1<=x<=1024"),
        (["--out", "x" * 5000], 7, "shorter name"),
        (["--csv", "x" * 5000], 7, "shorter name"),
    ],
)
def test_numbers_and_names_that_are_out_of_bounds(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    write("a.png")
    assert said in run(capsys, "a.png", *words, code=code)[1]


@pytest.mark.parametrize(
    "verb", [["inspect"], ["verify"], ["bench"], ["run"], ["export", "--target", "onnx"]]
)
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_bundles_name_that_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str], verb: list[str], name: str
) -> None:
    write("a.png")
    assert main([*verb, name, *(["a.png"] if verb == ["run"] else [])]) == 3
    assert "no such bundle" in capsys.readouterr().err
    assert main(["run", "mean.edgead", name]) == 2
    assert main(["fit", name, "good"]) == 2


def test_a_limit_is_on_each_source_as_it_was_typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("many/a.png", "many/b.png", "many/c.png")
    lines, _ = run(capsys, "many/*.png", "many", "many/a.png", "--limit", "2")
    assert [str(line["source"])[-5] for line in lines] == ["a", "b", "a", "b", "a"]


def test_files_are_read_ahead_but_not_those_on_stdin_nor_beside_a_drift_that_is_learned(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("many/a.png", "many/b.png", "many/c.png", "d.png")
    Path("many/b.png").write_bytes(b"no image")
    video("v.avi", 2)
    one_by_one: list[str] = []
    read_image = Detector.read_image
    monkeypatch.setattr(
        Detector, "read_image", lambda self, path: one_by_one.append(path.name) or read_image(self, path)
    )
    sources = ("many", "v.avi", "d.png", "many/*.png", "many/a.png")
    expected = ["a", "b", "c", "v", "v", "d", "a", "b", "c", "a"]
    for words, known in (((), []), (("--drift", "line.json"), [name for name in expected if name != "v"])):
        one_by_one.clear()
        lines, _ = run(capsys, *sources, *words, code=2)
        lines = [line for line in lines if "source" in line]
        assert [Path(str(line["source"])).name[0] for line in lines] == expected
        assert ["error" in line for line in lines] == [name == "b" for name in expected]
        assert [name[0] for name in one_by_one] == known
    plan = planned(["-", *sources, "nowhere", "0", "rtsp://x"], 2)
    assert [path.name[0] for path in plan] == ["a", "b", "d", "a", "b", "a"]


def test_an_empty_list_on_stdin_is_no_success(folder: Path) -> None:
    done = subprocess.run(
        [*EDGEAD, "run", "mean.edgead", "-"], input=b"", capture_output=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 2 and b"no path on stdin" in done.stderr


def test_a_bundle_that_is_not_there_is_said_before_its_sources(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "my", "mean.edgead", "a"]) == 3
    assert "my: no such bundle" in capsys.readouterr().err


def test_heatmaps_never_go_into_a_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.png")
    other = write_mean_bundle(folder / "other.edgead")
    before = {file: file.read_bytes() for file in other.iterdir()}
    _, err = run(capsys, "a.png", "--out", "other.edgead", code=2)
    assert "is a bundle" in err and {file: file.read_bytes() for file in other.iterdir()} == before
