"""All that a line has processes for, made of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgead.line.channel import Message
from edgead.line.config import Line
from edgead.line.faults import Fault
from edgead.line.lending import LENT
from edgead.line.lens import Lens
from edgead.line.outlet import Outlet
from edgead.line.priority import be_normal, keep_on
from edgead.line.processes import Child, Children
from edgead.line.recording import Recording
from edgead.line.rules import CameraRules, Rules, camera_of
from edgead.line.starts import camera_start, judge_start, page_start, recorder_start, sink_start

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
        page: the operator's page, or None.
        recording: what is handed to the recorder, or None.
        bundles: by judge, the bundle's folder.
        candidates: judges that are tried out, and don't count as their camera's yet.
        known: by judge, the identity of what it judges by, once it's warm.
        runs: by camera, the folder and identity of the bundle that judges.
        identities: by folder, the identity that a judge of it has to have.
    """

    def __init__(self, plan: Plan) -> None:
        self.children = Children(plan.line.folder)
        self._plan = plan
        self._cameras = {camera.table.name: camera for camera in plan.line.cameras}
        self._judges = dict.fromkeys(self._cameras, 0)  # that there have been, of each
        self.cameras: dict[str, Child] = {}
        self.judges: dict[str, Child] = {}
        self.sinks: dict[str, Child] = {}
        self.lenses: dict[str, Lens] = {}
        self.outlets: dict[str, Outlet] = {}
        self.bundles: dict[str, Path] = {}
        self.candidates: set[str] = set()
        self.known: dict[str, str] = {}
        self.runs: dict[str, tuple[Path, str]] = {}
        self.identities: dict[Path, str] = {}
        for camera, rules in zip(plan.line.cameras, plan.cameras(), strict=True):
            lent = 0 if plan.line.log is None else LENT
            lens = self.lenses[rules.name] = Lens(rules.queue, camera.table.slot_mib << 20, lent)
            first = partial(camera_start, camera, lens)
            self.cameras[rules.name] = self._add(Child(rules.name, "camera", first, lens.ring[:1]))
            bundle = plan.bundles.get(rules.name, Path())
            for name in rules.judges:
                assert self.add_judge(rules.name, bundle) == name
        for sink in plan.line.sinks:
            name = sink.table.name
            self.outlets[name] = Outlet(sink.table.send_ms / 1e3)
            self.sinks[name] = self._add(Child(name, "sink", partial(sink_start, plan.line, sink)))
        self.page: Child | None = None
        if plan.line.page is not None:
            first = partial(page_start, plan.line, plan.line.page)
            self.page = self._add(Child("page", "page", first))

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

    def add_judge(self, camera: str, bundle: Path, candidate: bool = False) -> str:
        """Have one judge more, with this bundle for as long as it's there; returns its name."""
        name = f"{camera}/{self._judges[camera]}"
        self._judges[camera] += 1
        lens, plan = self.lenses[camera], self._plan
        gently = partial(self._any_up, camera, name)
        start = partial(judge_start, plan.line, self._cameras[camera], lens, bundle, plan.faults)
        first = partial(self._judge_first, start, gently)
        self.judges[name] = self._add(Child(name, "judge", first, lens.ring[:1], gently))
        self.bundles[name] = bundle
        if candidate:
            self.candidates.add(name)
        return name

    def end_judge(self, name: str) -> None:
        """Have a judge no more."""
        self.judges.pop(name).retire()
        self.candidates.discard(name)
        self.known.pop(name, None)
        del self.bundles[name]

    def now_runs(self, camera: str, judge: str) -> None:
        """What this judge judges by is what the camera runs."""
        path, identity = self.bundles[judge], self.known[judge]
        self.runs[camera], self.identities[path] = (path, identity), identity

    def let_run(self, name: str) -> None:
        """A judge that was warmed gets its share of the processor, on its camera's own cores."""
        process, cores = self.judges[name].process, self._cameras[camera_of(name)].table.cores
        if process is not None:
            if cores:
                keep_on(process.pid, cores)
            be_normal(process.pid)

    def judges_of(self, camera: str) -> list[Child]:
        """The judges of a camera, without one that is tried out."""
        names = [n for n in self.judges if camera_of(n) == camera and n not in self.candidates]
        return [self.judges[name] for name in names]

    def close(self) -> None:
        """Let go of the rings; the processes have ended."""
        for lens in self.lenses.values():
            lens.close()

    def _add(self, child: Child) -> Child:
        return self.children.add(child)

    def _judge_first(self, start: Callable[[bool, bool], Message], gently: Callable[[], bool]) -> Message:
        return start(self._plan.stand_in, gently())

    def _any_up(self, camera: str, name: str) -> bool:
        """Whether another judge of the camera is there, which a new one mustn't disturb."""
        return name in self.candidates or any(j.up and j.name != name for j in self.judges_of(camera))


__all__ = ["Crew", "Plan"]
