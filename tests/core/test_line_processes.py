"""Lines with real processes, which break where a script says so: each trigger has its one verdict anyway.

What is counted is what the virtual PLC saw. Limits on time are generous: a machine that tests run on is busy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgead.line.config import Line, line_of
from edgead.line.events import Late, Ready
from edgead.line.faults import Fault, drawn
from edgead.line.hearing import Told
from edgead.line.simulate import Outcome, Wishes, simulate
from edgead.notices import Notice
from edgead.types import Verdict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

EPSILON_MS = 2000.0


def line(trigger: str = "camera", **table: Any) -> Line:
    camera = {"name": "top", "source": "generated", "bundle": "none", "trigger": trigger, "grab_ms": 60}
    own = {"deadline_ms": 600, "hung_ms": 800, **table}
    return line_of({"line": own, "camera": [camera], "sink": [{"kind": "file"}]}, "a test", Path.cwd())


def run(
    faults: Sequence[Fault], trigger: str = "camera", parts: int = 30, rate: float = 12, **table: Any
) -> tuple[Outcome, dict[str, Verdict], list[Told]]:
    """The outcome, verdicts by part, and all that the line said."""
    told: list[Told] = []
    wishes = Wishes(parts, rate, faults, stand_in=True)
    outcome = simulate(line(trigger, **table), wishes, {}, told.append)
    assert outcome.faults(EPSILON_MS) == []
    return outcome, {each.part: each for each in told if isinstance(each, Verdict)}, told


def codes(told: Sequence[Told], name: str = "") -> list[str]:
    return [t.code for t in told if isinstance(t, Notice) and name in str(t.values)]


def test_judges_that_break_cost_what_they_had_in_hand() -> None:
    faults = [
        Fault(3, "judge-raise"),
        Fault(6, "judge-nan"),
        Fault(9, "judge-crash"),
        Fault(18, "judge-stop"),
        Fault(20, "judge-slow", seconds=0.1),
        Fault(27, "camera-stop"),
    ]
    outcome, verdicts, told = run(faults)
    assert outcome.triggers == outcome.verdicts == 27, "of what a stopped camera gets nobody hears"
    whys = {part: verdicts[part].why for part in ("3", "6", "9", "18", "20")}
    assert whys == {"3": "error", "6": "error", "9": "crash", "18": "deadline", "20": "score"}
    assert all(verdicts[part].decision == "reject" for part in ("3", "6", "9", "18"))
    assert outcome.whys["score"] >= 14 and verdicts["12"].score == 12.0
    gone = [t for t in told if isinstance(t, Notice) and t.code == "line-process-gone"]
    assert any("SIGSEGV" in str(t.values["why"]) for t in gone)
    assert any(t.values["why"] == "it hung" for t in gone)
    reasons = [reason.code for t in told if isinstance(t, Ready) for reason in t.reasons]
    assert "line-camera-silent" in reasons, "and the line isn't ready"


def test_a_late_score_is_logged_and_no_sink_gets_it() -> None:
    outcome, verdicts, told = run([Fault(5, "judge-slow", seconds=0.8)], parts=12, hung_ms=5000)
    (late,) = [each for each in told if isinstance(each, Late)]
    assert late.part == "5" and late.scored is not None and late.scored.score == 5.0
    assert verdicts["5"].why == "deadline" and outcome.tally["late_scores"] == 1


def test_with_told_triggers_each_has_its_verdict_whatever_the_camera_does() -> None:
    faults = [
        Fault(4, "camera-lost"),
        Fault(7, "camera-gap", count=2),
        Fault(11, "camera-missed"),
        Fault(18, "camera-gone", seconds=0.3),
        Fault(26, "camera-exit"),
    ]
    outcome, verdicts, told = run(faults, "plc", parts=36, rate=8)
    assert outcome.told == outcome.triggers == 36 and sorted(verdicts, key=int) == [str(n) for n in range(36)]
    assert {verdicts[part].why for part in ("4", "7", "8", "11", "18", "26")} == {"no-image"}
    assert verdicts["12"].why in ("uncorrelated", "no-image"), "its image has the number of part 11"
    assert outcome.whys["score"] >= 8
    assert "line-uncorrelated" in codes(told) and "line-camera-lost" in codes(told)


def test_a_dead_sink_takes_readiness_and_delays_no_other() -> None:
    faults = [Fault(4, "sink-gone", seconds=0.4), Fault(20, "sink-hang")]
    outcome, _, told = run(faults, parts=40, deadline_ms=2000, hung_ms=2000)
    assert outcome.verdicts == 40 and set(outcome.whys) == {"score"}
    assert outcome.tally["missed"]["plc"] == 0 and outcome.tally["missed"]["gate"] >= 2
    down = [i for i, t in enumerate(told) if isinstance(t, Ready) and "gate" in str(t.reasons)]
    assert down and any(isinstance(t, Ready) and t.ready for t in told[down[0] :])
    assert {"line-sink-down", "line-sink-up"} <= set(codes(told, "gate"))
    gone = [str(t.values["why"]) for t in told if isinstance(t, Notice) and t.code == "line-process-gone"]
    assert gone == ["it took too long over a verdict"]


def test_more_at_once_than_may_wait_is_answered_at_once() -> None:
    faults = [Fault(5, "judge-slow", seconds=0.3), Fault(6, "belt-burst", count=6)]
    outcome, verdicts, _ = run(faults, parts=20)
    assert outcome.triggers == 20
    assert [verdicts[str(part)].why for part in range(8, 12)] == ["overrun"] * 4


def test_a_line_that_stops_is_never_ready_again() -> None:
    _, _, told = run([Fault(3, "judge-raise")], parts=10, failsafe="stop")
    ready = [t for t in told if isinstance(t, Ready)]
    assert any(t.ready for t in ready) and not ready[-1].ready
    after = told[next(i for i, t in enumerate(told) if isinstance(t, Verdict) and t.why == "error") :]
    assert not any(isinstance(t, Ready) and t.ready for t in after)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_breaks_at_random(seed: int) -> None:
    run(drawn(seed, 36, 7), "plc" if seed % 2 else "camera", parts=36, rate=14)
