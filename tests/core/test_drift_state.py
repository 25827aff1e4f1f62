"""Drift's state: a restart goes on as if nothing had been, and a file that isn't one is refused in a line."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edgead import files
from edgead.bundle import Bundle
from edgead.device.drift import Drift
from edgead.device.drift import state as state_module
from edgead.errors import DriftStateError, OptionError, OutputError
from tests.drift_lines import HELD_OUT, bundle_with, line

unix = pytest.mark.skipif(os.name == "nt", reason="as Unix has it")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_with(tmp_path_factory.mktemp("drift") / "part.edgead", HELD_OUT)


def watching(bundle: Bundle, path: Path | None = None, **how: int) -> Drift:
    return Drift(bundle, path, **{"block": 100, "blocks": 4, **how})


@pytest.mark.parametrize("shift", [0.0, 2.0], ids=["bundle's marks", "own marks"])
def test_a_restart_anywhere_goes_on_as_if_nothing_had_been(
    bundle: Bundle, tmp_path: Path, shift: float
) -> None:
    frames = [*line(1500, 0.9, 1, lambda s: s + shift), *line(300, 0.9, 2, lambda s: s + shift, level=0.5)]
    whole, path = watching(bundle), tmp_path / "line.json"
    cut: Drift | None = watching(bundle, path)
    for i, frame in enumerate(frames):
        assert cut is not None
        if i in (1, 37, 99, 100, 101, 399, 400, 777, 1000, 1620, 1777):
            cut.save()
            del cut
            cut = watching(bundle, path)
        assert cut.update(*frame) == whole.update(*frame)
    assert whole.detected and cut is not None
    assert cut.record() == whole.record() and cut._watch == whole._watch
    assert cut.frames == 1800


def test_each_block_is_saved_and_no_more(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    drift = watching(bundle, path)
    assert json.loads(path.read_text())["watch"]["frames"] == 0  # it can be written: known at once
    seen = []
    for frame in line(350):
        drift.update(*frame)
        seen.append(json.loads(path.read_text())["watch"]["frames"])
    assert sorted(set(seen)) == [0, 100, 200, 300] and seen[99] == 100 and seen[98] == 0
    assert watching(bundle, path).frames == 300  # as after a kill -9
    drift.save()
    assert watching(bundle, path).frames == 350
    drift.reset()
    again = watching(bundle, path)
    assert again.frames == 350 and again.learning


def test_the_file_stays_small(bundle: Bundle, tmp_path: Path) -> None:
    path, largest = tmp_path / "line.json", 0
    drift = Drift(bundle, path)
    for i, frame in enumerate(line(6000, score=lambda s: s + 2)):
        drift.update(*frame)
        if i % 50 == 49:
            drift.save()
            largest = max(largest, path.stat().st_size)
    assert path.stat().st_size < 8_000 and largest < 20_000


def test_two_forms_of_one_fit_have_states_of_their_own(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    watching(bundle, path)
    other = bundle_with(tmp_path / "other.edgead", HELD_OUT, b"another form")
    with pytest.raises(DriftStateError, match="another bundle") as caught:
        watching(other, path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    same = bundle_with(tmp_path / "moved.edgead", HELD_OUT)
    assert watching(same, path).frames == 0


@pytest.mark.parametrize("how", [{"block": 200}, {"blocks": 5}])
def test_another_setting_is_refused(bundle: Bundle, tmp_path: Path, how: dict[str, int]) -> None:
    watching(bundle, tmp_path / "line.json")
    with pytest.raises(DriftStateError, match=r"block=100 and blocks=4, not "):
        watching(bundle, tmp_path / "line.json", **how)


def test_the_path_may_not_be_in_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "link.edgead"
    link.symlink_to(bundle.path)
    for path in (bundle.path / "drift.json", link / "probes" / "drift.json"):
        with pytest.raises(OptionError, match="in the bundle"):
            watching(bundle, path)
    assert not (bundle.path / "drift.json").exists()


# ---------------------------------------------------------------- files that are no state


def where(document: Any, path: str) -> tuple[Any, Any]:
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in parents:
        document = document[part]
    return document, last


def put(path: str, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        holder, last = where(document, path)
        holder[last] = value

    return change


def drop(path: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        holder, last = where(document, path)
        del holder[last]

    return change


LOOK = "watch.channels.brightness"
BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "another format": (put("drift", 2), "format is 2"),
    "no format": (drop("drift"), "'drift' is missing"),
    "a field more": (put("more", 1), "'more' is unknown"),
    "a channel more": (
        lambda d: d["watch"]["channels"].update(x=d["watch"]["channels"]["judged"]),
        "channels",
    ),
    "a channel less": (drop("watch.channels.latency"), "watch.channels"),
    "a field's type": (put("watch.frames", "900"), "'watch.frames' must be a whole number"),
    "true for one": (put("watch.frames", True), "'watch.frames' must be a whole number"),
    "not finite": (put(f"{LOOK}.mean", math.inf), "not a finite number"),
    "frames under 0": (put("watch.frames", -1), "watch.frames"),
    "frames without end": (put("watch.frames", 1 << 60), "watch.frames"),
    "one mark": (put("watch.marks", [5.0]), "watch.marks"),
    "marks in disorder": (put("watch.marks", [6.0, 5.0]), "watch.marks"),
    "marks of nobody": (put("watch.marks_of", "none"), "watch.marks_of"),
    "marks of others": (put("watch.marks_of", "them"), "must be one of"),
    "first scores left": (put("watch.first", [[1.0]]), "watch.first"),
    "a line of two": (put("watch.line", [1.0, 1.0]), "watch.line"),
    "more over than seen": (put("watch.line", [10.0, 11.0, 2.0]), "watch.line"),
    "under 0 seen": (put("watch.line", [10.0, -1.0, 2.0]), "watch.line"),
    "compared oddly": (put("watch.compared", "perhaps"), "must be one of"),
    "eleven steps": (lambda d: where(d, LOOK)[0]["brightness"]["steps"].append([1, 1.0, 1.0]), "steps"),
    "a step of two": (put(f"{LOOK}.steps.0", [1, 1.0]), "must have 3 values"),
    "a long step": (put(f"{LOOK}.steps.0.0", 1000), "steps"),
    "a dark step": (put(f"{LOOK}.steps.0.1", -5.0), "steps"),
    "a share over 1": (put("watch.channels.judged.steps.0.1", 99.0), "steps"),
    "eleven blocks": (put(f"{LOOK}.blocks", [4.0] * 11), "blocks"),
    "a wild block": (put(f"{LOOK}.blocks.0", 1e60), "mean"),
    "learned too much": (put(f"{LOOK}.learned", 10_000), "learned"),
    "squares under 0": (put(f"{LOOK}.squares", -1e-9), "squares"),
    "too many pairs": (put(f"{LOOK}.pairs", 100_000), "pairs"),
    "a third way": (put(f"{LOOK}.changed", "left"), "must be one of"),
    "waiting for ever": (put(f"{LOOK}.waited", 99), "suspected"),
    "a rise under 0": (put(f"{LOOK}.rise", -1.0), "rise"),
    "since tomorrow": (put(f"{LOOK}.since", 10_000), "since"),
    "nested": (put(f"{LOOK}.mean", [[[1.0]]]), "must be a number"),
    "no channels": (put("watch.channels", []), "must be a JSON object"),
}


@pytest.fixture(scope="module")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("state") / "line.json"
    drift = watching(bundle, path)
    for frame in line(900):
        drift.update(*frame)
    drift.save()
    return path.read_bytes()


def refused(bundle: Bundle, path: Path) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DriftStateError) as caught:
        watching(bundle, path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 500
    assert "manifest" not in text and "export" not in text
    assert before is None or path.read_bytes() == before  # what is refused isn't replaced
    return text


@pytest.mark.parametrize("fault", BROKEN)
def test_a_state_that_no_line_leads_to_is_refused(
    bundle: Bundle, tmp_path: Path, whole: bytes, fault: str
) -> None:
    change, told = BROKEN[fault]
    document, path = json.loads(whole), tmp_path / "line.json"
    path.write_text(json.dumps(document))
    assert watching(bundle, path).frames == 900
    change(document)
    path.write_text(json.dumps(document))
    assert told in refused(bundle, path).removeprefix(str(path))


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"drift": 1, "drift": 1}', b"[" * 100_000, b"1" * 5000,
    b" " * (1 << 19),
])  # fmt: skip
def test_what_is_no_json_of_ours_is_refused(bundle: Bundle, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "line.json"
    path.write_bytes(data)
    refused(bundle, path)


def test_every_cut_and_flipped_file_is_refused_or_sound(bundle: Bundle, tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "line.json"
    for cut in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:cut])
        refused(bundle, path)
    for place in range(0, len(whole), 31):
        flipped = bytearray(whole)
        flipped[place] ^= 0x11
        path.write_bytes(flipped)
        try:
            drift = watching(bundle, path)
        except DriftStateError:
            continue
        for frame in line(50):
            drift.update(*frame)
        json.dumps(drift.record(), allow_nan=False)


def test_a_folder_a_pipe_and_a_name_that_no_file_has_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    refused(bundle, tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(bundle, tmp_path / "pipe")
    with pytest.raises((DriftStateError, OutputError)):
        watching(bundle, tmp_path / ("x" * 300))


# ---------------------------------------------------------------- writing it


def test_what_cant_be_written_is_said_at_once(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the folder first"):
        watching(bundle, tmp_path / "nowhere" / "line.json")


def test_a_full_disk_stops_no_line(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "line.json"
    drift = watching(bundle, path)

    def full(*_: object) -> None:
        raise OutputError(f"{path}: can't be written (No space left on device); free some space")

    monkeypatch.setattr("edgead.device.drift.drift.write_state", full)
    news = [notice for frame in line(450) for notice in drift.update(*frame)]
    assert [notice.code for notice in news] == ["drift-unsaved"]  # once, in four blocks
    assert "No space left" in str(news[0]) and news[0] in drift.notices
    with pytest.raises(OutputError):
        drift.save()
    monkeypatch.undo()
    drift.save()
    assert drift.notices == () and watching(bundle, path).frames == 450


def save_and_die(drift: Drift, step: int) -> None:
    """Save in this process and kill it at the given step, if there are that many."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == -1:
            os.kill(os.getpid(), signal.SIGKILL)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in (files.__file__, state_module.__file__):
            return None
        if event == "line":
            count()
        return trace

    sys.settrace(trace)
    drift.save()
    os._exit(0)


@unix
def test_killed_at_any_step_the_file_is_the_old_or_the_new(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    found = set()
    for step in itertools.count():
        path.unlink(missing_ok=True)
        drift = watching(bundle, path)
        drift.update(5.0)
        child = os.fork()
        if child == 0:
            save_and_die(drift, step)
        _, status = os.waitpid(child, 0)
        found.add(watching(bundle, path).frames)
        if os.waitstatus_to_exitcode(status) == 0:
            break
    assert found == {0, 1} and step > 10
