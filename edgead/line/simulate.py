"""A line with virtual cameras and a virtual PLC, and what went wrong with its promise, if anything did.

The PLC is outside of the line's own process, as a real one is. What counts is what it saw: which triggers it
told of, which verdicts came, and when.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgead.errors import OptionError
from edgead.leftovers import scratch_folder
from edgead.line.config import Camera, Line, SinkEntry, SinkTable
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.faults import Fault, words
from edgead.line.hearing import Told
from edgead.line.stand_in import GOOD, name_of
from edgead.line.swapping import Found

PLC, GATE = "plc", "gate"
"""The two sinks of a simulated line: the first has no faults, and the second those of the script."""
SLACK = 1.0
"""Seconds that a line goes on after the last part's deadline."""
PATIENCE = 30_000.0
"""Ms until the PLC itself would be taken to hang: it never does."""


@dataclass(frozen=True)
class Wishes:
    """What is simulated.

    Attributes:
        parts, rate: how many parts come, and how many a second.
        faults: what goes wrong.
        images: a folder whose images the cameras show, or None for made-up ones.
        stand_in: judge by what is written in made-up images, without bundles.
        record: keep the line's record too, if it has a ``[log]``.
    """

    parts: int = 100
    rate: float = 10.0
    faults: Sequence[Fault] = ()
    images: Path | None = None
    stand_in: bool = False
    record: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a simulation went.

    Attributes:
        triggers, verdicts: of the line: equal, or it failed.
        told: triggers that the PLC told of.
        unanswered: of those, the ones without a verdict.
        repeated: numbers of triggers with more than one verdict.
        accepted_unjudged: verdicts without a score that aren't the fail-safe's.
        mixed_up: verdicts with another part's score; looked for where images are made up.
        unseen: triggers that a camera got and that nobody heard of, since it had just begun, or was lost
            with their images: nobody told of them, and the line wasn't ready.
        late_ms: what the latest verdict was after its deadline when the PLC had it, in ms; under 0 before.
        untriggered: parts that triggered nothing: their camera was away, or a fault kept it from them.
        unreached: faults of parts that don't come, in words.
        whys: verdicts by what they rest on.
        tally: figures of the line itself.
    """

    triggers: int
    verdicts: int
    told: int
    unanswered: tuple[str, ...]
    repeated: tuple[int, ...]
    accepted_unjudged: tuple[int, ...]
    mixed_up: tuple[int, ...]
    unseen: int
    late_ms: float | None
    whys: Mapping[str, int]
    tally: Mapping[str, Any] = field(default_factory=dict)
    untriggered: int = 0
    unreached: tuple[str, ...] = ()

    def faults(self, epsilon_ms: float) -> list[str]:
        """What of the promise wasn't kept, in words; nothing where it was.

        Args:
            epsilon_ms: how long after its deadline a verdict may be.
        """
        found = []
        if self.triggers != self.verdicts:
            found.append(f"{self.triggers} triggers have {self.verdicts} verdicts")
        if self.unanswered:
            found.append(f"parts without a verdict: {', '.join(self.unanswered[:5])}")
        if self.repeated:
            found.append(f"triggers with several verdicts: {', '.join(map(str, self.repeated[:5]))}")
        if self.accepted_unjudged:
            found.append(f"accepted without a score: {', '.join(map(str, self.accepted_unjudged[:5]))}")
        if self.mixed_up:
            found.append(f"scored by another part's image: {', '.join(map(str, self.mixed_up[:5]))}")
        if self.late_ms is not None and self.late_ms > epsilon_ms:
            found.append(f"a verdict came {self.late_ms:.1f} ms after its deadline")
        return found

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "triggers": self.triggers,
            "verdicts": self.verdicts,
            "told": self.told,
            "unanswered": list(self.unanswered),
            "repeated": list(self.repeated),
            "accepted_unjudged": list(self.accepted_unjudged),
            "mixed_up": list(self.mixed_up),
            "unseen": self.unseen,
            "untriggered": self.untriggered,
            "unreached": list(self.unreached),
            "late_ms": None if self.late_ms is None else round(self.late_ms, 3),
            "whys": dict(self.whys),
            "tally": dict(self.tally),
        }


def simulate(
    line: Line,
    wishes: Wishes,
    bundles: Mapping[str, Path],
    told: Callable[[Told], None],
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run a line with virtual cameras and sinks in the place of its own.

    Args:
        bundles: by camera; empty for a stand-in.
        told: as ``Core`` has it.
        stopping: whether to end early.

    Raises:
        EdgeadError: as ``Core.run``.
    """
    with scratch_folder() as folder:
        virtual = _virtual(line, wishes, folder)
        if wishes.stand_in:
            bundles = {camera.table.name: Path(GOOD) for camera in line.cameras}
        swaps = _swaps(line, wishes, bundles)
        core = Core(Plan(virtual, bundles, wishes.faults, wishes.stand_in), told)
        slow = max((fault.seconds for fault in wishes.faults), default=0.0)
        least = wishes.parts / wishes.rate + line.table.deadline_ms / 1e3 + slow + SLACK
        since = time.monotonic() + line.table.start_seconds
        started: list[float] = []  # when the belt did, seconds

        def done() -> bool:
            if not started and (at := _started(folder / "belt")) is not None:
                started.append(at)
            while started and swaps and time.monotonic() - started[0] > swaps[0][0]:
                for found in swaps.pop(0)[1]:
                    core.swapping.offer(found)
            over = time.monotonic() - (started[0] if started else since) > least
            return stopping() or (over and core.arbiter.pending == 0)

        core.run(done)
        logged = _lines(folder / "plc.jsonl")
        cameras = {
            camera.table.name: _lines(folder / f"{camera.table.name}.jsonl") for camera in line.cameras
        }
    found = _outcome(core, virtual, wishes, logged, cameras)
    return replace(found, untriggered=0) if stopping() else found


def _swaps(line: Line, wishes: Wishes, bundles: Mapping[str, Path]) -> list[tuple[float, tuple[Found, ...]]]:
    """When which bundles are exchanged for others, in seconds of the belt's, the first first."""
    found = []
    faults = sorted((fault for fault in wishes.faults if fault.where == "swap"), key=lambda each: each.part)
    for number, fault in enumerate(faults, 1):
        how = fault.what.partition("-")[2]
        if how not in ("", "refused") and not wishes.stand_in:
            raise OptionError(f"{fault.what}: no bundle breaks at will: use it with --stand-in")
        name = Path(name_of(how, number, line.table.shadow))
        real = {"": lambda path: path, "refused": lambda path: path / "nothing"}
        paths = {camera: name if wishes.stand_in else real[how](path) for camera, path in bundles.items()}
        offers = tuple(Found(camera, path, path.name, again=True) for camera, path in paths.items())
        found.append((fault.part / wishes.rate, offers))
    return found


def _virtual(line: Line, wishes: Wishes, folder: Path) -> Line:
    belt = {"belt": str(folder / "belt"), "rate": wishes.rate, "parts": wishes.parts}
    images = {} if wishes.images is None else {"images": str(wishes.images.absolute())}
    cameras = []
    for number, camera in enumerate(line.cameras):
        log = str(folder / f"{camera.table.name}.jsonl")
        faults = words(wishes.faults, "camera")
        options = {**belt, **images, "seed": number, "log": log, "faults": faults}
        cameras.append(Camera(replace(camera.table, source="generated"), options))
    tells = any(camera.table.trigger == "plc" for camera in line.cameras)
    plc = {**belt, "tells": tells, "log": str(folder / "plc.jsonl"), "faults": words(wishes.faults, "belt")}
    gate = {"faults": words(wishes.faults, "sink")}
    sinks = (
        SinkEntry(SinkTable(kind="virtual", name=PLC, role="verdict", send_ms=PATIENCE), plc),
        SinkEntry(SinkTable(kind="virtual", name=GATE, role="verdict", send_ms=200.0), gate),
    )
    kept = line.log if wishes.record else None
    return replace(line, cameras=tuple(cameras), sinks=sinks, log=kept, page=None)


def _started(belt: Path) -> float | None:
    """When the belt started, seconds, or None where it hasn't."""
    try:
        return float(json.loads(belt.read_text())["start_ns"]) / 1e9
    except (OSError, ValueError, KeyError):
        return None


def _lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a file: a process that was killed may have left half of one."""
    try:
        text = file.read_text()
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _outcome(
    core: Core,
    line: Line,
    wishes: Wishes,
    logged: Sequence[Mapping[str, Any]],
    cameras: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Outcome:
    verdicts = [each["verdict"] for each in logged if "verdict" in each]
    answered = {(verdict["camera"], verdict["part"]) for verdict in verdicts}
    told = [str(each["trigger"]) for each in logged if "trigger" in each]
    by_plc = [camera.table.name for camera in line.cameras if camera.table.trigger == "plc"]
    unanswered = [f"{part} ({name})" for name in by_plc for part in told if (name, part) not in answered]
    counted = Counter(verdict["trigger"] for verdict in verdicts)
    failsafe = "accept" if line.table.failsafe == "accept" else "reject"
    deadline = round(line.table.deadline_ms * 1e6)
    late = [each["at"] - each["verdict"]["times"]["trigger"] for each in logged if "verdict" in each]
    unjudged = [v["trigger"] for v in verdicts if v["why"] != "score" and v["decision"] != failsafe]
    known = {(verdict["camera"], verdict["frame_id"]) for verdict in verdicts}
    unseen = [1 for name, log in cameras.items() for each in log if (name, each["number"]) not in known]
    beyond = [fault for fault in wishes.faults if fault.part >= wishes.parts]
    untriggered = wishes.parts * len(cameras) - core.arbiter.triggers - len(unseen)
    return Outcome(
        untriggered=0 if by_plc else max(0, untriggered),
        unreached=tuple(f"{fault.what} of part {fault.part}" for fault in beyond),
        triggers=core.arbiter.triggers,
        verdicts=len(verdicts),
        told=len(told),
        unanswered=tuple(unanswered),
        repeated=tuple(trigger for trigger, count in counted.items() if count > 1),
        accepted_unjudged=tuple(unjudged),
        mixed_up=tuple(_mixed_up(verdicts, by_plc, cameras)) if wishes.stand_in else (),
        unseen=0 if by_plc else len(unseen),
        late_ms=(max(late) - deadline) / 1e6 if late else None,
        whys=dict(sorted(Counter(verdict["why"] for verdict in verdicts).items())),
        tally={**core.tally.record(), "missed": core.missed, "swaps": dict(core.swapping.tally)},
    )


def _mixed_up(
    verdicts: Sequence[Mapping[str, Any]],
    by_plc: Sequence[str],
    cameras: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[int]:
    """Triggers whose score isn't the number of the part that they're of."""
    parts = {(name, each["number"]): each["part"] for name, log in cameras.items() for each in log}
    found = []
    for verdict in verdicts:
        if verdict["score"] is None:
            continue
        name = verdict["camera"]
        part = int(verdict["part"]) if name in by_plc else parts.get((name, verdict["frame_id"]))
        if part is not None and verdict["score"] != part:
            found.append(verdict["trigger"])
    return found


__all__ = ["Outcome", "Wishes", "simulate"]
