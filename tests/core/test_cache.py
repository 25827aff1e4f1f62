"""What is kept in the cache: sealed, in a folder that only this user can write, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead import cache
from edgead.cache import Entry, cache_folder
from edgead.cli import main
from edgead.runtime.engine_options import EngineOptions

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.edgead"
KEYS = [f"{number:032x}" for number in range(300)]
FLIPS = int(os.environ.get("EDGEAD_FLIPS", "40"))
"""Damaged entries that are tried; EDGEAD_FLIPS=1000 for a thorough look."""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_said", set())
    return tmp_path / "cache"


def entry(number: int = 0, **more) -> Entry:
    return Entry("kind", KEYS[number], **more)


def kept(number: int = 0) -> Path:
    return cache_folder() / "kind" / f"{KEYS[number]}.kept"


def content(of: Entry) -> bytes | None:
    read = of.read()
    return None if read is None else read.tobytes()


# ---------------------------------------------------------------- the seal


@pytest.mark.parametrize("data", [b"", b"\n", bytes(range(256)) * 500])
def test_what_is_written_is_read(data):
    assert entry().read() is None
    assert entry().write(data) and content(entry()) == data
    assert kept().stat().st_mode & 0o777 == 0o600


def test_no_changed_bit_is_believed(caplog):
    entry().write(b"content")
    whole = kept().read_bytes()
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        kept().write_bytes(changed)
        assert entry().read() is None, bit
    assert "isn't as it was written: it is made again" in caplog.text
    kept().write_bytes(whole)
    assert content(entry()) == b"content"


@pytest.mark.parametrize("cut", [0, 1, 79, 80, 81, 86])
def test_a_part_is_not_believed(cut):
    entry().write(b"content")
    kept().write_bytes(kept().read_bytes()[:cut])
    assert entry().read() is None


def test_another_entry_under_this_name_is_not_believed():
    entry(1).write(b"content")
    kept(1).rename(kept())
    assert entry().read() is None
    Entry("other", KEYS[0]).write(b"content")
    (cache_folder() / "other" / kept().name).rename(kept())
    assert entry().read() is None


def test_a_link_a_folder_and_a_pipe_are_not_read(tmp_path):
    entry(1).write(b"content")
    for make in (lambda: kept().symlink_to(kept(1)), kept().mkdir, lambda: os.mkfifo(kept())):
        make()
        assert entry().read() is None
        kept().rmdir() if kept().is_dir() else kept().unlink()


def test_a_file_that_others_can_write_or_own_is_not_believed():
    entry().write(b"content")
    kept().chmod(0o620)
    assert entry().read() is None
    if os.getuid() == 0:
        kept().chmod(0o600)
        os.chown(kept(), 12345, 12345)
        assert entry().read() is None


@pytest.mark.parametrize("umask", [0, 0o002, 0o077])
def test_whatever_the_umask_what_is_kept_is_found_again(umask):
    before = os.umask(umask)
    try:
        entry().write(b"content")
        assert content(entry()) == b"content"
    finally:
        os.umask(before)


# ---------------------------------------------------------------- compiled graphs


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """One flipped bit, or a page of zeros where there was something else."""
    changed = bytearray(whole)
    if rng.random() < 0.8:
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    else:
        page = 4096 * rng.randrange(len(whole) // 4096)
        changed[page : page + 4096] = bytes(4096)
    return bytes(changed)


def test_no_damage_to_a_compiled_graph_changes_a_score(place):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    from edgead.runtime.model_bytes import read_model
    from edgead.runtime.openvino_session import OpenVINOSession

    model, options = read_model(GOLDEN / "model.onnx"), EngineOptions(cache=True, threads=1)
    first = OpenVINOSession(model, options)
    image = np.random.default_rng(0).integers(0, 256, first.input_shape, np.uint8)
    expected = {name: array.tobytes() for name, array in first(image).items()}
    (graph,) = (place / "compiled").iterdir()
    whole, rng = graph.read_bytes(), random.Random(0)
    taken = compiled = 0
    for _ in range(FLIPS):
        changed = damaged(whole, rng)
        graph.write_bytes(changed)
        session = OpenVINOSession(model, options)
        assert {name: array.tobytes() for name, array in session(image).items()} == expected
        assert session.cached == (changed == whole)
        taken, compiled = taken + session.cached, compiled + (not session.cached)
    assert compiled > FLIPS // 2


def test_a_running_detector_does_not_follow_its_entry(place):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    edgead.load(GOLDEN, engine="openvino", cache=True)
    detector = edgead.load(GOLDEN, engine="openvino", cache=True)
    assert detector._session.cached
    score = detector(frame).score
    (graph,) = (place / "compiled").iterdir()
    with graph.open("r+b") as file:
        file.write(bytes(graph.stat().st_size))
        file.truncate(100)
    assert detector(frame).score == score


# ---------------------------------------------------------------- the folder


def refused(caplog, words: str) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert not entry(number).write(b"content") and entry(number).read() is None
    assert [record.getMessage() for record in caplog.records if words in record.getMessage()] != []
    assert len(caplog.records) == 1, "it's said once"


@pytest.mark.parametrize("which", ["cache", "cache/kind", "."])
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
def test_a_folder_that_others_can_write_is_refused(place, tmp_path, caplog, which, mode):
    entry().write(b"planted")
    (tmp_path / which).chmod(mode)
    refused(caplog, f"{tmp_path / which} can be written by others (chmod go-w {tmp_path / which})")
    (tmp_path / which).chmod(0o755)
    assert content(entry()) == b"planted"


def test_one_above_may_be_open_to_all_where_it_is_sticky(tmp_path, caplog):
    tmp_path.chmod(0o1777)
    assert entry().write(b"content") and content(entry()) == b"content"
    (tmp_path / "cache").chmod(0o1777)  # others could put an entry into this one
    refused(caplog, "can be written by others")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("which", [".", "cache", "cache/kind"])
def test_another_users_folder_is_refused(place, tmp_path, caplog, which):
    entry().write(b"planted")
    os.chown(tmp_path / which, 12345, 12345)
    refused(caplog, f"{tmp_path / which} belongs to another user")


def test_a_link_to_an_open_folder_is_refused(place, tmp_path, caplog):
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    (open_folder / "inner").mkdir()
    place.symlink_to(open_folder / "inner")
    refused(caplog, "open can be written by others")


def test_folders_are_made_for_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        assert entry().write(b"content")
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/kind"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_a_disk_that_takes_nothing_is_said_once(place, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    refused(caplog, "nothing can be kept in")
    assert list((place / "kind").iterdir()) == []


# ---------------------------------------------------------------- where it is


def environment(monkeypatch, **variables: str) -> None:
    for name in ("EDGEAD_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"EDGEAD_CACHE": "/a"}, "/a"),
        ({"EDGEAD_CACHE": "~/a", "HOME": "/h"}, "/h/a"),
        ({"EDGEAD_CACHE": "~", "HOME": "/h"}, "/h"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/edgead"),
        ({"XDG_CACHE_HOME": "x", "HOME": "/h"}, "/h/.cache/edgead"),
        ({"HOME": "/h"}, "/h/.cache/edgead"),
        *(({"HOME": odd}, "/known/.cache/edgead") for odd in ("", "~", "h", "./~")),
        ({}, "/known/.cache/edgead"),
    ],
)
def test_where_the_cache_is(monkeypatch, variables, folder):
    import pwd

    environment(monkeypatch, **variables)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: type("User", (), {"pw_dir": "/known"}))
    assert cache_folder() == Path(folder)


@pytest.mark.parametrize("variables", [{}, {"HOME": "~"}, {"HOME": ""}, {"EDGEAD_CACHE": "~/cache"}])
def test_without_a_home_nothing_is_kept_and_it_is_said_once(tmp_path, monkeypatch, caplog, variables):
    import pwd

    def unknown(_):
        raise KeyError("getpwuid(): uid not found")

    environment(monkeypatch, **variables)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    refused(caplog, "no home folder")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_is_not_made(tmp_path, monkeypatch, caplog):
    environment(monkeypatch, HOME=str(tmp_path / "nobody"))
    refused(caplog, f"{tmp_path / 'nobody'}, this user's home, isn't there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "/proc/1/root/nowhere"])
def test_a_home_that_cannot_be_written_is_said_once_and_all_goes_on(tmp_path, home):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    program = (
        "import sys, numpy, edgead\n"
        "for _ in range(2): detector = edgead.load(sys.argv[1], cache=True, engine='openvino')\n"
        "print(detector(numpy.zeros((64, 64, 3), numpy.uint8)).score)"
    )
    variables = {name: value for name, value in os.environ.items() if name != "EDGEAD_CACHE"}
    words = [sys.executable, "-c", program, str(GOLDEN)]
    done = subprocess.run(words, env={**variables, "HOME": home, "PYTHONPATH": str(GOLDEN.parents[2])},
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and float(done.stdout), done.stderr
    assert done.stderr.count("EDGEAD_CACHE") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what the doctor says of it


def doctor(capsys) -> tuple[str, dict]:
    """The line for people, and the JSON."""
    assert main(["doctor"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cache"))
    assert main(["doctor", "--json"]) == 0
    return line, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("there", [False, True])
def test_the_doctor_shows_a_cache_that_can_be_used(place, capsys, there):
    if there:
        entry().write(b"content")
    line, said = doctor(capsys)
    assert line.split() == ["cache", str(place)]
    assert (said["cache"], said["cache_problem"]) == (str(place), None)
    assert place.exists() is there and (not there or list((place / "kind").iterdir()) == [kept()])


def is_open(place):
    entry().write(b"content")
    place.chmod(0o777)


def holds_an_open_folder(place):
    entry().write(b"content")
    (place / "kind").chmod(0o777)


def is_a_file(place):
    place.write_bytes(b"")


def lies_in_a_file(place):
    place.write_bytes(b"")
    os.environ["EDGEAD_CACHE"] = str(place / "inner")


def takes_nothing(place):
    os.environ["EDGEAD_CACHE"] = "/proc/edgead"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (is_open, "cache can be written by others (chmod go-w "),
        (holds_an_open_folder, "kind can be written by others (chmod go-w "),
        (is_a_file, "cache is no folder"),
        (lies_in_a_file, "can't be looked at (Not a directory)"),
        pytest.param(
            takes_nothing,
            "nothing can be kept in /proc",
            marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc"),
        ),
    ],
)
def test_the_doctor_says_why_a_cache_cannot_be_used_and_what_to_do(place, capsys, fault, why):
    fault(place)
    line, said = doctor(capsys)
    assert line.split(maxsplit=1)[1] == f"none: {said['cache_problem']}"
    assert why in said["cache_problem"] and "EDGEAD_CACHE" in said["cache_problem"]
    assert said["cache"] == os.environ["EDGEAD_CACHE"]
    assert not entry().write(b"content"), "what the doctor says holds"


def test_the_doctor_says_that_there_is_no_home(monkeypatch, capsys, tmp_path):
    environment(monkeypatch, HOME=str(tmp_path / "nobody"))
    line, said = doctor(capsys)
    assert "isn't there" in line and "isn't there" in said["cache_problem"]


# ---------------------------------------------------------------- how much


def test_the_oldest_go_and_nothing_of_others(place):
    entry().write(b"first")
    strangers = [place / "kind" / name for name in ("notes.txt", "holiday", f"{KEYS[9]}.kept", "a.kept")]
    for file in strangers:
        file.mkdir() if file.name == "holiday" else file.write_text("not edgead's")
        os.utime(file, (0, 0))
    os.utime(kept(), (1, 1))
    for number in range(1, 5):
        entry(number, most=3).write(b"content")
        os.utime(kept(number), (number + 1, number + 1))
        if number == 2:
            assert content(entry(1)) == b"content"  # used, so no longer the oldest
    assert [number for number in range(5) if kept(number).exists()] == [1, 3, 4]
    assert all(file.exists() for file in strangers)


def test_more_than_is_allowed_is_not_read():
    entry().write(bytes(101))
    assert entry(most_bytes=100).read() is None and entry(most_bytes=101).read() is not None
