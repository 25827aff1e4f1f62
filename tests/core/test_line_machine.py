"""The arbiter under whatever may happen, in any order: a trigger without its one verdict is looked for."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgead.line.events import Scored
from tests.core.line_support import (
    DEADLINE,
    HUNG,
    MS,
    CameraRules,
    End,
    Free,
    Hand,
    Late,
    Reopen,
    Say,
    Turned,
    of,
)

SLOTS = 6
CAMERAS = ("top", "side")
QUEUE = 2
UNSENT = 1e6
"""What the scores of judges that are tried out have on top."""


class World(RuleBasedStateMachine):
    """Two cameras with six slots each; a slot holds the number of the image that was written last."""

    told = False

    def __init__(self) -> None:
        super().__init__()
        rules = [CameraRules(name, self.told, 30 * MS, QUEUE) for name in CAMERAS]
        self.line = Turned(rules, ["plc"])
        self.free = {name: set(range(SLOTS)) for name in CAMERAS}
        self.slots: dict[tuple[str, int], int] = {}
        self.hands: dict[str, Hand] = {}
        self.count = dict.fromkeys(CAMERAS, 0)
        self.images = 0
        self.open = set[str]()
        self.warm = set[str]()
        self.ended = set[str]()
        self.verdicts: dict[int, Any] = {}
        self.known: dict[int, int] = {}
        self.seen = 0
        self.expected = 0  # verdicts that are owed to what the cameras and the PLC have told
        self.stopped = False
        self.judges = [f"{name}/{number}" for name in CAMERAS for number in range(2)]
        self.made = dict.fromkeys(CAMERAS, 2)
        self.candidates: dict[str, Any] = {}  # judges that are tried out
        self.by: dict[int, str] = {}  # whose answer on a trigger came first

    # ------------------------------------------------------------ what happens

    @initialize(cameras=st.sets(st.sampled_from(CAMERAS)), judges=st.integers(0, 2))
    def begins(self, cameras: set[str], judges: int) -> None:
        for name in CAMERAS:
            for number in range(judges):
                self.warm_up(f"{name}/{number}")
            if name in cameras:
                self.opens(name)

    @rule(ms=st.integers(0, 120))
    def waits(self, ms: int) -> None:
        self.line.wait(ms)

    @rule(
        camera=st.sampled_from(CAMERAS),
        gap=st.sampled_from([0, 0, 0, 1, 3]),
        age=st.sampled_from([0, 0, 5, 90]),
        problem=st.booleans() | st.just(False),
    )
    def shot(self, camera: str, gap: int, age: int, problem: bool) -> None:
        if camera not in self.open:
            return
        self.count[camera] += gap
        self.image(camera, self.count[camera], age, problem)
        self.count[camera] += 1
        if not self.told:
            self.expected += 1 + (gap if self.counted[camera] else 0)
            self.counted[camera] = True

    counted = dict.fromkeys(CAMERAS, False)

    def image(self, camera: str, frame_id: int | None, age: int = 0, problem: bool = False) -> None:
        slot = min(self.free[camera], default=None)
        self.images += 1
        fields: dict[str, Any] = {"grabbed": (self.line.now - age) * MS}
        if problem or slot is None:
            fields |= {"slot": None, "problem": "no", "overrun": slot is None and not problem}
        else:
            self.free[camera].remove(slot)
            self.slots[camera, slot] = self.images
            fields |= {"slot": slot}
        self.line.shot(frame_id, camera, **fields)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), how=st.sampled_from(["good", "good", "bad", "nan", "fails"]))
    def answers(self, data: st.DataObject, how: str) -> None:
        judge = data.draw(st.sampled_from(sorted(self.hands)))
        hand = self.hands.pop(judge)
        truth = self.slots[hand.camera, hand.shot.slot]  # type: ignore[index]
        if how == "fails":
            self.line.call("failed", judge, hand.trigger)
        else:
            score = math.nan if how == "nan" else float(truth)
            if judge in self.candidates:
                score += UNSENT
            else:
                self.by[hand.trigger] = judge
            self.line.call("scored", judge, hand.trigger, Scored(score, 0.5, how == "bad"))

    @rule(data=st.data())
    def warms(self, data: st.DataObject) -> None:
        self.warm_up(data.draw(st.sampled_from([*self.judges, *self.candidates])))

    def warm_up(self, judge: str) -> None:
        if judge not in self.warm:
            self.warm.add(judge)
            self.line.call("judge_ready", judge, judge)

    @rule(data=st.data())
    def crashes(self, data: st.DataObject) -> None:
        self.dies(data.draw(st.sampled_from([*self.judges, *self.candidates])))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def is_killed(self, data: st.DataObject) -> None:
        self.dies(data.draw(st.sampled_from(sorted(self.ended))))

    def dies(self, judge: str) -> None:
        self.warm.discard(judge)
        self.ended.discard(judge)
        self.hands.pop(judge, None)
        self.line.call("judge_gone", judge)

    # ------------------------------------------------------------ another bundle

    def new_judge(self, camera: str) -> str:
        self.made[camera] += 1
        return f"{camera}/{self.made[camera]}"

    @rule(camera=st.sampled_from(CAMERAS), images=st.integers(0, 2), warm=st.booleans())
    def tries_out(self, camera: str, images: int, warm: bool) -> None:
        if not any(judge.startswith(camera) for judge in self.candidates):
            judge = self.new_judge(camera)
            self.candidates[judge] = self.line.arbiter.try_out(camera, judge, images)
            if warm:
                self.warm_up(judge)

    @precondition(lambda self: any(shadow.outcome == "passed" for shadow in self.candidates.values()))
    @rule(data=st.data())
    def takes_over(self, data: st.DataObject) -> None:
        passed = [judge for judge, shadow in self.candidates.items() if shadow.outcome == "passed"]
        judge = data.draw(st.sampled_from(passed))
        del self.candidates[judge]
        self.judges.append(judge)
        self.line.call("take_over", judge.partition("/")[0])
        assert self.line.arbiter.active(judge.partition("/")[0]) == judge

    @rule(data=st.data())
    def is_retired(self, data: st.DataObject) -> None:
        judge = data.draw(st.sampled_from([*self.judges, *self.candidates]))
        if len(self.judges) <= 3 and judge in self.judges:
            return
        gone = self.line.arbiter.retire(self.line.now * MS, judge)
        if (
            gone
        ):  # only those that are tried out may have something in hand: the line doesn't hear them any more
            assert judge not in self.hands or self.hands.pop(judge).judge in self.candidates
            self.candidates.pop(judge, None)
            self.judges = [each for each in self.judges if each != judge]
            self.warm.discard(judge)
            self.ended.discard(judge)
        self.line._take()

    @rule(camera=st.sampled_from(CAMERAS))
    def stands_by(self, camera: str) -> None:
        self.judges.append(judge := self.new_judge(camera))
        self.line.arbiter.add_judge(camera, judge)

    @rule(data=st.data())
    def is_preferred(self, data: st.DataObject) -> None:
        self.line.call("prefer", data.draw(st.sampled_from(self.judges)))

    # ------------------------------------------------------------ cameras and the PLC

    @rule(camera=st.sampled_from(CAMERAS))
    def opens(self, camera: str) -> None:
        if camera not in self.open:
            self.open.add(camera)
            self.count[camera] = 0
            self.counted = {**self.counted, camera: False}
            self.line.call("camera_open", camera)

    @rule(camera=st.sampled_from(CAMERAS))
    def goes(self, camera: str) -> None:
        self.open.discard(camera)
        self.line.call("camera_lost", camera)

    @rule(up=st.booleans())
    def sink(self, up: bool) -> None:
        self.line.call("sink", "plc", up)

    @rule()
    def stops(self) -> None:
        self.stopped = True
        self.line.call("stop")
        assert self.line.arbiter.pending == 0

    # ------------------------------------------------------------ what must hold

    @invariant()
    def holds(self) -> None:
        for at, action in self.line.done[self.seen :]:
            self.acted(at, action)
        self.seen = len(self.line.done)
        assert not self.stopped or self.line.arbiter.pending == 0
        for camera in CAMERAS:
            bench = self.line.arbiter._benches[camera]
            assert len(bench.waiting) <= QUEUE + 1
        assert self.line.arbiter.triggers == len(self.verdicts) + self.line.arbiter.pending
        if not self.told:
            assert self.line.arbiter.triggers == self.expected
        for trigger in range(1, self.line.arbiter.triggers + 1):
            self.known.setdefault(trigger, self.line.now)

    def acted(self, at: int, action: Any) -> None:
        if isinstance(action, Hand):
            assert action.judge not in self.hands and action.judge in self.warm - self.ended
            assert action.trigger not in self.verdicts and action.judge.startswith(action.camera)
            assert action.shot.slot not in self.free[action.camera]
            self.hands[action.judge] = action
        elif isinstance(action, Free):
            assert action.slot not in self.free[action.camera], "freed twice"
            held = {(hand.camera, hand.shot.slot) for hand in self.hands.values()}
            assert (action.camera, action.slot) not in held, "freed under a judge that reads it"
            self.free[action.camera].add(action.slot)
        elif isinstance(action, Say):
            self.said(at, action.verdict)
        elif isinstance(action, End):
            assert action.judge in self.warm - self.ended, "killed twice"
            self.ended.add(action.judge)
        elif isinstance(action, Late):
            assert (action.trigger in self.verdicts and action.late_ns >= 0) or self.stopped
        elif isinstance(action, Reopen):
            self.open.discard(action.camera)

    def said(self, at: int, verdict: Any) -> None:
        assert verdict.trigger not in self.verdicts, "a second verdict"
        assert 1 <= verdict.trigger <= self.line.arbiter.triggers
        self.verdicts[verdict.trigger] = verdict
        assert (verdict.why == "score") == (verdict.score is not None)
        if verdict.score is not None:
            assert verdict.score < UNSENT, "the score of a judge that is only tried out"
            assert verdict.bundle == self.by[verdict.trigger], "another bundle's"
        if verdict.why != "score":
            assert verdict.decision == "reject"
        assert verdict.times.trigger <= verdict.times.sent == at * MS
        late = at * MS - verdict.times.trigger - DEADLINE * MS
        known = self.known.get(verdict.trigger, at)
        assert late <= 0 or (at == known and verdict.why != "score"), "late, and it was known before"

    def teardown(self) -> None:
        self.line.wait(DEADLINE + 1)
        self.holds()
        assert self.line.arbiter.pending == 0 and len(self.verdicts) == self.line.arbiter.triggers
        self.line.wait(HUNG + 1)
        self.holds()
        for judge in sorted(self.candidates):  # which whoever runs the arbiter watches
            self.dies(judge)
        for judge in sorted(self.ended):
            self.dies(judge)
        self.holds()
        assert not self.hands and all(len(free) == SLOTS for free in self.free.values()), "a slot is lost"
        assert self.line.arbiter.next_at is None
        assert not self.line.arbiter._said and not self.line.arbiter._slots, "kept for ever"


class ScoresAreTheImages(World):
    """As the world, and each score must be the one of the image that its trigger is of."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: dict[tuple[str, str], int] = {}

    def image(self, camera: str, frame_id: int | None, age: int = 0, problem: bool = False) -> None:
        super().image(camera, frame_id, age, problem)
        self.truth[camera, str(frame_id)] = self.images

    def said(self, at: int, verdict: Any) -> None:
        super().said(at, verdict)
        if verdict.score is not None:
            assert verdict.part == str(verdict.frame_id)
            assert verdict.score <= self.truth[verdict.camera, verdict.part]


class Told(World):
    """Triggers are told of as well, and images come as they like."""

    told = True

    @rule(part=st.none() | st.text(max_size=70), age=st.sampled_from([0, 0, 3, 100]))
    def trigger(self, part: str | None, age: int) -> None:
        self.line.call("trigger", (self.line.now - age) * MS, part)


HOW = settings(max_examples=60, stateful_step_count=30, deadline=None,
               suppress_health_check=[HealthCheck.too_slow])  # fmt: skip


@pytest.mark.parametrize("machine", [World, ScoresAreTheImages, Told])
def test_every_trigger_has_one_verdict_in_time_and_every_slot_comes_back(machine: type[World]) -> None:
    case = machine.TestCase
    case.settings = HOW
    case().runTest()


# ---------------------------------------------------------------- which image is which trigger's


def parts(data: Any) -> list[dict[str, Any]]:
    """Parts that come far enough apart, each with what goes wrong with it."""
    return data.draw(
        st.lists(
            st.fixed_dictionaries({
                "gap": st.integers(75, 200),
                "image": st.integers(1, 14),
                "word": st.integers(0, 14),
                "wrong": st.sampled_from(["", "", "", "", "packet", "pulse", "ghost", "word"]),
            }),
            max_size=14,
        )
    )  # fmt: skip


def run(found: list[dict[str, Any]]) -> tuple[Turned, dict[str, int]]:
    """A PLC and a camera: pulses, of which some don't reach the camera, and images of which some are lost."""
    line = Turned([CameraRules("top", told=True, window=30 * MS)]).ready()
    events: list[tuple[int, int, str, int]] = []
    at, number, truth = line.now + 50, 100, {}
    for index, each in enumerate(found):
        at += each["gap"]
        if each["wrong"] != "word":
            events.append((at + each["word"], index, "word", index))
        if each["wrong"] != "pulse":
            truth[str(index)] = number
            if each["wrong"] != "packet":
                events.append((at + each["image"], index, "image", number))
            number += 1
        if each["wrong"] == "ghost":  # by nothing, farther from every word than the window
            events.append((at + 40, index, "image", number))
            number += 1
    for when, _, what, value in sorted(events):
        line.wait(when - line.now)
        if what == "word":
            actions = line.call("trigger", line.now * MS, str(value))
        else:
            actions = line.shot(value)
        if of(Reopen, actions) or of(Reopen, [a for _, a in line.done[-3:]]):
            line.call("camera_open", "top")
        for hand in of(Hand, actions):
            line.score(hand.judge, hand.trigger, float(hand.shot.frame_id), 1e9)
    line.wait(200)
    return line, truth


def test_no_trigger_gets_another_ones_image() -> None:
    scored = 0

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def holds(data: Any) -> None:
        nonlocal scored
        line, truth = run(parts(data))
        assert line.arbiter.pending == 0
        for verdict in line.verdicts():
            if verdict.score is not None:
                scored += 1
                assert verdict.score == truth[verdict.part], "another part's image"

    holds()
    assert scored > 100, "it always gave up"


def test_what_goes_well_is_all_scored() -> None:
    line, truth = run([{"gap": 100, "image": 5, "word": word, "wrong": ""} for word in (0, 9, 3, 14, 5)])
    assert {v.part: v.score for v in line.verdicts()} == truth
