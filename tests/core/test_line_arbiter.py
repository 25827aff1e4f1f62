"""The arbiter, row by row of the fail-safe table: one verdict for each trigger, in time, whatever happens."""

from __future__ import annotations

import math

import pytest

from edgead.line.events import Ready
from edgead.line.matching import MOST_GAP
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


def test_a_score_in_time_is_the_verdict() -> None:
    line = Turned().ready()
    (hand,) = of(Hand, line.shot(7, encoder=1234))
    assert (hand.judge, hand.trigger, hand.shot.slot) == ("top/0", 1, 1)
    line.wait(10)
    say, free = line.score("top/0", 1, 3.0)
    verdict = say.verdict
    assert (verdict.decision, verdict.why, verdict.score, verdict.threshold) == ("reject", "score", 3.0, 2.0)
    assert (verdict.part, verdict.frame_id, verdict.encoder, verdict.bundle) == ("7", 7, 1234, "b" * 64)
    assert (verdict.times.trigger, verdict.times.judged) == (1000 * MS, 1010 * MS)
    assert free == Free("top", 1)
    line.shot(8)
    line.score("top/0", 2, 2.0)
    assert line.verdicts()[-1].decision == "accept", "a score at the threshold isn't over it"


def test_a_late_score_is_logged_and_never_sent() -> None:
    line = Turned().ready()
    line.shot(1)
    line.wait(DEADLINE - 1)
    assert not line.verdicts()
    (say,) = of(Say, line.wait(1))
    assert (say.verdict.why, say.verdict.decision, say.verdict.score) == ("deadline", "reject", None)
    assert line.now == 1000 + DEADLINE
    assert not of(Free, line.new), "the judge still reads the slot"
    line.wait(5)
    late, free = line.score("top/0", 1, 3.0)
    assert isinstance(late, Late) and (late.trigger, late.late_ns, late.scored.score) == (1, 5 * MS, 3.0)
    assert free == Free("top", 1) and len(line.verdicts()) == 1


def test_an_answer_that_comes_with_the_deadline_is_late() -> None:
    line = Turned().ready()
    line.shot(1)
    line.now += DEADLINE  # nobody ticked
    actions = line.score("top/0", 1)
    assert [type(action) for action in actions] == [Say, Late, Free]
    assert line.whys() == ["deadline"]


def test_the_deadline_counts_from_the_trigger_and_not_from_the_image() -> None:
    line = Turned([CameraRules("top", told=True, window=50 * MS)]).ready()
    line.wait(100)
    line.call("trigger", line.now * MS)
    line.wait(40)
    line.shot(5)
    (say,) = of(Say, line.wait(DEADLINE - 40))
    assert say.verdict.why == "deadline" and line.now == 1100 + DEADLINE


def test_an_image_that_comes_after_its_deadline_is_not_judged() -> None:
    line = Turned().ready()
    line.wait(200)
    actions = line.shot(1, grabbed=(line.now - DEADLINE) * MS)
    assert not of(Hand, actions) and line.whys() == ["deadline"] and of(Free, actions)


def test_a_hung_judge_loses_its_place_at_the_deadline_and_its_life_later() -> None:
    line = Turned().ready()
    line.shot(1)
    line.wait(DEADLINE)
    (hand,) = of(Hand, line.shot(2))
    assert hand.judge == "top/1", "the standby is promoted at the first missed deadline"
    line.score("top/1", 2)
    (end,) = of(End, line.wait(HUNG))
    assert end == End("top/0", "it hung")
    assert not of(Free, [action for _, action in line.done if action == Free("top", 1)])
    assert not of(End, line.wait(HUNG)), "it's killed once"
    (free,) = line.call("judge_gone", "top/0")
    assert free == Free("top", 1)
    assert line.whys() == ["deadline", "score"] and line.is_ready


def test_a_late_judge_that_answers_stands_by_from_then_on() -> None:
    line = Turned().ready()
    line.shot(1)
    line.wait(DEADLINE)
    line.shot(2)
    line.score("top/0", 1)
    line.wait(DEADLINE)
    (hand,) = of(Hand, line.shot(3))
    assert hand.judge == "top/0"


def test_without_a_standby_images_wait_for_the_late_judge() -> None:
    line = Turned().ready("top/0")
    line.shot(1)
    line.wait(DEADLINE)
    assert not of(Hand, line.shot(2)) and line.is_ready
    (late, *_, hand) = line.score("top/0", 1)
    assert isinstance(late, Late) and hand == Hand("top/0", 2, "top", hand.shot)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("of_what", ["score", "threshold"])
def test_what_is_not_finite_is_an_error(score: float, of_what: str) -> None:
    line = Turned().ready()
    line.shot(1)
    line.score("top/0", 1, **{of_what: score})
    assert line.whys() == ["error"] and line.verdicts()[0].decision == "reject"


def test_a_judge_that_raises_costs_one_verdict_and_three_in_a_row_cost_it_its_place() -> None:
    line = Turned().ready()
    for frame in range(1, 3):
        line.shot(frame)
        line.call("failed", "top/0", frame)
    line.shot(3)
    line.score("top/0", 3)
    for frame in range(4, 7):
        line.shot(frame)
        actions = line.call("failed", "top/0", frame)
    assert line.whys() == ["error"] * 2 + ["score"] + ["error"] * 3
    assert of(End, actions) == [End("top/0", "it failed 3 times in a row")]
    (hand,) = of(Hand, line.shot(7))
    assert hand.judge == "top/1"


def test_a_crash_costs_the_image_in_hand_and_the_others_go_to_the_standby() -> None:
    line = Turned().ready()
    line.shot(1)
    line.shot(2)
    actions = line.call("judge_gone", "top/0")
    assert [type(action) for action in actions] == [Say, Free, Hand]
    assert line.whys() == ["crash"] and actions[-1].judge == "top/1" and actions[-1].trigger == 2
    line.score("top/1", 2)
    line.call("judge_ready", "top/0", "b" * 64)
    assert of(Hand, line.shot(3))[0].judge == "top/1", "the new one stands by"


def test_without_any_judge_the_verdict_is_said_at_once_and_the_line_is_not_ready() -> None:
    line = Turned()
    line.call("camera_open", "top")
    assert not line.is_ready
    line.shot(1)
    assert line.whys() == ["no-judge"]
    line.ready("top/0")
    assert line.is_ready
    line.shot(2)
    line.shot(3)
    line.call("judge_gone", "top/0")
    assert line.whys() == ["no-judge", "crash", "no-judge"] and not line.is_ready


def test_a_full_queue_is_said_at_once() -> None:
    line = Turned([CameraRules("top", queue=2)]).ready()
    for frame in range(1, 5):
        line.shot(frame)
    assert line.whys() == ["overrun"] and line.verdicts()[0].trigger == 4
    assert of(Free, line.new) == [Free("top", 4)]
    line.score("top/0", 1)
    line.score("top/0", 2)
    line.score("top/0", 3)
    assert line.whys() == ["overrun", "score", "score", "score"]


def test_no_free_slot_is_an_overrun_too() -> None:
    line = Turned().ready()
    line.shot(1, slot=None, problem="no slot is free", overrun=True)
    assert line.whys() == ["overrun"]


def test_each_number_that_the_cameras_count_leaves_out_has_its_verdict() -> None:
    line = Turned().ready()
    line.shot(10)
    line.shot(14)
    assert [(v.part, v.why) for v in line.verdicts()] == [(p, "no-image") for p in ("11", "12", "13")]
    line.score("top/0", 1)
    line.score("top/0", 5)
    assert [(v.trigger, v.part) for v in line.verdicts()[3:]] == [(1, "10"), (5, "14")]


def test_an_incomplete_buffer_is_no_image() -> None:
    line = Turned().ready()
    line.shot(1, slot=None, problem="12 packets are missing")
    line.shot(2, problem="half of it is there")
    assert line.whys() == ["no-image"] * 2
    assert of(Free, line.new) == [Free("top", 2)]


@pytest.mark.parametrize("then", [5, 4, 5 + MOST_GAP + 1, None])
def test_a_count_that_does_not_go_on_is_never_guessed(then: int | None) -> None:
    line = Turned().ready()
    line.shot(5)
    line.score("top/0", 1)
    actions = line.shot(then)
    assert of(Reopen, actions) == [Reopen("top")] and not of(Hand, actions) and not line.is_ready
    assert line.whys() == ["score", "uncorrelated"] and of(Free, actions)
    assert not of(Reopen, line.shot(6)), "asked once"
    assert line.whys()[-1] == "uncorrelated"
    line.call("camera_open", "top")
    assert line.is_ready and of(Hand, line.shot(1))


def test_a_camera_that_does_not_count_is_taken_at_its_word() -> None:
    line = Turned().ready()
    for trigger in (1, 2):
        line.shot(None)
        line.score("top/0", trigger)
    assert [(v.part, v.why) for v in line.verdicts()] == [("1", "score"), ("2", "score")]


def test_a_lost_camera_takes_readiness_and_the_triggers_that_wait_for_it() -> None:
    line = Turned([CameraRules("top", told=True, window=50 * MS)]).ready()
    line.wait(100)
    line.call("trigger", line.now * MS, "part 1")
    line.call("camera_lost", "top")
    assert line.whys() == ["no-image"] and line.verdicts()[0].part == "part 1" and not line.is_ready
    line.call("trigger", line.now * MS, "part 2")
    assert line.whys() == ["no-image"] * 2, "told of while the camera is away: at once"
    line.call("camera_open", "top")
    assert line.is_ready


def test_a_camera_that_nothing_is_heard_of_takes_readiness_and_no_trigger() -> None:
    line = Turned().ready()
    line.shot(1)
    line.call("camera_silent", "top", True)
    assert not line.is_ready and not line.verdicts()
    line.score("top/0", 1)
    line.call("camera_silent", "top", False)
    assert line.is_ready and line.whys() == ["score"]
    line.shot(3)
    assert line.whys() == ["score", "no-image"], "its count goes on"


def test_a_sink_that_takes_part_in_the_verdict_is_part_of_being_ready() -> None:
    line = Turned(sinks=["plc"]).ready()
    assert not line.is_ready
    line.call("sink", "plc", True)
    assert line.is_ready
    line.call("sink", "plc", False)
    assert not line.is_ready
    assert [reason.code for reason in of(Ready, line.new)[0].reasons] == ["line-sink-away"]
    line.shot(1)
    line.score("top/0", 1)
    assert line.whys() == ["score"], "verdicts are said all the same, for the other sinks"


def test_the_failsafe_is_what_the_rules_say() -> None:
    line = Turned(failsafe="accept").ready()
    line.shot(1)
    line.wait(DEADLINE)
    assert [(v.why, v.decision) for v in line.verdicts()] == [("deadline", "accept")]


def test_a_line_that_stops_is_not_ready_again_after_a_verdict_of_the_failsafe() -> None:
    line = Turned(stops=True).ready()
    line.shot(1)
    line.score("top/0", 1, 3.0)
    assert line.is_ready, "a rejected part isn't a fault"
    line.shot(3)
    line.score("top/0", 3)
    assert line.whys() == ["score", "no-image", "score"] and not line.is_ready
    line.call("camera_lost", "top")
    line.call("camera_open", "top")
    assert not line.is_ready


def test_the_end_says_what_is_pending() -> None:
    line = Turned().ready()
    line.shot(1)
    line.shot(2)
    line.call("stop")
    assert line.whys() == ["stopped"] * 2 and line.arbiter.pending == 0 and not line.is_ready
    line.shot(3)
    assert line.whys() == ["stopped"] * 3
    assert [type(action) for action in line.score("top/0", 1)] == [Late, Free]


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    line = Turned().ready()
    line.shot(1)
    assert line.score("top/1", 1) == [] and line.score("top/0", 2) == []
    line.score("top/0", 1)
    assert line.score("top/0", 1) == [] and line.whys() == ["score"]


def test_two_cameras_have_judges_and_counts_of_their_own() -> None:
    line = Turned([CameraRules("top"), CameraRules("side")])
    line.ready("top/0", "side/0")
    (a,), (b,) = of(Hand, line.shot(5)), of(Hand, line.shot(9, camera="side"))
    assert (a.judge, a.trigger, b.judge, b.trigger) == ("top/0", 1, "side/0", 2)
    line.call("judge_gone", "side/0")
    line.score("top/0", 1)
    assert [(v.camera, v.part, v.why) for v in line.verdicts()] == [
        ("side", "9", "crash"),
        ("top", "5", "score"),
    ]


# ---------------------------------------------------------------- triggers that are told of


def told(window: int = 30) -> Turned:
    line = Turned([CameraRules("top", told=True, window=window * MS)]).ready()
    line.wait(100)
    return line


def part(line: Turned, frame_id: int | None, after: int = 5, period: int = 100) -> None:
    """One part: its trigger, its image where it has one, and its score."""
    line.call("trigger", line.now * MS)
    line.wait(after)
    if frame_id is not None:
        for hand in of(Hand, line.shot(frame_id)):
            line.score(hand.judge, hand.trigger, frame_id, 1e9)
    line.wait(period - after)


def scores(line: Turned) -> list[tuple[int, float | None]]:
    return [(v.trigger, v.score) for v in line.verdicts()]


def test_triggers_and_images_go_together_by_the_cameras_count() -> None:
    line = told()
    for frame in (40, 41, 42):
        part(line, frame)
    assert scores(line) == [(1, 40), (2, 41), (3, 42)]


def test_an_image_may_come_before_the_word_of_its_trigger() -> None:
    line = told()
    part(line, 40)
    at = line.now
    line.shot(41)
    line.wait(8)
    (hand,) = of(Hand, line.call("trigger", line.now * MS))
    line.wait(1)
    line.score(hand.judge, 2, 41)
    assert scores(line) == [(1, 40), (2, 41)]
    assert line.verdicts()[-1].times.trigger == at * MS, "it was triggered by then"


def test_an_image_that_comes_after_its_triggers_deadline_is_dropped() -> None:
    line = told(window=DEADLINE + 50)
    line.wait(DEADLINE + 50)
    line.call("trigger", line.now * MS)
    line.wait(DEADLINE)
    assert line.whys() == ["deadline"]
    assert line.shot(1) == [Free("top", 1)]


def test_a_lost_image_costs_its_own_trigger_alone() -> None:
    line = told()
    part(line, 40)
    part(line, None)
    part(line, 42)
    assert [(v.trigger, v.why) for v in line.verdicts()] == [(1, "score"), (2, "no-image"), (3, "score")]
    assert scores(line)[-1] == (3, 42)


def test_of_close_triggers_the_lost_one_is_told_by_the_next_ones_image() -> None:
    line = told(window=50)
    part(line, 40)
    line.call("trigger", line.now * MS)
    line.wait(5)
    line.call("trigger", line.now * MS)
    line.wait(5)
    line.shot(42)
    assert [(v.trigger, v.why) for v in line.verdicts()[1:]] == [(2, "no-image")]
    line.score("top/0", 3)
    assert line.whys() == ["score", "no-image", "score"]


def test_a_trigger_that_the_camera_never_got_shifts_nothing() -> None:
    """Trigger 2 doesn't reach the camera: the image of trigger 3 then has trigger 2's number."""
    line = told()
    part(line, 40)
    part(line, None)
    part(line, 41)
    assert [(v.trigger, v.why) for v in line.verdicts()] == [
        (1, "score"), (2, "no-image"), (3, "uncorrelated"),
    ]  # fmt: skip
    assert not line.is_ready and of(Reopen, [a for _, a in line.done]) == [Reopen("top")]
    part(line, 42)
    assert line.whys()[-1] == "no-image", "nothing is taken before the camera is open anew"
    line.call("camera_open", "top")
    line.wait(100)
    part(line, 0)
    part(line, 1)
    assert line.is_ready and scores(line)[-2:] == [(5, 0), (6, 1)]


def test_an_image_without_any_trigger_is_nobodys() -> None:
    line = told()
    part(line, 40)
    line.shot(41)
    actions = line.wait(31)
    assert of(Reopen, actions) and of(Free, actions) == [Free("top", 2)] and not line.is_ready
    assert line.whys() == ["score"], "there's no trigger that could have a verdict"


def test_a_camera_that_does_not_count_goes_with_no_trigger() -> None:
    line = told()
    line.call("trigger", line.now * MS)
    line.shot(None)
    assert line.whys() == ["uncorrelated"] and not line.is_ready


def test_two_triggers_before_the_first_image_are_not_guessed_between() -> None:
    line = told()
    line.call("trigger", line.now * MS)
    line.wait(5)
    line.call("trigger", line.now * MS)
    line.shot(1)
    assert line.whys() == ["uncorrelated"] * 2


def test_right_after_opening_what_comes_may_be_from_before() -> None:
    line = Turned([CameraRules("top", told=True, window=30 * MS)]).ready()
    line.wait(10)
    line.call("trigger", line.now * MS)
    assert line.whys() == ["uncorrelated"]


def test_a_parts_name_is_the_plcs_and_cut_where_it_is_long() -> None:
    line = told()
    line.call("trigger", line.now * MS, "x" * 100)
    line.wait(DEADLINE)
    assert line.verdicts()[0].part == "x" * 64


def test_a_trigger_from_the_future_is_from_now() -> None:
    line = told()
    at = line.now * MS
    line.call("trigger", at + 10_000 * MS)
    line.wait(DEADLINE)
    assert line.whys() == ["no-image"] and line.verdicts()[0].times.trigger == at


def test_more_triggers_than_may_wait_are_answered_at_once() -> None:
    line = told(window=50)
    part(line, 40)
    for _ in range(300):
        line.call("trigger", line.now * MS)
    assert len(line.verdicts()) >= 1 + 256 and {*line.whys()[1:]} <= {"uncorrelated", "no-image"}
    assert line.arbiter.pending == 0
