"""All that a line has processes for, made of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgead.line.config import Line
from edgead.line.faults import Fault
from edgead.line.lending import LENT
from edgead.line.lens import Lens
from edgead.line.outlet import Outlet
from edgead.line.processes import Child, Children
from edgead.line.recording import Recording
from edgead.line.rules import CameraRules, Rules
from edgead.line.starts import camera_start, judge_start, recorder_start, sink_start

MS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        line: as its file says.
        bundles: by camera, the bundle's folder.
        faults: what goes wrong in judges at which part, in a simulation.
        stand_in: whether to judge without bundles, in a simulation.
    """

    line: Line
    bundles: Mapping[str, Path] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    stand_in: bool = False

    def rules(self, run: str) -> Rules:
        """What the arbiter goes by."""
        own = self.line.table
        return Rules(
            run=run,
            deadline=round(own.deadline_ms * MS),
            failsafe="accept" if own.failsafe == "accept" else "reject",
            stops=own.failsafe == "stop",
            hung=round(own.hung_ms * MS),
        )

    def cameras(self) -> list[CameraRules]:
        """What the arbiter knows of the cameras."""
        tables = [camera.table for camera in self.line.cameras]
        return [CameraRules(t.name, t.trigger == "plc", round(t.grab_ms * MS), t.queue) for t in tables]


class Crew:
    """The processes of a line, by kind and name, and what is known of each beside.

    Attributes:
        children: all of them.
        cameras, judges, sinks: those of a kind, by name.
        lenses: what is known of each camera.
        outlets: what is known of each sink.
        recording: what is handed to the recorder, or None.
    """

    def __init__(self, plan: Plan) -> None:
        self.children = Children(plan.line.folder)
        self.cameras: dict[str, Child] = {}
        self.judges: dict[str, Child] = {}
        self.sinks: dict[str, Child] = {}
        self.lenses: dict[str, Lens] = {}
        self.outlets: dict[str, Outlet] = {}
        for camera, rules in zip(plan.line.cameras, plan.cameras(), strict=True):
            lent = 0 if plan.line.log is None else LENT
            lens = self.lenses[rules.name] = Lens(rules.queue, camera.table.slot_mib << 20, lent)
            first = partial(camera_start, camera, lens)
            self.cameras[rules.name] = self._add(Child(rules.name, "camera", first, lens.ring[:1]))
            bundle = plan.bundles.get(rules.name, Path())
            for name in rules.judges:
                first = partial(judge_start, plan.line, camera, lens, bundle, plan.faults, plan.stand_in)
                others = tuple(other for other in rules.judges if other != name)
                gently = partial(self._any_up, others)
                self.judges[name] = self._add(Child(name, "judge", first, lens.ring[:1], gently))
        for sink in plan.line.sinks:
            name = sink.table.name
            self.outlets[name] = Outlet(sink.table.send_ms / 1e3)
            self.sinks[name] = self._add(Child(name, "sink", partial(sink_start, plan.line, sink)))

        self.recording: Recording | None = None
        if (log := plan.line.log) is not None:
            first = partial(recorder_start, plan.line, log, self.lenses)
            rings = tuple(lens.ring[0] for lens in self.lenses.values())
            recorder = self._add(Child("recorder", "recorder", first, rings))
            self.recording = Recording(recorder, log, self.give_back)

    def give_back(self, camera: str, slot: int) -> None:
        """Nobody needs a slot any more: its camera may write into it."""
        self.lenses[camera].let_go(slot)
        self.cameras[camera].send({"is": "free", "slot": slot})

    def judges_of(self, camera: str) -> list[Child]:
        """The judges of a camera."""
        return [child for name, child in self.judges.items() if name.rpartition("/")[0] == camera]

    def close(self) -> None:
        """Let go of the rings; the processes have ended."""
        for lens in self.lenses.values():
            lens.close()

    def _add(self, child: Child) -> Child:
        return self.children.add(child)

    def _any_up(self, judges: Sequence[str]) -> bool:
        """Whether one of these judges, which a new one mustn't disturb."""
        return any(self.judges[name].up for name in judges if name in self.judges)


__all__ = ["Crew", "Plan"]
