"""Checks of a line's sink: it takes every verdict or says that it can't, in bounded time.

They send it verdicts, so that what stands behind it should be a test's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from edgead.errors import OutputError
from edgead.testing.check import require
from edgead.testing.made import OPTIONS, Made, closes_at_any_time, raised_by, require_one_line
from edgead.testing.protocols import require_members
from edgead.types import Health, Region, Role, Sink, Times, Verdict, Why


def has_every_member(made: Made) -> None:
    """it has every member of a sink"""
    require_members(made.factory, Sink)


def says_its_roles(made: Made) -> None:
    """``roles`` is a tuple of ``verdict`` and ``inform``, or one of them"""
    roles, known = made.factory.roles, get_args(Role)
    require(
        isinstance(roles, tuple) and roles and set(roles) <= set(known) and len(set(roles)) == len(roles),
        f"roles is {roles!r}: a tuple of {' and '.join(known)}, the usual one first",
    )


def opens_or_says_why_not(made: Made) -> None:
    """``open`` opens it, or raises an ``OutputError`` of one line; ``send`` raises one where it isn't open"""
    sink, verdict = made.one(), next(_verdicts())
    require_one_line(raised_by(lambda: sink.send(verdict)), OutputError, "a verdict before open")
    error = raised_by(sink.open)
    if error is not None:
        require_one_line(error, OutputError, "open, where there's nothing,")
    sink.close()
    require_one_line(raised_by(lambda: sink.send(verdict)), OutputError, "a verdict after close")


def takes_every_verdict(made: Made) -> None:
    """a verdict of any kind is put out, or refused by an ``OutputError`` of one line, in bounded time"""
    sink = made.opened()
    try:
        for verdict in _verdicts():
            error = raised_by(lambda verdict=verdict: sink.send(verdict))  # type: ignore[misc]
            if error is not None:
                require_one_line(error, OutputError, f"a verdict by {verdict.why}")
    finally:
        sink.close()


def takes_the_beat(made: Made) -> None:
    """``beat`` is taken with the line ready or not, again and again, between verdicts"""
    sink = made.opened()
    try:
        for ready in (False, False, True, True, False):
            error = raised_by(lambda ready=ready: sink.beat(ready))  # type: ignore[misc]
            if error is not None:
                require_one_line(error, OutputError, f"beat({ready})")
    finally:
        sink.close()


def tells_its_health(made: Made) -> None:
    """``health`` is a ``Health`` with a detail of one line and whole numbers, open or not"""
    sink = made.one()
    _require_health(sink)
    raised_by(sink.open)
    try:
        _require_health(sink)
    finally:
        sink.close()


def opens_again(made: Made) -> None:
    """after ``close`` it can be opened again, and takes verdicts as before"""
    sink, verdict = made.opened(), next(_verdicts())
    try:
        before = raised_by(lambda: sink.send(verdict))
        sink.close()
        error = raised_by(sink.open)
        require(error is None, f"it can't be opened again: {error!r}")
        after = raised_by(lambda: sink.send(verdict))
        require(
            (after is None) == (before is None),
            f"opened again, a verdict raises {after!r}, before {before!r}",
        )
    finally:
        sink.close()


def _require_health(sink: Sink) -> None:
    found: list[Health] = []
    error = raised_by(lambda: found.append(sink.health()))
    require(error is None, f"health raises {error!r}: it tells how the sink is, whatever that is")
    (health,) = found
    require(isinstance(health, Health), f"health is a {type(health).__name__}: an edgead.types.Health")
    require(type(health.ok) is bool, f"ok is {health.ok!r}: True or False")
    require("\n" not in health.detail, f"the detail has several lines: {health.detail!r}")
    counts = all(isinstance(name, str) and type(number) is int for name, number in health.counts.items())
    require(counts, f"counts is {health.counts!r}: whole numbers by name")


def _verdicts() -> Iterator[Verdict]:
    """One of each kind: with a score and regions, and by the fail-safe with as little as is known."""
    region = Region((10, 20, 30, 40), 600, 3.5)
    times = Times(1_000_000_000, 1_010_000_000, 1_020_000_000, 1_021_000_000)
    yield Verdict("0" * 16, 1, "1", "top", "reject", "score", 3.5, 2.0, (region,), "ab" * 32, times, -5, 1)
    yield Verdict("0" * 16, 2, "ü \"'\\ 2", "top", "accept", "score", 0.0, 2.0, (), "ab" * 32, times, None, 2)
    for number, why in enumerate(get_args(Why)[1:], 3):
        known = Times(2_000_000_000, None, None, 2_080_000_000)
        yield Verdict("0" * 16, number, str(number), "top", "reject", why, None, None, (), None, known)


CHECKS = (
    has_every_member,
    *OPTIONS,
    says_its_roles,
    opens_or_says_why_not,
    closes_at_any_time,
    takes_every_verdict,
    takes_the_beat,
    tells_its_health,
    opens_again,
)
