"""What the processes say, told to the arbiter: what each message of each kind of process means."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from edgead.errors import EdgeadError, one_line
from edgead.line.arbiter import Arbiter
from edgead.line.channel import Message
from edgead.line.crew import Crew
from edgead.line.events import Late, Ready, Scored
from edgead.line.identity import short
from edgead.line.lens import Misunderstood, whole
from edgead.line.priority import be_normal
from edgead.line.processes import Child
from edgead.line.rules import camera_of
from edgead.line.starts import refusal
from edgead.notices import Notice
from edgead.types import Region, Verdict

Told = Verdict | Late | Ready | Notice
"""What a line says of itself, to be logged."""
MOST_RELOADS = 32
"""Requests for another bundle that may wait."""
NONSENSE = (
    Misunderstood,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of a message that isn't as its process would say it: none of it may end the line."""
TOLD_MISSED = 10.0
"""Seconds at least between two words that a sink misses verdicts."""


class Hearing:
    """Hears the processes.

    Args:
        crew, arbiter: the line's.
        told: takes what is to be logged; it must not wait.

    Attributes:
        opens: whether cameras are opened by now.
        tried: the processes that have been heard to do their work, or why they can't yet.
        refused: why the line can't start, where a process says that it never will.
        tells: whether a sink tells of triggers.
        reloads: cameras that are to be looked at for another bundle, or None for all.
    """

    def __init__(self, crew: Crew, arbiter: Arbiter, told: Callable[[Told], None]) -> None:
        self._crew, self._arbiter, self._told = crew, arbiter, told
        self.opens = self.tells = False
        self.tried: set[Child] = set()
        self.reloads: deque[str | None] = deque(maxlen=MOST_RELOADS)
        self.refused: EdgeadError | None = None
        self._told_missed: dict[str, float] = {}
        self._ill: dict[str, str] = {}
        self._refusals: dict[Child, str] = {}  # what was said last, until it works
        self._repeats: set[Child] = set()

    def hear(self, child: Child, message: Message) -> None:
        """One message; a process that can't be understood is killed."""
        if child.retired:
            return
        try:
            if message["is"] == "refused":
                self._refused(child, message)
            elif message["is"] == "reload" and child.kind not in ("camera", "judge", "sink"):
                self.reloads.append(None if message.get("camera") is None else str(message["camera"]))
            elif child.kind == "camera":
                self._camera(child, message)
            elif child.kind == "judge":
                self._judge(child, message)
            elif child.kind == "page":
                self._page(child, message)
            elif child.kind == "recorder":
                self._recorder(message)
            else:
                self._sink(child, message)
            if child.up:
                self._refusals.pop(child, None)
        except NONSENSE as error:
            child.kill(f"it said what can't be understood ({one_line(error)})")

    def gone(self, child: Child, why: str) -> None:
        """A process has ended."""
        now = time.monotonic_ns()
        repeats = child in self._repeats
        self._repeats.discard(child)
        if not repeats and child.name not in self._crew.candidates:  # of these their bundle's fate is told
            self._told(Notice("line-process-gone", {"process": child.label, "why": why}))
        if child.kind == "camera":
            self._crew.lenses[child.name].is_open = False
            self._arbiter.camera_lost(now, child.name)
        elif child.kind == "judge":
            self._arbiter.judge_gone(now, child.name)
            self._hurry(camera_of(child.name))
        elif child.kind == "recorder" and self._crew.recording is not None:
            self._crew.recording.gone()
        elif child.kind == "sink":
            self._sink_down(child.name)

    def open_cameras(self) -> None:
        """Let triggers come: from now on cameras are opened when they can be."""
        self.opens = True
        for child in self._crew.cameras.values():
            if child.up:
                self.open_camera(child.name)

    def open_camera(self, name: str) -> None:
        """Have a camera opened, or opened anew."""
        self._crew.cameras[name].send(self._crew.lenses[name].opening())

    def _hurry(self, camera: str) -> None:
        """Where no judge of a camera is left, the one that is being warmed disturbs nobody any more."""
        judges = self._crew.judges_of(camera)
        if not any(judge.up for judge in judges):
            for judge in judges:
                if judge.process is not None:
                    be_normal(judge.process.pid)

    # ------------------------------------------------------------ each kind

    def _refused(self, child: Child, message: Message) -> None:
        error = refusal(child.label, message)
        child.refusal = str(error)
        if not self.opens and child.kind not in ("recorder", "page"):  # parts are judged all the same
            self.refused = self.refused or error
        why = str(error).removeprefix(f"{child.label}: ")
        if self._refusals.get(child) == why:  # it's started again and again, and says the same
            self._repeats.add(child)
            return
        self._refusals[child] = why
        self._told(Notice("line-process-refused", {"process": child.label, "why": why}))

    def _camera(self, child: Child, message: Message) -> None:
        now, name, lens = time.monotonic_ns(), child.name, self._crew.lenses[child.name]
        what = message["is"]
        if what == "shot":
            self._arbiter.shot(now, name, lens.shot(message))
        elif what == "made":
            child.works(now / 1e9)
            self.tried.add(child)
            if self.opens:
                self.open_camera(name)
        elif what == "open":
            if lens.opened(message):
                self._told(Notice("line-camera-open", {"camera": name}))
                self._arbiter.camera_open(now, name)
        elif what == "lost":
            lens.is_open = False
            self._told(Notice("line-camera-lost", {"camera": name, "why": str(message["why"])}))
            self._arbiter.camera_lost(now, name)
        elif what != "alive":
            raise Misunderstood(what)

    def _judge(self, child: Child, message: Message) -> None:
        now, name, what = time.monotonic_ns(), child.name, message["is"]
        if what == "scored":
            small, on_trial = message.get("map"), name in self._crew.candidates
            if small is not None and self._crew.recording is not None and not on_trial:
                self._crew.recording.lending.map(message["trigger"], small)
            self._arbiter.scored(now, name, message["trigger"], _scored(message))
        elif what == "failed":
            values = {"judge": name, "trigger": message["trigger"], "why": str(message["why"])}
            self._told(Notice("line-judge-failed", values))
            self._arbiter.failed(now, name, message["trigger"])
        elif what == "ready":
            if not self._fits(child, str(message["identity"])):
                return
            if name not in self._crew.candidates:
                self._crew.let_run(name)
            child.works(now / 1e9)
            self.tried.add(child)
            told = {"judge": name, "runs_on": str(message["runs_on"]), "seconds": float(message["seconds"])}
            self._told(Notice("line-judge-ready", told))
            self._arbiter.judge_ready(now, name, str(message["bundle"]))
        elif what != "pong":
            raise Misunderstood(what)

    def _fits(self, child: Child, identity: str) -> bool:
        """Whether a judge has the bundle that it should: in a folder that was changed meanwhile lies another.

        It's taken where no judge is left, as a start of the line would take it, and else not by itself.
        """
        crew, name = self._crew, child.name
        camera, expected = camera_of(name), crew.identities.get(crew.bundles[name])
        others = any(judge.up for judge in crew.judges_of(camera) if judge is not child)
        if expected not in (None, identity) and name not in crew.candidates:
            values = {"camera": camera, "bundle": short(identity)}
            if others:
                self._told(Notice("line-bundle-changed", values))
                child.kill("its bundle was changed meanwhile")
                return False
            self._told(Notice("line-bundle-taken", values))
        crew.known[name] = identity
        if name not in crew.candidates and (camera not in crew.runs or not others):
            crew.now_runs(camera, name)
        return True

    def _sink(self, child: Child, message: Message) -> None:
        now, name, outlet = time.monotonic_ns(), child.name, self._crew.outlets[child.name]
        what = message["is"]
        if what in ("sent", "dropped"):
            outlet.answered(message["trigger"], now / 1e9, what == "sent")
            if what == "dropped":
                self.missed(name, str(message.get("why", "it was away")))
        elif what == "trigger":
            part = message["part"]
            self._arbiter.trigger(now, whole(message["at"]), None if part is None else str(part))
        elif what == "made":
            outlet.role = message["role"]
            self.tells |= bool(message["tells"])
            if outlet.role == "verdict":
                self._arbiter.sink(now, name, False)
        elif what == "up":
            child.works(now / 1e9)
            self.tried.add(child)
            outlet.up = True
            self._told(Notice("line-sink-up", {"sink": name}))
            if outlet.role == "verdict":
                self._arbiter.sink(now, name, True)
        elif what == "down":
            self.tried.add(child)
            self._told(Notice("line-sink-down", {"sink": name, "why": str(message["why"])}))
            self._sink_down(name)
        elif what == "health":
            self._health(name, message)
        elif what != "beaten":
            raise Misunderstood(what)

    def _health(self, name: str, message: Message) -> None:
        """Said where a sink isn't well, and once it is again."""
        detail = str(message["detail"])
        values = {"sink": name, "detail": detail, "counts": dict(message["counts"])}
        if not message["ok"]:
            if self._ill.get(name) != detail:  # its counts alone are no news
                self._told(Notice("line-sink-ill", values))
            self._ill[name] = detail
        elif self._ill.pop(name, None) is not None:
            self._told(Notice("line-sink-well", values))

    def _page(self, child: Child, message: Message) -> None:
        what = message["is"]
        if what == "up":
            child.works(time.monotonic())
            self._told(Notice("line-page-up", {"address": str(message["address"])}))
        elif what == "keep":
            if self._crew.recording is not None:
                self._crew.recording.keep(
                    str(message["camera"]), str(message["run"]), int(message["trigger"])
                )
        elif what == "fault":
            self._told(Notice("line-page-fault", {"what": str(message["text"])[:500]}))
        elif what != "alive":
            raise Misunderstood(what)

    def _recorder(self, message: Message) -> None:
        if self._crew.recording is not None and not self._crew.recording.message(message):
            raise Misunderstood(message["is"])

    def missed(self, sink: str, why: str) -> None:
        """A sink misses a verdict: said now and then, and counted always."""
        now = time.monotonic()
        if now - self._told_missed.get(sink, -TOLD_MISSED) >= TOLD_MISSED:
            self._told_missed[sink] = now
            count = self._crew.outlets[sink].missed
            self._told(Notice("line-sink-missed", {"sink": sink, "verdicts": count, "why": why}))

    def _sink_down(self, name: str) -> None:
        outlet = self._crew.outlets[name]
        outlet.gone()
        if outlet.role == "verdict":
            self._arbiter.sink(time.monotonic_ns(), name, False)


def _scored(message: Message) -> Scored:
    regions = tuple(
        Region((int(x), int(y), int(width), int(height)), int(area), float(peak))
        for x, y, width, height, area, peak in message["regions"]
    )
    score, threshold = float(message["score"]), float(message["threshold"])
    return Scored(score, threshold, bool(message["anomalous"]), regions)


__all__ = ["Hearing", "Told"]
