"""The small parts that a line is made of, each by itself: channels, rings, pauses, outlets, the watchdog."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead.errors import FrameError
from edgead.line.channel import MOST_BYTES, Channel, of_descriptor
from edgead.line.events import Late
from edgead.line.hearing import Hearing
from edgead.line.lens import Lens, Misunderstood
from edgead.line.outlet import MOST_UNANSWERED, Outlet
from edgead.line.pauses import FIRST, MOST, WELL, Pauses
from edgead.line.records import record_of, verdict_of
from edgead.line.ring import Ring
from edgead.line.tally import Tally
from edgead.line.telling import Telling
from edgead.line.watchdog import Watchdog
from edgead.notices import Notice
from edgead.types import Region, Times, Verdict, Why

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")


def verdict(trigger: int = 1, why: Why = "score", took_ms: float = 5.0) -> Verdict:
    score = 1.5 if why == "score" else None
    times = Times(1000, 2000, 3000, 1000 + round(took_ms * 1e6))
    return Verdict("ab" * 8, trigger, "7", "top", "reject", why, score, score,
                   (Region((1, 2, 3, 4), 5, 6.5),), None, times, -3, 7)  # fmt: skip


# ---------------------------------------------------------------- channels


def ends() -> tuple[Channel, Channel]:
    ours, theirs = Channel.pair()
    return ours, Channel(theirs)


def test_messages_come_whole_and_in_order() -> None:
    ours, theirs = ends()
    for number in range(100):
        assert ours.send({"n": number, "text": "ü" * number})
    found = [message for _ in range(3) for message in theirs.receive(0.1)]
    assert [message["n"] for message in found] == list(range(100)) and found[9]["text"] == "ü" * 9


def test_one_message_at_a_time_leaves_the_others() -> None:
    ours, theirs = ends()
    ours.send({"n": 1})
    ours.send({"n": 2})
    assert theirs.first(1.0) == {"n": 1} and theirs.receive(0) == [{"n": 2}] and theirs.first(0.0) is None


def test_who_does_not_read_makes_nobody_wait() -> None:
    ours, theirs = ends()
    sent = 0
    while ours.send({"n": sent, "text": "x" * 1000}):
        sent += 1
        assert sent < 10_000
    assert sent * 1000 <= 2 * MOST_BYTES and not ours.closed and ours.has_more
    found = 0
    while found < sent:
        ours.flush()
        found += len(theirs.receive(0.0))
    assert found == sent and ours.send({})


def test_an_end_that_goes_is_noticed_after_its_last_words() -> None:
    ours, theirs = ends()
    theirs.send({"last": "words"})
    theirs.close()
    assert ours.receive(1.0) == [{"last": "words"}] and ours.closed
    assert not ours.send({"n": 1})


@pytest.mark.parametrize(
    "garbage",
    [struct.pack(">I", MOST_BYTES + 1), struct.pack(">I", 3) + b"{x}", struct.pack(">I", 2) + b"[]"],
    ids=["too long", "no JSON", "no object"],
)
def test_what_is_no_message_closes_the_channel(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        channel = Channel(theirs)
        ours.sendall(garbage)
        assert channel.receive(1.0) == [] and channel.closed


def test_many_threads_may_send() -> None:
    ours, theirs = ends()

    def work(number: int) -> None:
        for n in range(200):
            while not ours.send({"thread": number, "n": n}):
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    found: list[dict[str, int]] = []
    while len(found) < 800:
        ours.flush()
        found += theirs.receive(0.01)
    assert all([m["n"] for m in found if m["thread"] == t] == list(range(200)) for t in range(4))


def test_a_descriptor_that_was_handed_on_goes_no_farther() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        os.set_inheritable(theirs.fileno(), True)
        channel = of_descriptor(theirs.detach())
        assert not os.get_inheritable(channel.fileno())
        channel.close()


# ---------------------------------------------------------------- rings


def test_another_process_reads_what_was_written() -> None:
    ring = Ring.make(3, 1000)
    image = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    ring.write(2, image[:, ::-1])
    ring.write(1, image[:5])  # which is another place
    code = (
        "import sys; from edgead.line.ring import Ring; "
        "print(int(Ring(int(sys.argv[1]), 3, 1000).read(2, (10, 12, 3), 'uint8')[4, 5].sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ring.descriptor)],
        pass_fds=(ring.descriptor,),
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) == int(image[4, 6].sum())
    ring.close()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((10, 12), "uint16"), ((10, 12), "uint8"), ((10, 12, 3), "uint8")]
)
def test_what_frames_are_goes_in(shape: tuple[int, ...], dtype: str) -> None:
    ring = Ring.make(1, 360)
    image = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    ring.write(0, image)
    assert np.array_equal(ring.read(0, shape, dtype), image)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10, 12), "float32"),
        ((10, 12, 4), "uint8"),
        ((10, 12, 3), "uint16"),
        ((5,), "uint8"),
        ((0, 3), "uint8"),
        ((10, 13, 3), "uint8"),
    ],
)
def test_what_is_no_frame_or_too_large_does_not(shape: tuple[int, ...], dtype: str) -> None:
    ring = Ring.make(1, 360)
    with pytest.raises(FrameError):
        ring.write(0, np.zeros(shape, dtype))
    with pytest.raises(FrameError):
        ring.read(0, shape, dtype)


@pytest.mark.parametrize("slot", [-1, 1])
def test_a_slot_that_is_not_there_holds_nothing(slot: int) -> None:
    with pytest.raises(FrameError, match="holds no image"):
        Ring.make(1, 360).read(slot, (2, 2), "uint8")


def test_a_camera_that_announces_what_cannot_be_is_not_understood() -> None:
    lens = Lens(queue=0, size=1000)
    good = {"slot": 1, "grabbed": 5, "shape": [4, 4], "dtype": "uint8", "frame_id": 1, "camera_ns": None,
            "encoder": None, "problem": None}  # fmt: skip
    assert lens.shot(good).slot == 1 and 1 not in lens.free
    for wrong in (
        {"slot": 1},
        {"slot": 99},
        {"slot": 2, "shape": [4, 4, 4]},
        {"slot": 2, "dtype": "float64"},
    ):
        with pytest.raises(Misunderstood):
            lens.shot({**good, **wrong})
    lens.let_go(1)
    assert lens.shot(good).slot == 1
    assert lens.opening()["epoch"] == 1 and not lens.opened({"epoch": 0}) and lens.opened({"epoch": 1})
    lens.close()


# ---------------------------------------------------------------- pauses, outlets, figures


def test_pauses_grow_up_to_a_limit_and_shrink_after_it_was_well() -> None:
    pauses = Pauses()
    found = [pauses.failed(0.0) for _ in range(12)]
    assert found[:3] == [FIRST, 2 * FIRST, 4 * FIRST] and found[-1] == MOST == max(found)
    pauses.up(100.0)
    assert pauses.failed(100.0 + WELL - 0.1) == MOST, "it was well for a moment only"
    assert pauses.failed(100.0 + 9 * WELL) == MOST, "and hasn't been since"
    pauses.up(200.0)
    assert pauses.failed(200.0 + WELL) == FIRST


def test_a_verdict_sink_is_overdue_by_the_verdict_that_waits_longest() -> None:
    outlet = Outlet(send=1.0)
    outlet.up = True
    outlet.gave(7, 10.0)
    outlet.gave(3, 10.8)  # the numbers of triggers aren't the order of verdicts
    assert not outlet.overdue(11.0) and outlet.overdue(11.01)
    outlet.answered(7, 11.0, put_out=True)
    assert not outlet.overdue(11.7) and outlet.overdue(11.81) and not outlet.idle
    outlet.answered(99, 11.0, put_out=True)
    assert not outlet.idle, "nobody was asked that"
    outlet.answered(3, 11.9, put_out=False)
    assert outlet.idle and (outlet.given, outlet.missed) == (2, 1)


def test_a_sink_that_informs_is_overdue_only_where_it_stands_still() -> None:
    outlet = Outlet(send=1.0)
    outlet.role = "inform"
    outlet.up = True
    for trigger in range(5):
        outlet.gave(trigger, 10.0)
    for trigger in range(4):
        outlet.answered(trigger, 10.9 * (1 + trigger / 10), put_out=True)
    assert not outlet.overdue(14.9) and outlet.overdue(15.2)
    outlet.gave(9, 15.1)
    assert outlet.overdue(15.2), "that more comes is no progress"


def test_a_sink_has_no_more_in_hand_than_it_may_and_loses_it_when_it_goes() -> None:
    outlet = Outlet(1.0)
    assert not outlet.has_room
    outlet.up = True
    for trigger in range(MOST_UNANSWERED):
        assert outlet.has_room
        outlet.gave(trigger, 0.0)
    assert not outlet.has_room
    outlet.gone()
    assert outlet.missed == MOST_UNANSWERED and outlet.idle and not outlet.up


def test_verdicts_come_through_json_the_same() -> None:
    for one in (verdict(), verdict(2, "deadline")):
        assert verdict_of(json.loads(json.dumps(record_of(one)))) == one
    assert list(record_of(verdict()))[:5] == ["run", "trigger", "part", "camera", "decision"]


def test_the_tally_counts_and_knows_the_worst() -> None:
    tally = Tally(deadline=80_000_000)
    assert tally.record()["p50_ms"] is None and tally.record()["most_after_deadline_ms"] is None
    for took in (1.5, 2.5):
        tally.add(verdict(took_ms=took))
    assert tally.took_ms(0.5) == 1
    for took in (3.5, 99.25):
        tally.add(verdict(took_ms=took))
    tally.add(verdict(5, "deadline", 80.5))
    tally.add(Late("top/0", 5, "top", "5", 1, None))
    record = tally.record()
    assert record["verdicts"] == 5 and record["by_failsafe"] == 1 and record["late_scores"] == 1
    assert record["whys"] == {"deadline": 1, "score": 4} and record["decisions"] == {"reject": 5}
    assert (record["p50_ms"], record["p99_ms"], record["most_after_deadline_ms"]) == (3, 99, 19.25)


# ---------------------------------------------------------------- telling, and the watchdog


def test_what_nobody_writes_is_dropped_and_counted() -> None:
    stuck, go = threading.Event(), threading.Event()
    written: list[object] = []

    def write(told: object) -> None:
        stuck.set()
        go.wait(60)
        written.append(told)

    telling = Telling(write)
    for number in range(10_100):
        telling(Notice("x", {"n": number}))
    assert stuck.wait(60) and 90 <= telling.dropped <= 100
    go.set()
    telling.close(60)
    assert len(written) == 10_100 - telling.dropped


def test_a_closed_pipe_ends_the_telling_and_raises_nothing() -> None:
    def write(told: object) -> None:
        raise BrokenPipeError

    telling = Telling(write)
    telling(Notice("x"))
    telling._thread.join(60)
    telling(Notice("x"))
    assert telling.dropped == 1
    telling.close(0.1)


def test_the_watchdog_is_fed_half_as_often_as_it_waits_and_only_where_all_is_well(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "s"))
        systemd.setblocking(False)
        given = {
            "NOTIFY_SOCKET": str(tmp_path / "s"),
            "WATCHDOG_USEC": "4000000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        watchdog = Watchdog(given)
        for now, well in ((0.0, False), (1.0, True), (2.5, True), (3.0, True), (9.0, False)):
            watchdog.feed(now, well)
        watchdog.tell(READY=1, STATUS="two\nlines")
        heard = [systemd.recv(100) for _ in range(3)]
        assert heard == [b"WATCHDOG=1", b"WATCHDOG=1", b"READY=1\nSTATUS=two"]
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


def test_without_systemd_or_for_another_process_nothing_is_fed(tmp_path: Path) -> None:
    for given in (
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
    ):
        assert Watchdog(given).period is None
    Watchdog({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY=1)
    Watchdog({}).feed(1.0, True)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the system has no such class")
def test_an_idle_process_is_made_normal_thread_by_thread() -> None:
    from edgead.line.priority import be_idle, be_normal

    code = (
        "import threading, time, sys; t = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
        "sys.stdin.readline(); t.start(); print(t.native_id, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        be_idle(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        thread = int(process.stdout.readline())
        assert [os.sched_getscheduler(p) for p in (process.pid, thread)] == [os.SCHED_IDLE] * 2
        be_normal(process.pid)
        assert [os.sched_getscheduler(p) for p in (process.pid, thread)] == [os.SCHED_OTHER] * 2
        process.kill()


# ---------------------------------------------------------------- a sink that isn't well


def test_a_sink_that_is_not_well_is_said_once_however_its_counts_go_on() -> None:
    told: list[Any] = []
    hearing = Hearing(None, None, told.append)  # type: ignore[arg-type]
    for ok, detail, count in (
        (False, "a", 1),
        (False, "a", 2),
        (False, "b", 3),
        (True, "", 4),
        (True, "", 5),
    ):
        hearing._health("plc", {"ok": ok, "detail": detail, "counts": {"n": count}})
    assert [notice.code for notice in told] == ["line-sink-ill", "line-sink-ill", "line-sink-well"]
