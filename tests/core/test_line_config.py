"""A line's file and a fault script: what is unknown, of another type, out of range or doesn't go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgead.errors import DatasetError, EdgeadError, OptionError, UnknownNameError
from edgead.line.config import line_of, read_line
from edgead.line.faults import WHATS, Fault, drawn, of_word, read_script, words
from edgead.line.starts import plain

CAMERA = {"name": "top", "source": "folder", "bundle": "x"}
SINK = {"kind": "file"}


def made(line: Any = None, camera: Any = None, sink: Any = None, **more: Any) -> Any:
    document = {"line": line or {}, "camera": camera or [CAMERA], "sink": sink or [SINK], **more}
    return line_of(document, "line.toml", Path("/etc"))


def test_what_is_left_out_has_its_default() -> None:
    line = made()
    assert (line.table.deadline_ms, line.table.failsafe, line.table.i_accept_escapes) == (
        100,
        "reject",
        False,
    )
    assert line.sinks[0].table.name == "file" and line.cameras[0].table.trigger == "camera"
    assert line.path("x") == Path("/etc/x") and line.path("/y") == Path("/y")


def test_lists_become_tuples_and_options_are_handed_on_as_they_are() -> None:
    line = made(camera=[{**CAMERA, "cores": [2, 3], "options": {"a": [1, "b"], "c": {"d": 1}}}])
    assert line.cameras[0].table.cores == (2, 3) and line.cameras[0].options == {"a": [1, "b"], "c": {"d": 1}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"line": {"deadlin_ms": 80}},
            "line.toml: [line]: no option named 'deadlin_ms': did you mean deadline_ms",
        ),
        ({"line": {"deadline_ms": "80"}}, "takes number from 1 to 60000, not the text '80'"),
        ({"line": {"deadline_ms": 0}}, "option 'deadline_ms' takes number from 1 to 60000, not 0"),
        ({"line": {"deadline_ms": "80"}}, "option 'deadline_ms' takes number"),
        ({"line": {"deadline_ms": True}}, "option 'deadline_ms' takes number"),
        ({"line": {"deadline_ms": float("nan")}}, "option 'deadline_ms' takes number"),
        ({"line": {"failsafe": "rejct"}}, "option 'failsafe' takes reject|stop|accept, not the text 'rejct'"),
        ({"line": {"failsafe": "accept"}}, "lets parts through that nobody has judged"),
        ({"line": {"deadline_ms": 2000}}, "hung_ms 1000 is under deadline_ms 2000"),
        ({"line": [1]}, "line must be a table"),
        (
            {"camera": [{**CAMERA, "sorce": "x"}]},
            "[[camera]] 1: no option named 'sorce': did you mean source",
        ),
        ({"camera": [{**CAMERA, "queue": 65}]}, "option 'queue' takes integer from 0 to 64, not 65"),
        ({"camera": [{**CAMERA, "cores": ["2"]}]}, "option 'cores' takes integer,..., not [the text '2']"),
        ({"camera": [{**CAMERA, "name": "to p"}]}, "name 'to p' can't be used"),
        ({"camera": [{**CAMERA, "name": "../x"}]}, "name '../x' can't be used"),
        ({"camera": [{"name": "top", "source": "folder"}]}, "[[camera]] 1: bundle is missing"),
        ({"camera": [CAMERA, CAMERA]}, "two of [[camera]] have the name 'top'"),
        ({"camera": [{**CAMERA, "options": 3}]}, "options must be a table"),
        ({"camera": {"name": "top"}}, "camera must be tables: write [[camera]]"),
        (
            {"camera": [{**CAMERA, "name": f"c{n}"} for n in range(17)]},
            "17 of [[camera]]: a line has 1 to 16",
        ),
        ({"sink": [{"knd": "file"}]}, "no option named 'knd': did you mean kind"),
        ({"sink": [{"kind": ""}]}, "kind is missing"),
        ({"sink": [SINK, SINK]}, "two of [[sink]] have the name 'file'"),
        (
            {"sink": [{**SINK, "role": "gate"}]},
            "'role' takes verdict|inform|none, not the text 'gate'",
        ),
        ({"cameras": []}, "no table of a line's file (line.toml) named 'cameras': did you mean camera"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises((OptionError, UnknownNameError)) as refused:
        made(**given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_accepting_unjudged_parts_takes_two_words() -> None:
    assert made(line={"failsafe": "accept", "i_accept_escapes": True}).table.failsafe == "accept"


def test_a_line_without_camera_or_sink_is_none() -> None:
    for kind in ("camera", "sink"):
        with pytest.raises(OptionError, match=rf"0 of \[\[{kind}\]\]"):
            line_of({"camera": [CAMERA], "sink": [SINK], kind: []}, "line.toml", Path())


@pytest.mark.parametrize("text", [b"[line", b"\xff", b"x = " + b"[" * 2000])
def test_what_is_no_toml_is_said_with_the_file(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "line.toml").write_bytes(text)
    for read in (read_line, read_script):
        with pytest.raises(DatasetError, match=r"line\.toml: not TOML"):
            read(tmp_path / "line.toml")


def test_no_file_a_folder_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for name in ("none", ".", "pipe"):
        for read in (read_line, read_script):
            with pytest.raises(DatasetError, match="can't be read"):
                read(tmp_path / name)


def test_what_a_message_cannot_hold_is_refused() -> None:
    import datetime

    assert plain({"a": [1, 2.5, "x", None, {"b": True}]}, "x") == {"a": [1, 2.5, "x", None, {"b": True}]}
    for value in (datetime.date(2026, 1, 1), float("inf"), object()):
        with pytest.raises(OptionError, match="folder's options"):
            plain({"a": value}, "folder")


# ---------------------------------------------------------------- fault scripts


def script(tmp_path: Path, text: str) -> tuple[Fault, ...]:
    (tmp_path / "script.toml").write_text(text)
    return read_script(tmp_path / "script.toml")


def test_a_script_is_read(tmp_path: Path) -> None:
    found = script(
        tmp_path, '[[fault]]\npart = 3\nwhat = "camera-gone"\nseconds = 2\n[[fault]]\nwhat="belt-burst"\n'
    )
    assert found == (Fault(3, "camera-gone", 2.0), Fault(0, "belt-burst"))
    assert words(found, "camera") == ["3 camera-gone 2 1", "0 belt-burst 0.2 1"] and words(found, "sink") == [
        "0 belt-burst 0.2 1"
    ]
    assert [of_word(word) for word in words(found, "camera")] == list(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[fault]]\nwhat = "judge-hangs"', "[[fault]] 1: option 'what' takes judge-slow"),
        ("[[fault]]\npart = -1", "option 'part' takes integer from 0"),
        ("[[fault]]\nprt = 1", "no option named 'prt': did you mean part"),
        ("[[faults]]\npart = 1", "named 'faults': did you mean fault"),
        ("fault = 3", "fault must be tables"),
        ("[[fault]]\npart = 1\n" * 10_001, "10001 faults"),
    ],
)
def test_what_is_no_fault_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EdgeadError) as refused:
        script(tmp_path, text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "word", ["", "3", "3 judge-hang", "x judge-hang 1 1", "3 judge-hangs 1 1", "3 judge-hang nan 1"]
)
def test_what_is_no_word_of_a_fault_is_refused(word: str) -> None:
    with pytest.raises(OptionError):
        of_word(word)


def test_drawn_faults_are_the_same_for_a_seed_and_each_at_a_part_of_its_own() -> None:
    found = [drawn(seed, 60, 8) for seed in range(300)]
    assert drawn(5, 60, 8) == found[5] != found[6]
    assert all(len({fault.part for fault in each}) == 8 for each in found)
    assert all(1 <= fault.part < 60 for each in found for fault in each)
    assert {fault.what for each in found for fault in each} == {*WHATS} - {"camera-ghost"}
