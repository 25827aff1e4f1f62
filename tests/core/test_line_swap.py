"""Another bundle while the line runs: tried beside the one that judges, and gone back from by itself."""

from __future__ import annotations

import ast
import itertools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgead.line import arbiter
from edgead.line.config import LineTable, line_of
from edgead.line.crew import Crew
from edgead.line.events import Scored
from edgead.line.faults import Fault
from edgead.line.hearing import Hearing, Told
from edgead.line.processes import Child
from edgead.line.simulate import Outcome, Wishes, simulate
from edgead.line.swapping import Found, Swapping
from edgead.notices import Notice
from edgead.types import Times, Verdict
from tests.core.line_support import MS, Free, Hand, Say, Turned, of

NEW = "top/2"


# ---------------------------------------------------------------- the arbiter


def tried(images: int = 2) -> tuple[Turned, Any]:
    """A line whose camera tries out one more judge, which is warm."""
    line = Turned().ready()
    shadow = line.arbiter.try_out("top", NEW, images)
    line.call("judge_ready", NEW, "c" * 64)
    return line, shadow


def test_both_judge_the_image_and_only_one_verdict_is_said() -> None:
    line, shadow = tried()
    hands = of(Hand, line.shot(1))
    assert [hand.judge for hand in hands] == ["top/0", NEW] and hands[0].shot == hands[1].shot
    (say,) = line.score("top/0", 1, 1.0)
    assert (say.verdict.score, say.verdict.bundle) == (1.0, "b" * 64), "the slot isn't free: the other looks"
    assert line.score(NEW, 1, 9.0) == [Free("top", 1)]
    assert (shadow.compared, shadow.differ, shadow.apart, shadow.outcome) == (1, 1, 8.0, "")
    line.shot(2)
    assert not of(Say, line.score(NEW, 2, 1.5)), "it was quicker"
    (say, free) = line.score("top/0", 2, 1.0)
    assert say.verdict.score == 1.0 and free == Free("top", 2)
    assert (shadow.compared, shadow.outcome) == (2, "passed")
    assert [hand.judge for hand in of(Hand, line.shot(3))] == ["top/0"], "it has seen enough"


def test_it_has_one_image_at_a_time_and_nothing_waits_for_it() -> None:
    line, shadow = tried()
    line.shot(1)
    line.score("top/0", 1)
    assert [hand.judge for hand in of(Hand, line.shot(2))] == ["top/0"]
    line.score("top/0", 2)
    line.score(NEW, 1)
    assert [hand.judge for hand in of(Hand, line.shot(3))] == ["top/0", NEW]
    assert line.whys() == ["score"] * 2 and shadow.compared == 1


def test_what_the_active_judge_could_not_judge_counts_for_nothing() -> None:
    line, shadow = tried()
    line.shot(1)
    line.call("failed", NEW, 1)
    line.call("failed", "top/0", 1)
    line.shot(2)
    line.wait(100)
    line.score(NEW, 2)
    assert (shadow.compared, shadow.outcome) == (0, "") and line.whys() == ["error", "deadline"]


@pytest.mark.parametrize("how", ["fails", "nan", "gone"])
def test_one_that_cannot_judge_what_the_other_can_does_not_pass(how: str) -> None:
    line, shadow = tried()
    line.shot(1)
    if how == "gone":
        line.call("judge_gone", NEW)
    elif how == "fails":
        line.call("failed", NEW, 1)
    else:
        line.call("scored", NEW, 1, Scored(math.nan, 1.0, True))
    line.score("top/0", 1)
    assert shadow.outcome == ("gone" if how == "gone" else "failed") and line.whys() == ["score"]
    assert Free("top", 1) in [action for _, action in line.done]


def test_at_the_flip_what_the_old_judge_has_in_hand_is_still_its_own() -> None:
    line, _ = tried(images=0)
    line.shot(1)
    line.shot(2)
    (hand,) = of(Hand, line.call("take_over", "top"))
    assert (hand.judge, hand.trigger) == (NEW, 2), "what waited goes to the new one"
    line.score(NEW, 2, 3.0)
    line.score("top/0", 1, 1.0)
    told = {verdict.trigger: (verdict.bundle, verdict.decision) for verdict in line.verdicts()}
    assert told == {1: ("b" * 64, "accept"), 2: ("c" * 64, "reject")}
    line.shot(3)
    line.wait(100)
    assert line.verdicts()[-1].why == "deadline" and line.verdicts()[-1].bundle == "c" * 64


def test_the_old_one_stands_by_and_takes_over_at_once() -> None:
    line, _ = tried(images=0)
    line.call("take_over", "top")
    line.shot(1)
    line.shot(2)
    actions = line.call("judge_gone", NEW)
    assert line.whys() == ["crash"] and line.verdicts()[0].bundle == "c" * 64
    (hand,) = of(Hand, actions)
    line.score(hand.judge, 2)
    assert line.verdicts()[1].bundle == "b" * 64 and line.is_ready


def test_a_judge_with_an_image_in_hand_is_not_retired() -> None:
    line = Turned().ready()
    line.shot(1)
    assert not line.arbiter.retire(line.now * MS, "top/0")
    line.score("top/0", 1)
    assert line.arbiter.retire(line.now * MS, "top/0")
    assert [hand.judge for hand in of(Hand, line.shot(2))] == ["top/1"]


# ---------------------------------------------------------------- who takes over, and who goes


class Crewed:
    """A crew without processes."""

    def __init__(self) -> None:
        self.cameras = {"top": None}
        self.candidates = set[str]()
        self.judges = {f"top/{number}": SimpleNamespace(name=f"top/{number}") for number in range(2)}
        self.runs = {"top": (Path("old"), "old")}
        self.identities = {Path("old"): "old"}

    def add_judge(self, camera: str, bundle: Path, candidate: bool = False) -> str:
        name = f"{camera}/{max(int(each.partition('/')[2]) for each in self.judges) + 1}"
        self.judges[name] = SimpleNamespace(name=name)
        self.candidates |= {name} if candidate else set()
        return name

    def end_judge(self, name: str) -> None:
        del self.judges[name]

    def let_run(self, name: str) -> None:
        pass

    def now_runs(self, camera: str, name: str) -> None:
        self.runs[camera] = (Path("new"), "new")

    def judges_of(self, camera: str) -> list[Any]:
        return [judge for name, judge in self.judges.items() if name not in self.candidates]


class Swapped:
    """A line whose new bundle judges by now, on trial."""

    def __init__(self, before: Sequence[str] = (), **own: Any) -> None:
        self.line, self.crew, self.codes = Turned().ready(), Crewed(), list[str]()
        table = LineTable(shadow=0, trial=5, **own)
        told = lambda notice: self.codes.append(notice.code)  # noqa: E731
        self.swapping = Swapping(self.crew, self.line.arbiter, None, table, told)  # type: ignore[arg-type]
        for why in before:
            self.swapping.said(replace(BLANK, why=why))  # type: ignore[arg-type]
        self.swapping.offer(Found("top", Path("new"), "new"))
        self.turn()
        self.line.call("judge_ready", NEW, "c" * 64)
        self.turn()
        assert self.line.arbiter.active("top") == NEW and "top/0" in self.crew.judges

    def turn(self) -> None:
        self.swapping.turn(self.line.now * MS)

    def says(self, *whys: str) -> None:
        for why in whys:
            self.swapping.said(replace(BLANK, why=why, bundle="c" * 64))  # type: ignore[arg-type]
        self.turn()
        self.turn()


BLANK = Verdict("0" * 16, 1, "1", "top", "reject", "score", None, None, (), "b" * 64, Times(0))


def test_more_of_the_fail_safes_verdicts_than_before_end_a_trial() -> None:
    swapped = Swapped()
    swapped.says("deadline", "score", "error", "no-image", "no-image")
    assert swapped.codes[-1] == "line-swap-judges", "two may be, and a lost image is the camera's"
    swapped = Swapped()
    swapped.says("deadline", "overrun", "error")
    assert swapped.codes[-1] == "line-swap-back" and swapped.line.arbiter.active("top") == "top/0"
    assert swapped.crew.runs["top"] == (Path("old"), "old") and NEW not in swapped.crew.judges
    swapped = Swapped(before=["deadline"])
    swapped.says("deadline", "overrun", "error")
    assert swapped.codes[-1] == "line-swap-judges", "the one before was no better"


def test_the_old_one_goes_once_a_second_judge_of_the_new_one_is_warm() -> None:
    swapped = Swapped()
    swapped.says(*["score"] * 5)
    assert set(swapped.crew.judges) == {"top/0", NEW, "top/3"}
    swapped.line.call("judge_ready", "top/3", "c" * 64)
    swapped.turn()
    swapped.turn()
    assert set(swapped.crew.judges) == {NEW, "top/3"} and swapped.codes[-1] == "line-swap-done"


def test_a_new_bundle_that_no_judge_is_left_of_is_given_up_after_its_trial_too() -> None:
    swapped = Swapped()
    swapped.says(*["score"] * 5)
    swapped.line.call("judge_gone", NEW)
    swapped.turn()
    assert swapped.line.arbiter.active("top") is None and "line-swap-back" not in swapped.codes
    swapped.swapping.offer(Found("top", Path("newer"), "newer"))
    swapped.turn()
    assert swapped.codes[-1] == "line-swap-back" and swapped.line.arbiter.active("top") == "top/0"
    swapped.turn()
    assert swapped.codes[-1] == "line-swap-tries"


def test_a_rollback_while_on_trial_is_done_at_once_by_the_one_that_stands_by() -> None:
    swapped = Swapped()
    swapped.says("score")
    swapped.swapping.offer(Found("top", Path("old"), "old"))
    swapped.turn()
    assert swapped.line.arbiter.active("top") == "top/0", "nobody waits for the trial's end, nor for another"
    assert swapped.codes[-2:] == ["line-swap-back", "line-swap-same"]
    assert swapped.crew.runs["top"] == (Path("old"), "old") and not swapped.crew.candidates


def test_another_one_while_on_trial_waits_for_its_end() -> None:
    swapped = Swapped()
    swapped.swapping.offer(Found("top", Path("third"), "third"))
    swapped.turn()
    assert swapped.line.arbiter.active("top") == NEW and swapped.codes[-1] == "line-swap-judges"


def test_one_that_was_late_once_is_the_active_one_again() -> None:
    swapped = Swapped()
    swapped.line.shot(1)
    swapped.line.wait(100)
    swapped.line.shot(2)
    assert swapped.line.arbiter.active("top") == "top/0"
    swapped.line.score("top/0", 2)
    swapped.line.score(NEW, 1)
    swapped.turn()
    assert swapped.line.arbiter.active("top") == NEW


# ---------------------------------------------------------------- lines with real processes


def run(faults: Sequence[Fault], last: str, **own: Any) -> tuple[Outcome, list[Verdict], list[str]]:
    """The outcome until a while after ``last`` was said, all verdicts, and what was said of swaps."""
    table = {"deadline_ms": 9000, "hung_ms": 9000, "shadow": 3, "trial": 5, **own}
    camera = {"name": "top", "source": "generated", "bundle": "none", "queue": 64}
    line = line_of({"line": table, "camera": [camera], "sink": [{"kind": "file"}]}, "a test", Path.cwd())
    told: list[Told] = []

    def over() -> bool:
        at = next((i for i, each in enumerate(told) if isinstance(each, Notice) and each.code == last), None)
        return at is not None and sum(isinstance(each, Verdict) for each in told[at:]) > 3

    outcome = simulate(line, Wishes(1000, 20, faults, stand_in=True), {}, told.append, over)
    assert outcome.faults(2000.0) == [] and outcome.verdicts == outcome.triggers
    codes = [each.code for each in told if isinstance(each, Notice) and "swap" in each.code]
    return outcome, [each for each in told if isinstance(each, Verdict)], codes


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")


@needs_posix
def test_a_swap_costs_no_verdict_and_each_names_its_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.cycle((0, 86_400, -86_400, 1e9))
    monkeypatch.setattr(time, "time", lambda: next(steps))  # somebody sets the clock, again and again
    monkeypatch.setattr(time, "time_ns", lambda: round(next(steps) * 1e9))
    outcome, verdicts, codes = run([Fault(2, "swap")], "line-swap-done")
    assert set(outcome.whys) <= {"score", "stopped"}
    assert codes == ["line-swap-tries", "line-swap-judges", "line-swap-done"]
    bundles = list(dict.fromkeys(each.bundle for each in verdicts))
    assert len(bundles) == 2 and [each.bundle for each in verdicts] == sorted(
        (each.bundle for each in verdicts), key=bundles.index
    ), "from one part on the new one, and the old one never again"


@needs_posix
@pytest.mark.parametrize(
    ("what", "last", "lost"),
    [
        ("swap-refused", "line-swap-refused", 0),
        ("swap-crash", "line-swap-refused", 0),
        ("swap-raise", "line-swap-refused", 0),
        ("swap-worse", "line-swap-back", 3),
    ],
)
def test_a_broken_bundle_is_given_up_by_itself(what: str, last: str, lost: int) -> None:
    outcome, verdicts, codes = run([Fault(2, what)], last)  # type: ignore[arg-type]
    assert codes[-1] == last and codes.count(last) == 1
    whys = {why: count for why, count in outcome.whys.items() if why not in ("score", "stopped")}
    assert whys == ({"error": lost} if lost else {})
    assert verdicts[0].bundle == verdicts[-1].bundle, "the old one goes on"


def test_what_decides_asks_no_clock_that_can_be_set() -> None:
    folder = Path(str(arbiter.__file__)).parent
    deciding = ("arbiter", "bench", "matching", "shadow", "standing", "swapping", "core", "hearing", "crew")
    deciding += ("processes", "outlet", "lens", "pauses", "watchdog", "camera_process", "judge_process")
    for name in (*deciding, "sink_process", "supply"):
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not asked & {"time_ns", "now", "utcnow", "localtime", "gmtime", "strftime"}, name
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not any(isinstance(f, ast.Attribute) and ast.unparse(f) == "time.time" for f in calls), name


def test_a_page_may_ask_for_another_bundle_and_nobody_else() -> None:
    line = Turned()
    hearing = Hearing(None, line.arbiter, lambda told: None)  # type: ignore[arg-type]
    hearing._crew = Crew.__new__(Crew)
    hearing._crew.lenses, hearing._crew.outlets = {"it": None}, {"it": None}  # type: ignore[dict-item]
    for kind in ("page", "sink", "camera"):
        killed = Killed()
        child = Child("it", kind, dict, process=killed)  # type: ignore[arg-type]
        hearing.hear(child, {"is": "reload", "camera": "top"})
        assert killed.killed == (kind != "page")
    assert list(hearing.reloads) == ["top"]


class Killed:
    killed = False

    def kill(self) -> None:
        self.killed = True


@needs_posix
def test_the_newest_word_counts() -> None:
    outcome, verdicts, codes = run([Fault(2, "swap-hang"), Fault(14, "swap")], "line-swap-done")
    assert "line-swap-other" in codes and codes[-2:] == ["line-swap-judges", "line-swap-done"]
    assert set(outcome.whys) <= {"score", "stopped"} and len({each.bundle for each in verdicts}) == 2
