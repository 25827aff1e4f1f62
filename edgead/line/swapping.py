"""Another bundle for a camera while its line runs: tried beside the old one, and taken back by itself.

    trying     a judge with the new bundle is warmed where nothing else wants to run, and judges images that
               the active judge judges too; no score of it is sent
    trial      it's the active judge, and the old one stands by, warm
    settling   a second judge with the new bundle is warmed; then the old one goes

One camera at a time, and every trigger is the one active judge's. Where the new bundle is refused, crashes or
has more of its verdicts said by the fail-safe than the old one had, the old one has never been away.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from edgead.line.arbiter import Arbiter
from edgead.line.config import LineTable
from edgead.line.crew import Crew
from edgead.line.identity import short
from edgead.line.processes import Child
from edgead.line.shadow import Shadow
from edgead.notices import Notice
from edgead.types import Verdict

FAULTS = ("deadline", "error", "crash", "overrun", "no-judge")
"""Reasons of the fail-safe that a bundle may be to blame for."""
MORE = 2
"""Verdicts by the fail-safe that a trial may have beyond twice those that the old bundle had in as many."""
Phase = Literal["trying", "trial", "settling"]


@dataclass(frozen=True)
class Found:
    """Which bundle a camera should have.

    Attributes:
        camera: whose.
        path: the bundle's folder.
        identity: what it is, see ``edgead.line.identity``; empty where that can't be told.
        trouble: why it can't be told, in words; else empty.
        again: whether it's to be taken even where it's the one that judges.
    """

    camera: str
    path: Path
    identity: str = ""
    trouble: str = ""
    again: bool = False


class Supply(Protocol):
    """Where bundles come from. Its work is done in a thread of its own: the line waits for no disk."""

    def ask(self, camera: str | None) -> None:
        """Look which bundle a camera should have, or all of them."""
        ...

    def take(self) -> list[tuple[Found, ...]]:
        """What was found since, for each asking."""
        ...

    def flipped(self, found: Found) -> None:
        """It judges now, on trial."""
        ...

    def back(self, found: Found, why: str) -> None:
        """It was refused, or went back from: the one before is to be current again."""
        ...

    def show(self, status: dict[str, Any]) -> None:
        """What whoever asks about the line may see has changed."""
        ...

    def close(self) -> None:
        """The line ends."""
        ...


@dataclass
class _Swap:
    """What is under way."""

    found: Found
    judge: str
    shadow: Shadow
    phase: Phase = "trying"
    old: tuple[Path, str] = (Path(), "")
    fallback: str = ""
    standby: str = ""
    gone: str = ""
    verdicts: int = 0
    faults: int = 0
    allowed: int = 0
    until: float = 0.0


class Swapping:
    """Changes bundles.

    Args:
        crew, arbiter: the line's.
        supply: where bundles come from, or None where nothing is asked.
        own: the line's settings.
        told: takes what is to be logged; it must not wait.

    Attributes:
        tally: how many were done, refused and gone back from.
    """

    def __init__(
        self,
        crew: Crew,
        arbiter: Arbiter,
        supply: Supply | None,
        own: LineTable,
        told: Callable[[Notice], None],
    ) -> None:
        self._crew, self._arbiter, self._supply, self._own, self._told = crew, arbiter, supply, own, told
        self._swap: _Swap | None = None
        self._wanted: dict[str, Found] = {}
        self._leaving: list[str] = []
        self._recent = {name: deque[bool](maxlen=max(1, own.trial)) for name in crew.cameras}
        self._status: dict[str, dict[str, str]] = {name: {} for name in crew.cameras}
        self._given_up: dict[str, dict[str, str]] = {}
        self._asked = 0
        self.tally: Counter[str] = Counter()

    def ask(self, camera: str | None = None) -> None:
        """Look whether a camera, or any, should have another bundle, and change it then."""
        if self._supply is None or (camera is not None and camera not in self._recent):
            self._told(Notice("line-swap-unasked", {"camera": str(camera)[:60]}))
        else:
            self._supply.ask(camera)

    def offer(self, found: Found) -> None:
        """A camera should have this bundle; the newest word counts."""
        camera, swap = found.camera, self._swap
        under_way = swap.found if swap is not None and swap.found.camera == camera else None
        runs = self._crew.runs.get(camera)
        if found.trouble:
            self._refuse(found, found.trouble)
        elif under_way is not None and under_way.identity == found.identity and not found.again:
            self._wanted.pop(camera, None)
        elif not found.again and under_way is None and runs == (found.path, found.identity):
            self._wanted.pop(camera, None)
            self._say("same", found, Notice("line-swap-same"))
        else:
            self._wanted[camera] = found
            self._mark(found, "waiting")

    def said(self, verdict: Verdict) -> None:
        """A verdict was said."""
        swap, fault = self._swap, verdict.why in FAULTS
        self._recent[verdict.camera].append(fault)
        if swap is None or swap.phase != "trial" or swap.found.camera != verdict.camera:
            return
        if verdict.bundle == swap.shadow.bundle:
            swap.verdicts += 1
            swap.faults += fault

    def gone(self, child: Child, why: str) -> None:
        """A process has ended."""
        swap = self._swap
        if swap is not None and child.kind == "judge" and child.name == swap.judge:
            swap.gone = child.refusal or why

    def turn(self, now: int) -> None:
        """Go on with what is under way, as far as that goes now."""
        for batch in self._supply.take() if self._supply is not None else ():
            for found in batch:
                self.offer(found)
            self._asked += 1
            self._show()
        self._leaving = [name for name in self._leaving if not self._left(now, name)]
        swap = self._swap
        if swap is None:
            if self._wanted:
                self._begin(self._wanted.pop(next(iter(self._wanted))))
        elif swap.phase == "trying":
            self._try(now, swap)
        elif swap.phase == "trial":
            self._watch(now, swap)
        else:
            self._settle(now, swap)

    def close(self) -> None:
        """The line ends."""
        if self._supply is not None:
            self._supply.close()

    # ------------------------------------------------------------ each step

    def _begin(self, found: Found) -> None:
        judge = self._crew.add_judge(found.camera, found.path, candidate=True)
        shadow = self._arbiter.try_out(found.camera, judge, self._own.shadow)
        self._swap = _Swap(found, judge, shadow)
        self._say("trying", found, Notice("line-swap-tries", {"images": self._own.shadow}))

    def _try(self, now: int, swap: _Swap) -> None:
        shadow, camera = swap.shadow, swap.found.camera
        if camera in self._wanted:
            self._drop(now, swap)
            self._told(Notice("line-swap-other", {"camera": camera, "bundle": short(swap.found.identity)}))
        elif shadow.outcome == "passed":
            self._flip(now, swap)
        elif shadow.outcome:
            failed = "it couldn't judge an image that the one before could"
            why = failed if shadow.outcome == "failed" else swap.gone
            self._drop(now, swap)
            self._refuse(swap.found, why)

    def _drop(self, now: int, swap: _Swap) -> None:
        self._arbiter.retire(now, swap.judge)
        self._crew.end_judge(swap.judge)
        self._swap = None

    def _refuse(self, found: Found, why: str) -> None:
        self._say("refused", found, Notice("line-swap-refused", {"why": why}))
        if self._supply is not None:
            self._supply.back(found, why)

    def _flip(self, now: int, swap: _Swap) -> None:
        crew, camera, shadow = self._crew, swap.found.camera, swap.shadow
        others = [judge.name for judge in crew.judges_of(camera)]
        active = self._arbiter.active(camera)
        swap.fallback = active if active in others else next(filter(self._arbiter.able, others), others[0])
        swap.allowed = 2 * sum(self._recent[camera]) + MORE
        swap.old = crew.runs[camera]
        crew.let_run(swap.judge)
        crew.candidates.discard(swap.judge)
        crew.now_runs(camera, swap.judge)
        self._arbiter.take_over(now, camera)
        self._leaving += [name for name in others if name != swap.fallback]
        swap.phase = "trial"
        values = {"images": shadow.compared, "differ": shadow.differ, "apart": shadow.apart}
        self._say("trial", swap.found, Notice("line-swap-judges", values))
        if self._supply is not None:
            self._supply.flipped(swap.found)

    def _watch(self, now: int, swap: _Swap) -> None:
        camera = swap.found.camera
        if swap.gone:
            self._back(now, swap, swap.gone)
        elif (wanted := self._wanted.get(camera)) is not None and (wanted.path, wanted.identity) == swap.old:
            del self._wanted[camera]  # a rollback: the one that's wanted stands by
            self._back(now, swap, "the one before is wanted again")
            self._say("same", wanted, Notice("line-swap-same"))
        elif swap.faults > swap.allowed:
            self._back(now, swap, f"{swap.faults} of {swap.verdicts} verdicts were the fail-safe's")
        elif swap.verdicts >= self._own.trial:
            swap.standby = self._crew.add_judge(swap.found.camera, swap.found.path)
            self._arbiter.add_judge(swap.found.camera, swap.standby)
            swap.phase, swap.until = "settling", time.monotonic() + self._own.start_seconds
        elif self._arbiter.active(swap.found.camera) != swap.judge:  # it was late once, and is there again
            self._arbiter.prefer(now, swap.judge)

    def _back(self, now: int, swap: _Swap, why: str) -> None:
        crew, camera = self._crew, swap.found.camera
        crew.runs[camera] = swap.old
        crew.identities[swap.old[0]] = swap.old[1]
        self._arbiter.prefer(now, swap.fallback)
        self._leaving += [name for name in (swap.judge, swap.standby) if name]
        standby = crew.add_judge(camera, swap.old[0])
        self._arbiter.add_judge(camera, standby)
        self._swap = None
        self._say("back", swap.found, Notice("line-swap-back", {"why": why}))
        if self._supply is not None:
            self._supply.back(swap.found, why)

    def _settle(self, now: int, swap: _Swap) -> None:
        camera, able = swap.found.camera, self._arbiter.able
        if not able(swap.standby) and camera not in self._wanted and time.monotonic() <= swap.until:
            return
        ready = next(filter(able, (swap.judge, swap.standby)), None)
        if ready is None:
            self._back(now, swap, "none of its judges is ready any more")
            return
        if self._arbiter.active(camera) not in (swap.judge, swap.standby):
            self._arbiter.prefer(now, ready)
        self._leaving.append(swap.fallback)
        self._swap = None
        self._say("done", swap.found, Notice("line-swap-done"))

    def _left(self, now: int, judge: str) -> bool:
        """Have a judge end where no verdict rests on it."""
        if not self._arbiter.retire(now, judge):
            return False
        self._crew.end_judge(judge)
        return True

    # ------------------------------------------------------------ what is told of it

    def _say(self, phase: str, found: Found, notice: Notice) -> None:
        self.tally[phase] += 1
        whose = {"camera": found.camera, "bundle": short(found.identity or "?")}
        self._told(Notice(notice.code, {**whose, **notice.values}))
        self._mark(found, phase, str(notice.values.get("why", "")))

    def _mark(self, found: Found, phase: str, why: str = "") -> None:
        now = {"to": str(found.path), "phase": phase, "why": why[:500]}
        if phase in ("refused", "back"):
            self._given_up[found.camera] = now  # whoever installed it is to see that even after the next look
        elif self._given_up.get(found.camera, {}).get("to") == now["to"]:
            del self._given_up[found.camera]
        self._status[found.camera] = now
        self._show()

    def _show(self) -> None:
        if self._supply is not None:
            runs = {
                camera: {"bundle": each[1], "path": str(each[0])} for camera, each in self._crew.runs.items()
            }
            cameras = {name: {**runs.get(name, {}), **swap} for name, swap in self._status.items()}
            given_up = dict(self._given_up)  # what's shown is written in another thread
            self._supply.show({"asked": self._asked, "cameras": cameras, "given_up": given_up})


__all__ = ["FAULTS", "Found", "Supply", "Swapping"]
