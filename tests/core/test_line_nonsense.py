"""What a line's own process bears of its others: nonsense, silence that is its own fault, and no more files.

None of it may end the line, take a slot for ever, or have a verdict come late.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgead.line.channel import Channel, Message
from edgead.line.config import line_of
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.events import Shot
from edgead.line.hearing import Told
from edgead.line.lens import Lens, Misunderstood
from edgead.line.processes import Child, Children
from edgead.notices import Notice

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

SHOT = {"is": "shot", "slot": 0, "problem": None, "grabbed": 1, "shape": [4, 4], "dtype": "uint8",
        "frame_id": 1, "camera_ns": None, "encoder": None, "depth": None}  # fmt: skip
SCORED = {"is": "scored", "trigger": 1, "score": 1.0, "threshold": 2.0, "anomalous": False, "regions": []}


class Process:
    """Stands for one that runs."""

    pid = 0
    killed = False

    def kill(self) -> None:
        self.killed = True

    def poll(self) -> None:
        return None


def core(told: list[Told] | None = None) -> Core:
    """A line whose processes are there in name."""
    document = {
        "line": {"beat_ms": 10},
        "camera": [{"name": "top", "source": "generated", "bundle": "none"}],
        "sink": [{"kind": "file"}],
        "log": {},
        "page": {},
    }
    line = line_of(document, "a test", Path.cwd())
    made = Core(Plan(line, {"top": Path("none")}, stand_in=True), ([] if told is None else told).append)
    for child in made._crew.children.all:
        child.process, child.again, child.up = Process(), None, True  # type: ignore[assignment]
    return made


@pytest.fixture
def running() -> Any:
    made = core()
    yield made
    for child in made._crew.children.all:
        child.process = None
    made._crew.close()


def child_of(core: Core, kind: str) -> Child:
    return next(each for each in core._crew.children.all if each.kind == kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("camera", {}),
        ("camera", {**SHOT, "grabbed": float("inf")}),
        ("camera", {**SHOT, "grabbed": -(10**400)}),
        ("camera", {**SHOT, "frame_id": "7"}),
        ("camera", {**SHOT, "frame_id": True}),
        ("camera", {**SHOT, "shape": [float("nan"), 4]}),
        ("camera", {**SHOT, "slot": 10**30}),
        ("camera", {**SHOT, "slot": [0]}),
        ("camera", {"is": "open", "epoch": 10**400, "x": 0} | {"is": "lost"}),
        ("judge", {**SCORED, "regions": [[float("inf"), 0, 1, 1, 1, 1.0]]}),
        ("judge", {**SCORED, "regions": 5}),
        ("judge", {**SCORED, "trigger": {}, "map": {"data": ""}}),
        ("judge", {**SCORED, "score": 10**400}),
        ("judge", {"is": "ready", "identity": "x", "runs_on": "x", "seconds": 10**400, "bundle": "b"}),
        ("sink", {"is": "trigger", "at": float("inf"), "part": "1"}),
        ("sink", {"is": "trigger", "at": -(10**400), "part": "1"}),
        ("sink", {"is": "health", "ok": False, "detail": "", "counts": 5}),
        ("recorder", {"is": "lost", "rows": float("inf"), "why": ""}),
        ("recorder", {"is": "done", "number": float("nan")}),
        ("recorder", {"is": "said", "code": "line-sink-ill", "values": {}}),
        ("page", {"is": "up"}),
    ],
)
def test_nonsense_costs_the_process_that_says_it_and_nothing_else(
    running: Core, kind: str, message: Message
) -> None:
    child = child_of(running, kind)
    running._hearing.hear(child, message)
    assert child.process is not None and child.process.killed  # type: ignore[attr-defined]
    running._perform()
    running._wait()
    running._watch(time.monotonic())
    assert running._crew.lenses["top"].free == list(range(running._crew.lenses["top"].ring[1]))


def test_a_name_of_any_kind_becomes_a_text(running: Core) -> None:
    running.arbiter._told["top"] = SimpleNamespace(  # type: ignore[assignment]
        trigger=lambda *_: SimpleNamespace(failed=[], dropped=[], found=[], reopen=False),
        expire=lambda _: SimpleNamespace(failed=[], dropped=[], found=[], reopen=False),
        next_at=None,
    )
    running._hearing.hear(child_of(running, "sink"), {"is": "trigger", "at": 1, "part": ["<b>"] * 50})
    assert running.arbiter._pending[1].part == str(["<b>"] * 50)[:64]


@pytest.mark.parametrize("text", [b"[" * 400_000, b'{"a":' * 100_000, b"\xff\xfe", b"7", b"1" * 9000])
def test_what_is_no_message_closes_the_channel(text: bytes) -> None:
    ours, theirs = Channel.pair()

    def send() -> None:
        theirs.sendall(struct.pack(">I", len(text)) + text)

    sending = threading.Thread(target=send)
    sending.start()
    found: list[Message] = []
    while not ours.closed and not found:
        found += ours.receive(1.0)
    sending.join()
    ours.close()
    theirs.close()
    assert not found


def test_one_who_says_very_much_has_no_verdict_come_late(
    running: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, at = child_of(running, "page"), time.monotonic_ns()
    running.arbiter.judge_ready(at, "top/0", "b" * 64)
    running.arbiter.camera_open(at, "top")
    running.arbiter.shot(at, "top", Shot(0, at, (4, 4)))
    heard = []

    def messages(_: float) -> Any:
        due = at + running.arbiter.rules.deadline
        while time.monotonic_ns() < due + 50_000_000:
            yield page, {"is": "alive"}
        heard.append(running.arbiter.pending)

    monkeypatch.setattr(running._crew.children, "messages", messages)
    monkeypatch.setattr(running._crew.children, "start_due", lambda now: None)
    running._turn()
    assert heard == [0], "it was said while they were heard"


def test_who_was_silent_while_the_line_itself_stood_still_is_not_killed() -> None:
    told: list[Told] = []
    line = core(told)
    try:
        now = time.monotonic()
        for child in line._crew.children.all:
            child.heard = now - 60
        line._turned = now - 60
        line._watch(now)
        assert not any(child.process.killed for child in line._crew.children.all)  # type: ignore[union-attr]
        assert [t.code for t in told if isinstance(t, Notice)] == ["line-stalled"]
        for child in line._crew.children.all:
            child.heard = now - 60
        line._watch(now + 0.01)
        assert child_of(line, "judge").process.killed  # type: ignore[union-attr]
    finally:
        for child in line._crew.children.all:
            child.process = None
        line._crew.close()


def test_a_process_that_cannot_be_started_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> Any:
        raise OSError(24, "Too many open files")

    children = Children(Path.cwd())
    child = children.add(Child("top/0", "judge", dict))
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", none_left)
        children.start_due(1.0)
    assert [(each.name, why) for each, why in children.ended(1.0)] == [
        ("top/0", "it can't be started (OSError: [Errno 24] Too many open files)")
    ]
    assert list(children.ended(1.0)) == [] and child.again is not None and child.again > 1.0
    children.end_all(0.1)


def test_a_shot_that_is_nonsense_takes_no_slot() -> None:
    lens = Lens(2, 1 << 20)
    with pytest.raises(Misunderstood):
        lens.shot(json.loads(json.dumps({**SHOT, "encoder": 1.5})))
    assert 0 in lens.free and lens.shot(dict(SHOT)).slot == 0 and 0 not in lens.free
    lens.close()
