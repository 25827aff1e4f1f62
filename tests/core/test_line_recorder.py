"""The recorder with real processes: killed again and again, without a disk, with a full one, on a line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgead.errors import OptionError, UnknownNameError
from edgead.line.backlog import Backlog
from edgead.line.config import Line, line_of
from edgead.line.crew import Crew, Plan
from edgead.line.events import Free, Say
from edgead.line.faults import Fault
from edgead.line.hearing import Told
from edgead.line.lending import LENT
from edgead.line.log_table import log_of
from edgead.line.record import RecordReader, file_feedback, liveview
from edgead.line.record import recent as recent_module
from edgead.line.record.retention import Limits, Retention, look
from edgead.line.record.storing import Picture
from edgead.line.recording import Recording
from edgead.line.ring import Ring
from edgead.line.simulate import Wishes, simulate
from edgead.line.small_map import map_of, reduced
from edgead.notices import Notice
from edgead.types import Region, Times, Verdict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

RUN = "0123456789abcdef"
LIMIT = 60.0
UNTOLD = ("frame_id", "camera_ns", "encoder", "problem")


def verdict(trigger: int, decision: str = "reject", why: str = "score") -> Verdict:
    score = 3.0 if decision == "reject" else 1.0
    return Verdict(
        RUN, trigger, str(trigger), "top", decision, why, score if why == "score" else None, 2.0,  # type: ignore[arg-type]
        (Region((1, 2, 3, 4), 9, 2.5),), "b" * 64, Times(time.monotonic_ns(), 1, 2, 3), None, trigger,
    )  # fmt: skip


def a_line(folder: Path, **log: Any) -> Line:
    camera = {"name": "top", "source": "generated", "bundle": "none", "slot_mib": 1}
    table = {"folder": str(folder), "live_per_second": 0, **log}
    document = {"line": {"deadline_ms": 600, "hung_ms": 800}, "camera": [camera], "sink": [{"kind": "file"}]}
    return line_of({**document, "log": table}, "a test", Path.cwd())


class Recorded:
    """A recorder's process and the line's side of it, without the rest of a line."""

    def __init__(self, folder: Path, **log: Any) -> None:
        self.crew = Crew(Plan(a_line(folder, **log)))
        self.children = self.crew.children
        assert self.crew.recording is not None
        self.recording: Recording = self.crew.recording
        self.child = next(child for child in self.children.all if child.kind == "recorder")
        self.children.all[:] = [self.child]
        self.lens = self.crew.lenses["top"]
        self.ring = Ring(*self.lens.ring)
        self.said: list[Notice] = []

    def turn(self, wait: float = 0.01) -> None:
        self.children.start_due(time.monotonic())
        for _, message in self.children.messages(wait):
            assert self.recording.message(message), message
        for _ in self.children.ended(time.monotonic()):
            self.recording.gone()
        self.said += self.recording.turn(time.monotonic())

    def until(self, done: Any) -> None:
        end = time.monotonic() + LIMIT
        while not done():
            assert time.monotonic() < end, [str(notice) for notice in self.said]
            self.turn()

    def image(self, trigger: int, image: np.ndarray, decision: str = "reject", why: str = "score") -> bool:
        """A verdict with an image in slot 0; whether its slot was lent."""
        told = verdict(trigger, decision, why)
        self.recording.hear(told)
        slot = self.lens.free[0]
        self.ring.write(slot, image)
        shot = {"slot": slot, "grabbed": 1, "shape": image.shape, "dtype": image.dtype.name}
        self.recording.said(Say(told, self.lens.shot({**dict.fromkeys(UNTOLD), **shot})))
        lent = self.recording.lend(Free("top", slot))
        if not lent:
            self.crew.give_back("top", slot)
        return lent

    def codes(self) -> list[str]:
        return [notice.code for notice in self.said]

    def end(self) -> None:
        self.children.end_all(5.0)
        self.crew.close()


@contextlib.contextmanager
def recorded(folder: Path, **log: Any) -> Iterator[Recorded]:
    made = Recorded(folder, **log)
    try:
        yield made
    finally:
        made.end()


def triggers(folder: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(folder / "record.db")) as connection:
        return [row[0] for row in connection.execute('SELECT "trigger" FROM verdicts ORDER BY "trigger"')]


# ------------------------------------------------------------------- rows


def test_a_recorder_killed_at_random_loses_no_row_and_writes_none_twice(tmp_path: Path) -> None:
    rng, count = random.Random(5), 3000
    with recorded(tmp_path) as it:
        it.child.pauses.failed = lambda now: 0.01  # type: ignore[method-assign]
        kills, seen = 0, 0
        for trigger in range(1, count + 1):
            it.recording.hear(verdict(trigger))
            if trigger % 10 == 0:
                it.turn(0.001)
            if trigger % 500 == 0:
                until = time.monotonic() + rng.uniform(0, 0.3)
                it.until(lambda: it.child.up)
                it.until(lambda u=until: time.monotonic() > u)
                assert it.child.process is not None
                with contextlib.suppress(sqlite3.Error):
                    before = triggers(tmp_path)
                    assert len(before) >= seen, "what was committed is there"
                    seen = len(before)
                it.child.process.kill()
                kills += 1
        it.until(lambda: it.recording.idle and it.child.up and len(it.recording.backlog) == 0)
        assert kills == 6 and it.recording.lost == {"rows": 0, "images": 0}
    assert triggers(tmp_path) == list(range(1, count + 1))


def test_what_is_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    """By a connection of its own, at the moment of the acknowledgement, and the process is killed then."""
    with recorded(tmp_path) as it:
        it.until(lambda: it.child.up)
        for trigger in range(1, 201):
            it.recording.hear(verdict(trigger))
        it.until(lambda: len(it.recording.backlog) < 200)
        done = 200 - len(it.recording.backlog)
        assert it.child.process is not None
        it.child.process.kill()
        assert len(triggers(tmp_path)) >= done > 0


def test_rows_that_were_committed_and_not_acknowledged_are_sent_again_and_are_there_once(
    tmp_path: Path,
) -> None:
    with recorded(tmp_path) as it:
        it.until(lambda: "line-record-up" in it.codes())
        for trigger in range(1, 101):
            it.recording.hear(verdict(trigger))
        until = time.monotonic() + LIMIT
        while len(triggers(tmp_path)) < 100:  # and nothing is heard of it
            assert time.monotonic() < until
        assert it.child.process is not None and it.child.channel is not None
        it.child.process.kill()
        it.child.process.wait()
        it.child.channel.receive()  # what it acknowledged is lost on the way
        assert len(it.recording.backlog) == 100
        it.until(lambda: len(it.recording.backlog) == 0)
        assert it.recording.lost["rows"] == 0
    assert triggers(tmp_path) == list(range(1, 101))


def test_without_a_recorder_rows_wait_and_what_is_over_the_bound_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgead.line.backlog.MOST_ROWS", 50)
    with recorded(tmp_path) as it:
        for trigger in range(1, 61):
            it.recording.hear(verdict(trigger))
        assert it.recording.lost["rows"] == 10
        (lost,) = it.recording.turn(time.monotonic())
        assert lost.code == "line-record-lost" and "10 rows" in str(lost)
        assert it.recording.turn(time.monotonic()) == [], "and said once"
        it.until(lambda: it.child.up and len(it.recording.backlog) == 0)
    assert triggers(tmp_path) == list(range(1, 51))


def test_a_backlog_sends_again_in_order() -> None:
    backlog = Backlog()
    for number in range(1, 6):
        assert backlog.add(f"row {number}")
    for _ in range(3):
        backlog.sent()
    backlog.done(1)
    backlog.again()
    sent = []
    while (row := backlog.next()) is not None:
        sent.append(row)
        backlog.sent()
    assert sent == [(number, f"row {number}") for number in range(2, 6)]
    backlog.done(5)
    assert len(backlog) == 0


def test_a_folder_that_cannot_be_written_is_tried_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.write_text("in the way")
    with recorded(folder) as it:
        it.recording.hear(verdict(1))
        it.until(lambda: "line-record-down" in it.codes())
        folder.unlink()
        it.until(lambda: len(it.recording.backlog) == 0)
        it.until(lambda: "line-record-up" in it.codes())
    assert triggers(folder) == [1]


def test_a_record_that_is_damaged_or_removed_while_it_is_written_is_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    with recorded(folder) as it:
        it.recording.hear(verdict(1))
        it.until(lambda: it.child.up and len(it.recording.backlog) == 0)
        assert it.child.process is not None
        it.child.process.kill()
        it.until(lambda: not it.child.up)
        (folder / "record.db").write_bytes(b"no database any more" * 500)
        it.recording.hear(verdict(2))
        it.until(lambda: "line-record-damaged" in it.codes() and len(it.recording.backlog) == 0)
        assert triggers(folder) == [2] and len(list(folder.glob("record.db.damaged-*"))) >= 1
        shutil.rmtree(folder)
        it.recording.hear(verdict(3))
        it.until(lambda: len(it.recording.backlog) == 0)
        assert triggers(folder) == [3]


def test_a_row_that_no_database_takes_holds_up_no_other(tmp_path: Path) -> None:
    with recorded(tmp_path) as it:
        for trigger, decision in ((1, "reject"), (2, "perhaps"), (3, "accept")):
            it.recording.hear(verdict(trigger, decision))
        it.until(lambda: it.child.up and len(it.recording.backlog) == 0)
        it.until(lambda: "line-record-refused" in it.codes())
        assert it.recording.lost["rows"] == 1
    assert triggers(tmp_path) == [1, 3]


# ------------------------------------------------------------------- images


def test_images_are_kept_as_they_were_and_their_slots_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (40, 60, 3), np.uint8),
        rng.integers(0, 256, (40, 60), np.uint8),
        rng.integers(0, 4096, (40, 60)).astype(np.uint16),
    ]
    with recorded(tmp_path, images={"recent": 0}) as it:
        it.until(lambda: it.child.up)
        for trigger, image in enumerate(images, 1):
            assert it.image(trigger, image, why="deadline" if trigger == 3 else "score")
        assert not it.image(4, images[0], "accept"), "one good of 500 is kept, and it's the first"
        it.until(lambda: it.recording.idle)
        it.until(lambda: len(list(tmp_path.rglob("*.png"))) == 3)
    with RecordReader(tmp_path) as reader:
        assert [row.kept for row in reader.verdicts()] == [None, "fail-safe", "reject", "reject"]
        for number, image in enumerate(images, 1):
            row = next(row for row in reader.verdicts() if row.trigger == number)
            file = reader.image(row.id)
            assert file is not None
            np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), image)


def test_of_the_newest_images_that_nothing_keeps_one_is_kept_once_it_is_filed(tmp_path: Path) -> None:
    images = [np.full((20, 30), 10 * number, np.uint8) for number in range(1, 5)]
    with recorded(tmp_path, images={"recent": 2, "near": 0}) as it:
        it.until(lambda: it.child.up)
        for trigger, image in enumerate(images, 1):
            assert it.image(trigger, image, "accept")
            it.until(lambda: it.recording.lending.idle)
        for trigger in (1, 3, 3, 9):  # too old, held, kept already, none
            it.recording.keep("top", RUN, trigger)
        it.until(lambda: list(tmp_path.rglob("*.png")))
        assert it.recording.lost["images"] == 0
    with RecordReader(tmp_path) as reader:
        assert [(row.trigger, row.kept) for row in reader.verdicts()] == [
            (4, None), (3, "filed"), (2, None), (1, None)]  # fmt: skip
        file = reader.image(next(row.id for row in reader.verdicts() if row.trigger == 3))
        assert file is not None
        np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), images[2])


def test_the_newest_images_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_module, "MOST_BYTES", 250)
    held = recent_module.Recent(100)
    for trigger in range(1, 5):
        told = {"camera": "top", "run": RUN, "trigger": trigger}
        held.put(Picture(np.zeros((10, 10), np.uint8), None, told, 0, "filed"))
    found = [held.take(("top", RUN, trigger)) is not None for trigger in range(1, 5)]
    assert found == [False, False, True, True]


def test_where_a_link_leads_elsewhere_no_image_is_written_and_that_is_said(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "record", tmp_path / "elsewhere"
    (folder / "images").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "images" / "top").symlink_to(elsewhere)
    with recorded(folder) as it:
        it.until(lambda: it.child.up)
        assert it.image(1, np.zeros((8, 8), np.uint8))
        it.until(lambda: it.recording.lost["images"] == 1)
    assert not list(elsewhere.iterdir()) and "a link" in it.recording._why
    with RecordReader(folder) as reader:
        assert reader.image(1) is None and reader.verdict(1) is not None


def test_the_live_view_writes_over_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    for name in (".top.jpg.part", "top.jpg"):
        (tmp_path / name).symlink_to(other)
    liveview._replace(tmp_path / "top.jpg", b"picture")
    assert other.read_text() == "mine" and (tmp_path / "top.jpg").read_bytes() == b"picture"
    assert not (tmp_path / "top.jpg").is_symlink()


def test_jpeg_keeps_16_bits_as_png(tmp_path: Path) -> None:
    with recorded(tmp_path, format="jpeg") as it:
        it.until(lambda: it.child.up)
        assert it.image(1, np.full((20, 20, 3), 90, np.uint8))
        assert it.image(2, np.full((20, 20), 900, np.uint16))
        it.until(lambda: len([*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.png")]) == 2)
    assert [file.name for file in tmp_path.rglob("*.png")] == [f"{RUN}-2.png"]


def test_no_more_slots_are_lent_than_there_are_and_they_come_back_with_the_process(tmp_path: Path) -> None:
    image = np.zeros((20, 20), np.uint8)
    with recorded(tmp_path) as it:
        it.until(lambda: it.child.up)
        assert it.child.process is not None
        os.kill(it.child.process.pid, signal.SIGSTOP)
        assert [it.image(trigger, image) for trigger in range(1, 8)] == [True] * LENT + [False] * (7 - LENT)
        assert it.recording.lost["images"] == 3 and not it.recording.lending.idle
        it.child.process.kill()
        it.until(lambda: it.recording.lending.idle)
        it.until(lambda: it.child.up and len(it.recording.backlog) == 0)
        assert it.image(8, image), "and the next one gets images"
        it.until(lambda: it.recording.lending.idle)
        assert len(it.lens.free) == it.ring.slots, "the camera has every slot again"
    assert triggers(tmp_path) == list(range(1, 9)), "rows are all there"


def test_the_oldest_images_go_and_those_with_feedback_stay(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    with recorded(tmp_path) as it:
        it.until(lambda: it.child.up)
        for trigger in range(1, 11):
            it.image(trigger, image)
            it.until(lambda: it.recording.lending.idle)
        it.until(lambda: len(list(tmp_path.rglob("*.png"))) == 10 and len(it.recording.backlog) == 0)
    with RecordReader(tmp_path) as reader:
        rows = {row.trigger: row.id for row in reader.verdicts()}
        size = reader.image(rows[1]).stat().st_size  # type: ignore[union-attr]
        file_feedback(tmp_path, rows[2], "false-alarm", "ann")
        assert look(tmp_path, Limits(1.0, 4 * size)) == 4 * size
        left = [trigger for trigger in rows if reader.image(rows[trigger]) is not None]
        assert sorted(left) == [2, 8, 9, 10]
        assert look(tmp_path, Limits(1e-9, 4 * size)) == size and reader.image(rows[2]) is not None
        assert len(reader.verdicts()) == 10, "their verdicts stay"
        look(tmp_path, Limits(1e-9, 4 * size, 1e-9))
        assert [row.trigger for row in reader.verdicts()] == [2], "unless they're limited too"
    assert len(list(tmp_path.rglob("*.png"))) == 1


def test_that_nothing_can_be_removed_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(Retention, "_work", lambda self: None)
    retention = Retention(tmp_path, Limits(90, 1 << 30), told.append)

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "x.png")

    monkeypatch.setattr("edgead.line.record.retention.look", refused)
    for _ in range(9):
        retention._look()
    assert [(each["code"], "Permission denied" in each["values"]["why"]) for each in told] == [
        ("line-record-stuck", True)
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_images_stop_and_rows_go_on_and_then_wait(small_disk: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (500, 1000), np.uint8)
    folder = small_disk / "record"
    with recorded(folder) as it:
        it.until(lambda: it.child.up)
        for trigger in range(1, 41):
            it.image(trigger, image)
            it.until(lambda: it.recording.lending.idle)
        it.until(lambda: it.recording.lost["images"] > 0 and len(it.recording.backlog) == 0)
        assert "nearly full" in str([str(notice) for notice in it.said])
        assert triggers(folder) == list(range(1, 41)), "rows go on"
        kept = len(list(folder.rglob("*.png")))
        assert 1 <= kept < 40
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        for trigger in range(41, 541):
            it.recording.hear(verdict(trigger))
        it.until(lambda: "line-record-down" in it.codes())
        assert len(it.recording.backlog) > 0 and it.recording.lost["rows"] == 0
        filler.unlink()
        it.until(lambda: len(it.recording.backlog) == 0)
    assert triggers(folder) == list(range(1, 541))


# ------------------------------------------------------------------- the live view, and maps


def test_the_live_files_are_of_the_same_image(tmp_path: Path) -> None:
    with recorded(tmp_path, live_per_second=5) as it:
        it.until(lambda: it.child.up)
        lending = it.recording.lending
        assert lending.wants_map(1, "top", time.monotonic_ns())
        assert not lending.wants_map(2, "top", time.monotonic_ns()), "five times a second at most"
        it.recording.lending.map(1, {"width": 3, "height": 2, "data": "AAECgIH/"})
        assert it.image(1, np.full((100, 2000), 4000, np.uint16), "accept")
        file = tmp_path / "live" / "top.json"
        it.until(file.exists)
    told = json.loads(file.read_text())
    assert (told["trigger"], told["decision"], told["map"]) == (1, "accept", True)
    assert told["size"] == {"width": 2000, "height": 100, "shown": [960, 48]}
    shown: Any = cv2.imread(str(file.with_name("top.jpg")), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (48, 960) and abs(int(shown[20, 20]) - 4000 // 16) < 3
    small: Any = cv2.imread(str(file.with_name("top.map.png")), cv2.IMREAD_UNCHANGED)
    assert small.tolist() == [[0, 1, 2], [128, 129, 255]]


def test_a_small_map_has_the_largest_of_what_it_covers_and_128_at_the_threshold() -> None:
    values = np.random.default_rng(1).uniform(0, 4, (150, 97)).astype(np.float32)
    values[77, 33] = 9.0
    small = reduced(values, 2.0)
    assert small.shape == (64, 64) and small.max() == 255
    rows, columns = np.arange(64) * 150 // 64, np.arange(64) * 97 // 64
    for i in range(0, 64, 7):
        for j in range(0, 64, 5):
            bottom = 150 if i == 63 else rows[i + 1]
            right = 97 if j == 63 else columns[j + 1]
            block = values[rows[i] : bottom, columns[j] : right]
            assert small[i, j] == min(255, round(float(block.max()) * 64))
    assert reduced(np.full((2, 3), 2.0, np.float32), 2.0).tolist() == [[128] * 3] * 2


@pytest.mark.parametrize(
    "message", [None, {}, {"width": 65, "height": 1, "data": ""}, {"width": 1, "height": 1, "data": "!"}, 7]
)
def test_what_is_no_map_is_none(message: Any) -> None:
    assert map_of(message) is None


# ------------------------------------------------------------------- a whole line


def test_a_line_goes_on_whatever_becomes_of_its_recorder(tmp_path: Path) -> None:
    told: list[Told] = []
    kills = 0

    def hear(what: Told) -> None:
        """Kill the recorder whenever it has just come, twice."""
        nonlocal kills
        told.append(what)
        if isinstance(what, Notice) and what.code == "line-record-up" and kills < 2:
            kills += 1
            command = ["pgrep", "-P", str(os.getpid()), "-f", "recorder_process"]
            for child in subprocess.run(command, capture_output=True, text=True).stdout.split():
                os.kill(int(child), signal.SIGKILL)

    wishes = Wishes(40, 15, [Fault(8, "judge-crash"), Fault(20, "judge-raise")], stand_in=True, record=True)
    outcome = simulate(a_line(tmp_path), wishes, {}, hear)
    assert outcome.triggers == outcome.verdicts == 40 and outcome.faults(2000.0) == []
    gone = [
        t for t in told if isinstance(t, Notice) and t.code == "line-process-gone" and "recorder" in str(t)
    ]
    assert gone and kills, "it was killed"
    lost = [t for t in told if isinstance(t, Notice) and t.code == "line-record-unsaved"]
    rows = sum(int(notice.values["rows"]) for notice in lost)
    assert len(triggers(tmp_path)) + rows >= 40 and len(set(triggers(tmp_path))) == len(triggers(tmp_path))


def test_without_log_there_is_no_recorder_and_a_simulation_has_none_unasked(tmp_path: Path) -> None:
    line = a_line(tmp_path / "record")
    simulate(line, Wishes(2, 10, stand_in=True), {}, lambda told: None)
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"images": {"good": "1/0"}}, "good = '1/0' is no share"),
        ({"images": {"near": -1}}, "near"),
        ({"keep": {"day": 1}}, "days"),
        ({"images": "all"}, "images must be a table"),
        ({"folders": "x"}, "folder"),
        ({"format": "bmp"}, "png"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises((OptionError, UnknownNameError), match=said):
        log_of({"log": table}, "a test")


def test_defaults_of_the_table() -> None:
    log = log_of({"log": {"images": {"good": "1/7"}}}, "a test")
    assert log is not None and log.images.share == 7 and log.images.reject == "all" and log.keep.days == 90
    assert log_of({}, "a test") is None
