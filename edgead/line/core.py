"""The line's own process: it runs the arbiter, gives its verdicts to the sinks, and keeps processes going.

One loop in one thread, which waits for nothing but news: a message, a deadline, a process's end.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable

from edgead.errors import OptionError, TimedOutError
from edgead.line.arbiter import Arbiter
from edgead.line.crew import Crew, Plan
from edgead.line.events import End, Free, Hand, Late, Ready, Reopen, Say
from edgead.line.hearing import Hearing, Told
from edgead.line.processes import Child
from edgead.line.records import record_of
from edgead.line.reporting import Reporting
from edgead.line.swapping import Supply, Swapping
from edgead.line.tally import Tally
from edgead.line.watchdog import Watchdog
from edgead.notices import Notice
from edgead.types import Verdict

PING = 0.5
"""Seconds between two questions to a judge whether it's there."""
IDLE = 2.0
"""Seconds that an idle process may be silent beside ``hung_ms``."""
PAGE = 30.0
"""Seconds that the page, which runs where others leave time, may be silent."""
STALL = 1.0
"""Seconds beyond ``beat_ms`` from one turn of the loop to the next after which this process is taken to have
been stopped itself: who was silent meanwhile wasn't asked."""
GRACE = 2.0
"""Seconds that the end may take: for sinks to put out the last verdicts, and for processes to let go."""


class Core:
    """Runs a line.

    Args:
        plan: what is run.
        told: takes what is to be logged; it must not wait.
        supply: where other bundles come from while it runs, if from anywhere.

    Attributes:
        arbiter: says the verdicts.
        tally: counts them.
        swapping: changes bundles.
        started: whether triggers may come.
        ready: whether every trigger is expected to get a score.
    """

    def __init__(self, plan: Plan, told: Callable[[Told], None], supply: Supply | None = None) -> None:
        self._own = plan.line.table
        self._plc = any(camera.table.trigger == "plc" for camera in plan.line.cameras)
        self._hung, self._beat_every = self._own.hung_ms / 1e3, self._own.beat_ms / 1e3
        self.arbiter = Arbiter(plan.rules(os.urandom(8).hex()), plan.cameras(), ())
        self.tally = Tally(self.arbiter.rules.deadline)
        self.started = self.ready = False
        self._crew = Crew(plan)
        self._recording = self._crew.recording
        self._reporting = Reporting(self._crew, self.tally)
        self._told = told = self._reporting.beside(self._recorded(told))
        self._hearing = Hearing(self._crew, self.arbiter, told)
        self.swapping = Swapping(self._crew, self.arbiter, supply, plan.line.table, told)
        self._watchdog = Watchdog()
        self._silent: set[str] = set()
        self._beaten = 0.0
        self._turned = time.monotonic()
        self._stopping = False

    @property
    def missed(self) -> dict[str, int]:
        """Verdicts that each sink didn't get."""
        return {name: outlet.missed for name, outlet in self._crew.outlets.items()}

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        """Start, go on until ``stop`` is called or ``done`` says so, and end; each trigger has its verdict.

        Raises:
            EdgeadError: it didn't start: a bundle, source or sink was refused, or isn't ready in time.
        """
        try:
            self._start()
            while not self._stopping and not done():
                self._turn()
        finally:
            self._end()

    @property
    def unrecorded(self) -> dict[str, int]:
        """Rows and images that the recorder didn't get; empty where there's none."""
        return {} if self._recording is None else self._recording.lost

    def stop(self) -> None:
        """Have ``run`` end; a signal's handler may call it."""
        self._stopping = True

    def reload(self, camera: str | None = None) -> None:
        """Look whether a camera, or any, should have another bundle, and change it; a signal's handler may
        call it."""
        self._hearing.reloads.append(camera)

    # ------------------------------------------------------------ beginning and end

    def _start(self) -> None:
        until = time.monotonic() + self._own.start_seconds
        while (lacking := self._lacking()) and not self._stopping:
            self._turn()
            if self._hearing.refused is not None:
                raise self._hearing.refused
            if time.monotonic() > until:
                raise TimedOutError(
                    f"{', '.join(child.label for child in lacking)}: not ready after "
                    f"{self._own.start_seconds:g} s; see what was said before, or raise start_seconds"
                )
        if not self._stopping:
            self._check()
            self.started = True
            self._watchdog.tell(READY=1)
            self._told(Notice("line-started", {"line": self._own.name, "run": self.arbiter.rules.run}))
            gc.collect()
            gc.freeze()  # what is there now stays: looking through it again would only take time
            self._hearing.open_cameras()

    def _lacking(self) -> list[Child]:
        crew = self._crew
        judges = [child for child in crew.judges.values() if not child.up]
        others = [*crew.cameras.values(), *crew.sinks.values()]
        return judges + [child for child in others if child not in self._hearing.tried]

    def _check(self) -> None:
        if not any(outlet.role == "verdict" for outlet in self._crew.outlets.values()):
            raise OptionError('no sink has the role verdict: give one of them role = "verdict"')
        if self._plc and not self._hearing.tells:
            raise OptionError(
                'a camera has trigger = "plc", and no sink tells of triggers: give a sink that does'
            )

    def _end(self) -> None:
        gc.unfreeze()
        self._watchdog.tell(STOPPING=1)
        self.arbiter.stop(time.monotonic_ns())
        self._perform()
        self._beat(time.monotonic())
        until = time.monotonic() + GRACE
        while self._owed() and (left := until - time.monotonic()) > 0:
            for child, message in self._crew.children.messages(min(left, 0.02)):
                self._hearing.hear(child, message)
                self._perform()
        for notice in [] if self._recording is None else self._recording.ended():
            self._told(notice)
        self._crew.children.end_all(GRACE)
        self._crew.close()
        self.swapping.close()

    def _recorded(self, told: Callable[[Told], None]) -> Callable[[Told], None]:
        """What is told goes to the recorder too."""
        if (recording := self._recording) is None:
            return told

        def tell(what: Told) -> None:
            recording.hear(what)
            told(what)

        return tell

    def _owed(self) -> bool:
        """Whether a sink still has verdicts in hand that it may put out, or the recorder ones to write."""
        if self._recording is not None and not self._recording.idle:
            return True
        return any(outlet.up and not outlet.idle for outlet in self._crew.outlets.values())

    # ------------------------------------------------------------ the loop

    def _turn(self) -> None:
        children = self._crew.children
        children.start_due(time.monotonic())
        for child, message in children.messages(self._wait()):
            self._hearing.hear(child, message)
            self._perform()
            if (due := self.arbiter.next_at) is not None and due <= (now := time.monotonic_ns()):
                self.arbiter.tick(now)  # who says very much delays nobody's verdict
                self._perform()
        for child, why in children.ended(time.monotonic()):
            self._hearing.gone(child, why)
            self.swapping.gone(child, why)
        self.arbiter.tick(time.monotonic_ns())
        self._perform()
        self._swap()
        self._watch(time.monotonic())

    def _swap(self) -> None:
        if not self.started:
            return
        while self._hearing.reloads:
            self.swapping.ask(self._hearing.reloads.popleft())
        self.swapping.turn(time.monotonic_ns())
        self._perform()

    def _wait(self) -> float:
        """Seconds until there's something to do, if nothing is heard."""
        now = time.monotonic()
        times = [self._beaten + self._beat_every]
        if (due := self.arbiter.next_at) is not None:
            times.append(due / 1e9)
        if (again := self._crew.children.next_at) is not None:
            times.append(again)
        return max(0.0, min(times) - now)

    def _perform(self) -> None:
        crew = self._crew
        for action in self.arbiter.take():
            if isinstance(action, Say):
                self._say(action.verdict)
                if self._recording is not None:
                    self._recording.said(action)
            elif isinstance(action, Hand):
                self._hand(action)
            elif isinstance(action, Free):
                if self._recording is None or not self._recording.lend(action):
                    crew.give_back(action.camera, action.slot)
            elif isinstance(action, End):
                if action.judge in crew.judges:
                    crew.judges[action.judge].kill(action.why)
            elif isinstance(action, Reopen):
                self._told(Notice("line-uncorrelated", {"camera": action.camera}))
                self._hearing.open_camera(action.camera)
            elif isinstance(action, Late):
                self.tally.add(action)
                self._told(action)
            else:
                self._be_ready(action)

    def _say(self, verdict: Verdict) -> None:
        self.tally.add(verdict)
        self.swapping.said(verdict)
        now, message = time.monotonic(), {"is": "verdict", "verdict": record_of(verdict)}
        outlets = sorted(self._crew.outlets.items(), key=lambda each: each[1].role != "verdict")
        for name, outlet in outlets:  # first those that act on it
            if outlet.has_room and self._crew.sinks[name].send(message):
                outlet.gave(verdict.trigger, now)
            else:
                outlet.missed += 1
                self._hearing.missed(name, "it's away, or has too many in hand")
        self._told(verdict)

    def _hand(self, hand: Hand) -> None:
        shot, judge = hand.shot, self._crew.judges.get(hand.judge)
        if judge is None:  # one that was tried out, and isn't any more
            return
        message = {"is": "judge", "trigger": hand.trigger, "slot": shot.slot, "shape": shot.shape,
                   "dtype": shot.dtype, "number": shot.frame_id, "depth": shot.depth,
                   "follows": hand.follows}  # fmt: skip
        if self._recording is not None:
            lending = self._recording.lending
            message["map"] = lending.wants_map(hand.trigger, hand.camera, time.monotonic_ns())
        if not judge.send(message):
            judge.kill("it took no image")

    def _be_ready(self, now: Ready) -> None:
        changed, self.ready = now.ready != self.ready, now.ready
        if self.started:  # before, nothing is
            self._told(now)
        self._watchdog.tell(STATUS="ready" if now.ready else "; ".join(map(str, now.reasons)))
        if changed:
            self._beat(time.monotonic())

    # ------------------------------------------------------------ who is still there

    def _watch(self, now: float) -> None:
        for notice in [] if self._recording is None else self._recording.turn(now):
            self._told(notice)
        if now - self._turned > STALL + self._beat_every:
            for child in self._crew.children.all:
                child.heard = now
            self._told(Notice("line-stalled", {"seconds": now - self._turned}))
        self._turned = now
        if now - self._beaten >= self._beat_every:
            self._beat(now)
        self._reporting.turn(now, self.arbiter.rules.run)
        for name, outlet in self._crew.outlets.items():
            if outlet.overdue(now):
                self._crew.sinks[name].kill("it took too long over a verdict")
        for child in self._crew.children.all:
            if child.process is not None and now - child.heard > self._patience(child):
                child.kill("nothing was heard of it")
        for name, child in self._crew.cameras.items():
            silent = self._crew.lenses[name].is_open and now - child.heard > self._hung
            if silent != (name in self._silent):
                (self._silent.add if silent else self._silent.discard)(name)
                self.arbiter.camera_silent(time.monotonic_ns(), name, silent)
        for child in self._crew.judges.values():
            if child.up and now - child.asked >= PING:
                child.asked = now
                child.send({"is": "ping"})
        self._watchdog.feed(now, self.started and all(map(self._judges, self._crew.cameras)))

    def _judges(self, camera: str) -> bool:
        """Whether any judge of a camera answers."""
        now = time.monotonic()
        return any(j.up and now - j.heard < self._hung + IDLE for j in self._crew.judges_of(camera))

    def _patience(self, child: Child) -> float:
        """Seconds of silence until a process is taken to hang."""
        if not child.up or child.name in self._crew.candidates:
            return self._own.start_seconds
        if child.kind == "page":
            return PAGE
        if child.kind == "camera" and not self._crew.lenses[child.name].is_open:
            return self._own.start_seconds
        if child.kind == "sink":
            outlet = self._crew.outlets[child.name]
            return IDLE + max(self._hung, outlet.patience) if outlet.up else self._own.start_seconds
        return self._hung + IDLE

    def _beat(self, now: float) -> None:
        self._beaten = now
        for child in self._crew.sinks.values():
            child.send({"is": "beat", "ready": self.ready})


__all__ = ["Core"]
