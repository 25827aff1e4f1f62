"""A camera's and a sink's process from the inside: what they say where a plugin's object misbehaves."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from edgead.errors import DeviceError, OutputError
from edgead.line.camera_process import Camera
from edgead.line.channel import Channel
from edgead.line.records import record_of
from edgead.line.ring import Ring
from edgead.line.sink_process import Giving
from edgead.types import Grab, Health, Role, Times, Verdict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

Message = dict[str, Any]


class Heard:
    """The other end, with all that was heard of it."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.all = channel, list[Message]()

    def wait(self, what: str, count: int = 1) -> Message:
        """The so-manieth message of a kind."""
        until = time.monotonic() + 30
        while len(found := [message for message in self.all if message["is"] == what]) < count:
            assert time.monotonic() < until, f"no {what}: {self.all}"
            self.all += self.channel.receive(0.05)
        return found[count - 1]

    def whats(self) -> list[str]:
        self.all += self.channel.receive(0.0)
        return [message["is"] for message in self.all if message["is"] not in ("alive", "beaten", "health")]


@contextmanager
def running(make: Callable[[Channel], Any]) -> Iterator[Heard]:
    ours, theirs = Channel.pair()
    loop = make(Channel(theirs))
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield Heard(ours)
    ours.send({"is": "stop"})
    thread.join(30)
    assert not thread.is_alive()
    ours.close()


# ---------------------------------------------------------------- a camera


class Scripted:
    """A source that gives, or raises, one thing after another; each opening begins the next list."""

    Options = int

    def __init__(self, *openings: list[Any]) -> None:
        self._openings, self._now = list(openings), list[Any]()
        self.closed = 0

    def open(self) -> None:
        self._now = self._openings.pop(0) if self._openings else []
        if self._now and isinstance(self._now[0], Exception):
            raise self._now.pop(0)

    def read(self, timeout: float) -> Any:
        if not self._now:
            time.sleep(0.01)
            return None
        found = self._now.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


IMAGE = np.arange(12, dtype=np.uint8).reshape(3, 4)


@contextmanager
def camera(source: Scripted, slots: int = 2, size: int = 100) -> Iterator[tuple[Heard, Ring]]:
    ring = Ring.make(slots, size)
    with running(lambda channel: Camera(channel, source, ring, list(range(slots)))) as heard:  # type: ignore[arg-type]
        heard.channel.send({"is": "open", "epoch": 1})
        yield heard, ring
    ring.close()


def test_an_image_lies_in_the_slot_that_is_announced() -> None:
    before = time.monotonic_ns()
    with camera(Scripted([Grab(IMAGE, np.int64(7), 123, -4)])) as (heard, ring):
        shot = heard.wait("shot")
        assert heard.whats() == ["open", "shot"] and heard.wait("open")["epoch"] == 1
        assert np.array_equal(ring.read(shot["slot"], shot["shape"], shot["dtype"]), IMAGE)
        assert (shot["frame_id"], shot["camera_ns"], shot["encoder"], shot["problem"]) == (7, 123, -4, None)
        assert before <= shot["grabbed"] <= time.monotonic_ns()


def test_without_a_free_slot_the_image_is_announced_as_lost() -> None:
    with camera(Scripted([Grab(IMAGE, n) for n in range(4)]), slots=2) as (heard, _):
        shots = [heard.wait("shot", n) for n in range(1, 5)]
        assert [shot["slot"] for shot in shots] == [0, 1, None, None]
        assert [shot.get("overrun", False) for shot in shots] == [False, False, True, True]


def test_a_slot_that_is_free_again_is_written_again() -> None:
    source = Scripted([Grab(IMAGE, 1), Grab(IMAGE, 2)], [Grab(IMAGE, 3)])
    with camera(source, slots=2) as (heard, _):
        heard.wait("shot", 2)
        heard.channel.send({"is": "free", "slot": 1})
        heard.channel.send({"is": "open", "epoch": 2})
        assert heard.wait("shot", 3)["slot"] == 1 and heard.wait("open", 2)["epoch"] == 2


@pytest.mark.parametrize(
    ("grab", "problem"),
    [
        (Grab(None, 1, problem="12 packets are missing"), "12 packets are missing"),
        (Grab(IMAGE, 1, problem="half of it"), "half of it"),
        (Grab(None, 1), "neither an image nor why not"),
        (Grab(np.zeros((20, 20), np.uint8), 1), "raise slot_mib"),
        (Grab(np.zeros((3, 3), np.float32), 1), "not 3x3 float32"),
    ],
)
def test_what_is_no_image_says_why_and_takes_no_slot(grab: Grab, problem: str) -> None:
    with camera(Scripted([grab, Grab(IMAGE, 2)])) as (heard, _):
        first, second = heard.wait("shot", 1), heard.wait("shot", 2)
        assert first["slot"] is None and problem in first["problem"] and second["slot"] == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (DeviceError("the cable is out"), "the cable is out"),
        (ValueError("a bug"), "ValueError: a bug"),
        ("no grab", "AttributeError"),
        (Grab(IMAGE, "seven"), "ValueError"),  # type: ignore[arg-type]
    ],
)
def test_a_camera_that_fails_is_opened_again(fault: Any, why: str) -> None:
    source = Scripted([None, fault], [Grab(IMAGE, 5)])
    with camera(source) as (heard, _):
        assert why in heard.wait("lost")["why"]
        assert heard.wait("shot")["frame_id"] == 5 and heard.whats() == ["open", "lost", "open", "shot"]
    assert source.closed >= 2


def test_one_that_cannot_be_opened_is_tried_again_and_again() -> None:
    with camera(Scripted([DeviceError("no")], [DeviceError("no")], [Grab(IMAGE, 1)])) as (heard, _):
        heard.wait("shot")
        assert heard.whats() == ["lost", "lost", "open", "shot"]


def test_a_camera_is_heard_of_even_where_nothing_comes() -> None:
    with camera(Scripted()) as (heard, _):
        heard.wait("alive", 3)


# ---------------------------------------------------------------- a sink


class Noted:
    """A sink that notes what it's asked, and raises what it's told to."""

    Options = int
    roles = ("verdict", "inform")

    def __init__(self, **raises: list[Exception | None]) -> None:
        self._raises = raises
        self.asked: list[Any] = []
        self.well = True

    def _do(self, what: str, *given: Any) -> None:
        self.asked.append((what, *given) if given else what)
        left = self._raises.get(what, [])
        if left and (error := left.pop(0)) is not None:
            raise error

    def open(self) -> None:
        self._do("open")

    def send(self, verdict: Verdict) -> None:
        self._do("send", verdict)

    def beat(self, ready: bool) -> None:
        self._do("beat", ready)

    def health(self) -> Health:
        return Health(self.well, "", {"n": 1})

    def close(self) -> None:
        self._do("close")


def message(trigger: int) -> Message:
    verdict = Verdict("0" * 16, trigger, "p", "top", "reject", "deadline", None, None, (), None, Times(5))
    return {"is": "verdict", "verdict": record_of(verdict)}


@contextmanager
def sink(noted: Noted, role: Role = "verdict", silence: float = 60.0) -> Iterator[Heard]:
    with running(lambda channel: Giving(channel, noted, role, silence)) as heard:
        yield heard


def test_a_sink_gets_verdicts_with_the_time_at_which_it_got_them() -> None:
    noted = Noted()
    with sink(noted) as heard:
        heard.wait("up")
        before = time.monotonic_ns()
        heard.channel.send(message(3))
        sent = heard.wait("sent")
        assert sent["trigger"] == 3 and before <= sent["at"] <= time.monotonic_ns()
    (verdict,) = [each[1] for each in noted.asked if each[0] == "send"]
    assert verdict.times.sent == sent["at"] and verdict.trigger == 3
    assert noted.asked[0] == "open" and noted.asked[-2:] == [("beat", False), "close"]


def test_what_it_could_not_put_out_is_dropped_and_it_is_opened_again() -> None:
    noted = Noted(send=[OutputError("no answer")])
    with sink(noted) as heard:
        heard.wait("up")
        for trigger in (1, 2, 3):
            heard.channel.send(message(trigger))
        heard.wait("up", 2)
        heard.channel.send(message(4))
        assert heard.wait("sent")["trigger"] == 4
        dropped = [m["trigger"] for m in heard.all if m["is"] == "dropped"]
        assert dropped == [1, 2, 3], "what came while it was away is never sent"
        assert heard.wait("down")["why"] == "no answer"
    at = noted.asked.index("close")
    assert noted.asked[at - 1] == ("beat", False) and noted.asked[at + 1] == "open"


def test_one_that_informs_goes_on_after_a_miss() -> None:
    noted = Noted(send=[OutputError("no answer")])
    with sink(noted, "inform") as heard:
        heard.wait("up")
        heard.channel.send(message(1))
        heard.channel.send(message(2))
        assert heard.wait("sent")["trigger"] == 2 and heard.wait("dropped")["trigger"] == 1
        assert heard.whats() == ["up", "dropped", "sent"]


@pytest.mark.parametrize("role", ["verdict", "inform"])
def test_a_bug_of_its_own_takes_it_down_too(role: Role) -> None:
    with sink(Noted(send=[ZeroDivisionError("x")]), role) as heard:
        heard.wait("up")
        heard.channel.send(message(1))
        assert heard.wait("down")["why"] == "ZeroDivisionError: x"
        heard.wait("up", 2)


@pytest.mark.parametrize("what", ["open", "beat"])
def test_one_that_cannot_open_or_beat_is_down_until_it_can(what: str) -> None:
    with sink(Noted(**{what: [OutputError("no")]})) as heard:
        if what == "beat":
            heard.wait("up")
            heard.channel.send({"is": "beat", "ready": True})
            heard.wait("beaten")
        assert heard.wait("down")["why"] == "no"
        heard.wait("up", 1 if what == "open" else 2)


def test_a_line_that_says_nothing_any_more_is_not_ready() -> None:
    noted = Noted()
    with sink(noted, silence=0.3) as heard:
        heard.wait("up")
        heard.channel.send({"is": "beat", "ready": True})
        until = time.monotonic() + 30
        while ("beat", False) not in noted.asked:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert noted.asked[: noted.asked.index(("beat", False))] == ["open", ("beat", True)]


def test_a_change_of_its_health_is_told() -> None:
    noted = Noted()
    with sink(noted) as heard:
        assert heard.wait("health")["ok"] is True
        noted.well = False
        assert heard.wait("health", 2) == {"is": "health", "ok": False, "detail": "", "counts": {"n": 1}}


def test_a_sink_whose_closing_fails_is_closed_all_the_same() -> None:
    with sink(
        Noted(close=[RuntimeError("x")] * 9, beat=[RuntimeError("x")] * 9, send=[OutputError("y")])
    ) as heard:
        heard.wait("up")
        heard.channel.send(message(1))
        heard.wait("up", 2)
