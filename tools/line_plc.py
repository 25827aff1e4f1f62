"""A line and a PLC over Modbus TCP, with processes killed at random: does the PLC ever take a wrong accept?

    python tools/line_plc.py [--parts N] [--rate R] [--kills N] [--seed S] [--verbose]

The line is real, with a virtual camera and two judges that read what is written in its images; so are its
Modbus sink and the PLC's requests, by pymodbus. The PLC runs the belt: it tells of each part's trigger, and
acknowledges each result. Meanwhile the sink's process, or a judge's, gets SIGKILL, when the seed says so.

What must hold, as the PLC sees it: a part is accepted only by its own score, once, by a verdict that the line
has said, and before the part has passed the gate; no result comes twice. The exit code is 1 where it doesn't.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.line.config import line_of
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.hearing import Told
from edgead.types import Verdict
from edgead_plugins.belt import Belt, write_start

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.plugins.modbus_plc import Plc

LEAD = 0.3
"""Seconds from the first readiness to part 0."""
POLL = 0.005


@dataclass
class Seen:
    """What the PLC saw.

    Attributes:
        told: parts of which a trigger was taken by the line.
        decisions: by part, what the PLC did with it; a part that isn't here was rejected.
        results: by run and id, the part that it was for.
        wrong: what must not be.
        waits: ms from a trigger's request to its result at the PLC.
        reads: ms that a request for all registers took.
    """

    told: set[int] = field(default_factory=set)
    decisions: dict[int, str] = field(default_factory=dict)
    results: dict[tuple[int, int], int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    connections: int = 0


class VirtualGate(threading.Thread):
    """The PLC: one thread, as its cycle is, until every part has passed its gate.

    Args:
        port: the sink's.
        file: where the camera finds when the belt has started.
        parts, rate: the belt's.
        gate: seconds from a part's trigger to the gate.
    """

    def __init__(self, port: int, file: Path, parts: int, rate: float, gate: float) -> None:
        super().__init__(daemon=True)
        self.seen = Seen()
        self.fault: BaseException | None = None
        self._port, self._file, self._parts, self._rate, self._gate = port, file, parts, rate, gate
        self._plc: Plc | None = None
        self._belt: Belt | None = None
        self._next, self._at = 0, dict[int, float]()

    def run(self) -> None:
        """Cycle."""
        try:
            while self._belt is None or self._next < self._parts or time.monotonic() < self._end:
                self._cycle()
                time.sleep(POLL)
        except BaseException as error:
            self.fault = error

    def _cycle(self) -> None:
        try:
            if self._plc is None:
                self._plc = Plc(self._port, seconds=0.3)
                self.seen.connections += 1
            self._tell()
            self._look()
        except Exception as error:  # no connection, a broken one, or no answer: nothing is known, so reject
            if isinstance(error, AssertionError | ValueError):
                raise
            if self._plc is not None:
                self._plc.close()
            self._plc = None
            self._skip()

    def _tell(self) -> None:
        assert self._plc is not None
        if self._belt is None:
            if self._plc.read()["status"] & 1:
                start = time.monotonic_ns() + round(LEAD * 1e9)
                write_start(self._file, start)
                self._belt = Belt(self._rate, self._parts, (), start)
                self._end = start / 1e9 + self._parts / self._rate + self._gate + 0.5
            return
        while (at := self._belt.at(self._next)) is not None and at <= time.monotonic_ns():
            part = self._next
            number = (self._plc.read()["trigger_taken"] + 1) & 0xFFFF
            self._next += 1
            self._at[part] = time.monotonic()
            if self._plc.trigger(number, part):
                self.seen.told.add(part)

    def _skip(self) -> None:
        """Parts come although there's no connection: nobody is told, and nothing accepts them."""
        while self._belt and (at := self._belt.at(self._next)) is not None and at <= time.monotonic_ns():
            self._at[self._next] = time.monotonic()
            self._next += 1

    def _look(self) -> None:
        assert self._plc is not None
        while True:
            began = time.monotonic()
            seen = self._plc.read()
            now = time.monotonic()
            self.seen.reads.append(1e3 * (now - began))
            if not seen["status"] & 2:
                return
            self._take(seen, now)
            self._plc.acknowledge(seen)

    def _take(self, seen: dict[str, Any], now: float) -> None:
        key, part, wrong = (seen["run"], seen["id"]), seen["part"], self.seen.wrong
        if key != (seen["run_again"], seen["id_again"]):
            wrong.append(f"{key}: torn")
        if key in self.seen.results:  # acknowledged in vain, as the connection broke: known already
            if self.seen.results[key] != part:
                wrong.append(f"{key}: of part {self.seen.results[key]}, then of {part}")
            return
        self.seen.results[key] = part
        if part not in self._at:
            wrong.append(f"part {part}: a result before it came")
            return
        self.seen.waits.append(1e3 * (now - self._at[part]))
        if part in self.seen.decisions:
            wrong.append(f"part {part}: a second result")
        decision = {1: "reject", 2: "accept"}[seen["decision"]]
        self.seen.decisions[part] = decision
        if decision == "accept":
            if seen["why"] != 1 or seen["score"] != part:
                wrong.append(f"part {part}: accepted by the score {seen['score']}, why {seen['why']}")
            if now - self._at[part] > self._gate:
                wrong.append(f"part {part}: accepted {now - self._at[part]:.3f} s after its trigger")


@dataclass
class Outcome:
    """How it went: what the PLC saw, what the line said, and what was killed."""

    seen: Seen
    said: list[Verdict]
    killed: Counter[str]
    wrong: list[str]


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def run(
    parts: int, rate: float, kills: int, seed: int, deadline_ms: float = 150, verbose: bool = False
) -> Outcome:
    """A line until its last part has passed the gate.

    Args:
        kills: how many processes get SIGKILL, each the sink's or a judge's.
    """
    draw, said, killed = random.Random(seed), list[Verdict](), Counter[str]()
    gate = 3 * deadline_ms / 1e3
    with tempfile.TemporaryDirectory() as folder:
        port, belt = free_port(), Path(folder) / "belt"
        listen, stale = f"127.0.0.1:{port}", 2 * deadline_ms
        document = {
            "line": {"deadline_ms": deadline_ms, "hung_ms": max(400.0, deadline_ms)},
            "camera": [{
                "name": "top", "source": "generated", "bundle": "none", "trigger": "plc",
                "grab_ms": 400 / rate, "options": {"belt": str(belt), "rate": rate, "parts": parts},
            }],
            "sink": [{"kind": "modbus", "options": {"listen": listen, "stale_ms": stale}}],
        }  # fmt: skip

        def told(what: Told) -> None:
            if isinstance(what, Verdict):
                said.append(what)
            elif verbose:
                print(f"    {what}", file=sys.stderr)

        core = Core(Plan(line_of(document, "a line", Path(folder)), stand_in=True), told)
        plc = VirtualGate(port, belt, parts, rate, gate)
        whens = sorted(draw.uniform(0.1, 0.9) * parts / rate for _ in range(kills))

        def done() -> bool:
            if core.started and not plc.is_alive() and plc.ident is None:
                plc.start()
            start = plc._belt.start / 1e9 if plc._belt is not None else float("inf")
            while whens and time.monotonic() > start + whens[0]:
                whens.pop(0)
                crew = core._crew
                children = draw.choice([list(crew.sinks.values()), list(crew.judges.values())])
                if (process := draw.choice(children).process) is not None:
                    killed["sink" if children[0].kind == "sink" else "judge"] += 1
                    os.kill(process.pid, signal.SIGKILL)
            return core.started and not plc.is_alive() and core.arbiter.pending == 0

        core.run(done)
        if plc.fault is not None:
            raise plc.fault
    return Outcome(plc.seen, said, killed, plc.seen.wrong + _against(plc.seen, said))


def _against(seen: Seen, said: list[Verdict]) -> list[str]:
    """What the PLC has that the line hasn't said, and where the line itself is wrong."""
    by_key = {(int(v.run[:8], 16), v.trigger): v for v in said}
    wrong = []
    if len(by_key) != len(said):
        wrong.append("an id was said twice")
    for key, part in seen.results.items():
        verdict = by_key.get(key)
        if verdict is None or verdict.part != str(part) or verdict.decision != seen.decisions.get(part):
            wrong.append(
                f"{key}: the PLC has {seen.decisions.get(part)} for part {part}, the line said {verdict}"
            )
    counted = Counter(v.part for v in said)
    wrong += [f"part {part}: {counted[str(part)]} verdicts" for part in seen.told if counted[str(part)] != 1]
    return wrong


def share(values: list[float], at: float) -> float:
    """A quantile; NaN of nothing."""
    return sorted(values)[min(len(values) - 1, int(at * len(values)))] if values else float("nan")


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deadline-ms", type=float, default=150.0)
    parser.add_argument("--verbose", action="store_true", help="what the line says of itself, on stderr")
    asked = parser.parse_args()
    outcome = run(asked.parts, asked.rate, asked.kills, asked.seed, asked.deadline_ms, asked.verbose)
    seen, decisions = outcome.seen, Counter(outcome.seen.decisions.values())
    missing = asked.parts - len(seen.decisions)
    waits, reads = ([share(values, at) for at in (0.5, 0.99)] for values in (seen.waits, seen.reads))
    whys = dict(Counter(verdict.why for verdict in outcome.said))
    print(f"{asked.parts} parts at {asked.rate:g}/s; {seen.connections} connections")
    print(f"killed: {dict(outcome.killed)}")
    print(f"told of {len(seen.told)} triggers; the line said {len(outcome.said)} verdicts: {whys}")
    print(f"at the PLC: {dict(decisions)}, and {missing} rejected for want of a result")
    print(f"ms from a trigger to its result: p50 {waits[0]:.1f}, p99 {waits[1]:.1f}")
    print(f"ms for a read of all registers: p50 {reads[0]:.2f}, p99 {reads[1]:.2f}")
    for wrong in outcome.wrong:
        print(f"WRONG: {wrong}")
    print(f"wrong: {len(outcome.wrong)}")
    return int(bool(outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
