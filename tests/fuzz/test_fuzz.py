"""Every parser takes damaged input or refuses it by name, the same few in each run; past crashes stay mended.

More of it: ``make fuzz``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="needs the [dev] extra")

from edgead.errors import ImageError
from tests.fuzz import examine as fuzz
from tests.fuzz.seeds import CRASHES, SEEDS, make, read
from tests.fuzz.targets import GOLDEN, TARGETS, Target

EXAMPLES = 40
PAST = sorted(CRASHES.glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_taken_or_refused_by_name(name: str) -> None:
    try:
        for data in fuzz.seeds_of(name):
            fuzz.try_one(TARGETS[name], data)
    except ImportError as error:
        pytest.skip(f"the parser isn't here: {error}")
    assert fuzz.examine(name, EXAMPLES, fixed=True).inputs >= EXAMPLES


@pytest.mark.parametrize("file", PAST, ids=[f"{file.parent.name}-{file.stem}" for file in PAST])
def test_what_once_broke_a_parser_doesnt_any_more(file: Path) -> None:
    fuzz.try_one(TARGETS[file.parent.name], file.read_bytes())


def test_every_target_starts_from_what_it_takes() -> None:
    """A parser that refuses its seeds is fuzzed at its front door alone."""
    for name, target in TARGETS.items():
        assert read(SEEDS / (target.seeds or name)), name
    taken = fuzz.Tally()
    for name in (
        *("manifest", "revision", "lesson", "held-out", "drift", "results", "grid", "options", "visa"),
        *("polygons", "line", "fault-script", "line-status"),
    ):
        for data in read(SEEDS / name):
            fuzz.try_one(TARGETS[name], data, taken)
    assert taken.refused == 0 and taken.inputs >= 10


def test_the_seeds_are_those_that_the_project_makes() -> None:
    made = make()
    assert {path.parent.name for path in SEEDS.glob("*/*")} == made.keys()
    for name in (
        "grid",
        "visa",
        "results",
        "options",
        "words",
        "held-out",
        "drift",
        "lesson",
        "polygons",
        "line",
        "fault-script",
        "line-status",
    ):
        assert read(SEEDS / name) == [made[name][file] for file in sorted(made[name])], name


def _careless(data: bytes) -> None:
    if b"-1" in data:
        raise ValueError("a parser that says what Python says")
    raise ImageError("refused")


def test_a_fault_is_found_and_made_small_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "words", Target(_careless))
    monkeypatch.setattr(fuzz, "CRASHES", tmp_path)
    with pytest.raises(ValueError, match="what Python says"):
        fuzz.examine("words", 3000)
    (kept,) = (tmp_path / "words").iterdir()
    assert b"-1" in kept.read_bytes() and len(kept.read_bytes()) < 20


def test_slow_and_rambling_parsers_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    def rambling(data: bytes) -> None:
        raise ImageError("two\nlines")

    with pytest.raises(AssertionError, match="no line to print"):
        fuzz.try_one(Target(rambling), b"")
    clock = iter((0.0, 6.0))
    monkeypatch.setattr(fuzz.time, "thread_time", lambda: next(clock))
    with pytest.raises(fuzz.SlowError, match=r"6\.0 s"):
        fuzz.try_one(Target(len), b"")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
def test_a_mutated_model_breaks_nothing_but_its_own_process() -> None:
    from tests.fuzz.models import try_mutated

    found, others = try_mutated(GOLDEN / "v3.edgead", 40, None, seed=1)
    assert not others
    assert found["refused"] >= 10 and sum(found.values()) == 40
