"""The arbiter: from triggers to exactly one verdict each, by their deadlines, whatever else happens.

A state machine without clock, process or file: each call says what happened and when, and ``take`` gives what
is to be done. Time goes on by the calls alone, so whoever runs it calls ``tick`` by ``next_at``. Every
trigger is pending until its verdict is said; the deadline says the fail-safe's where nothing else did before.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgead.line.bench import MOST_ERRORS, Bench
from edgead.line.events import Action, End, Free, Hand, Late, Ready, Reopen, Say, Scored, Shot
from edgead.line.matching import ByImage, ByTrigger, Matches
from edgead.line.rules import CameraRules, Rules, camera_of
from edgead.line.shadow import Shadow
from edgead.line.standing import Standing
from edgead.types import Decision, Times, Verdict, Why

PART_LENGTH = 64
"""Characters of a part's name."""


@dataclass
class _Pending:
    """A trigger without its verdict."""

    trigger: int
    camera: str
    part: str
    at: int
    count: int  # of the camera's triggers
    shot: Shot | None = None
    bundle: str | None = None  # of the judge that it was handed to


class Arbiter:
    """Says the verdicts.

    Args:
        rules: the line's.
        cameras: one or more.
        sinks: the names of those that take part in the verdict.
    """

    def __init__(self, rules: Rules, cameras: Sequence[CameraRules], sinks: Sequence[str]) -> None:
        self.rules = rules
        self._cameras = {camera.name: camera for camera in cameras}
        self._told = {each.name: ByTrigger(each.window) for each in cameras if each.told}
        self._seen = {each.name: ByImage() for each in cameras if not each.told}
        self._benches = {each.name: Bench(each.judges, each.queue, rules.hung) for each in cameras}
        self._had: dict[str, tuple[str, int]] = {}  # who judges each camera's last image, and which one it is
        self._shadows: dict[str, Shadow] = {}  # of the judges that are tried out
        self._standing = Standing(self._cameras, sinks)
        self._pending: dict[int, _Pending] = {}
        self._said: dict[int, _Pending] = {}  # in a late judge's hands
        self._slots: dict[int, tuple[str, int]] = {}  # in use, by trigger
        self._deadlines: list[tuple[int, int]] = []
        self._counted = dict.fromkeys(self._cameras, 0)
        self._bundles: dict[str, str | None] = dict.fromkeys(self._cameras)
        self._last = 0
        self._out: list[Action] = []
        self._ready: Ready | None = None

    # ------------------------------------------------------------ what whoever runs it asks

    def take(self) -> list[Action]:
        """What is to be done since it was last asked, in order."""
        if (ready := Ready(self._standing.reasons(self._benches))) != self._ready:
            self._ready = ready
            self._out.append(ready)
        out, self._out = self._out, []
        return out

    @property
    def pending(self) -> int:
        """Triggers without a verdict."""
        return len(self._pending)

    @property
    def triggers(self) -> int:
        """Triggers so far."""
        return self._last

    @property
    def next_at(self) -> int | None:
        """When ``tick`` has something to do, ns, or None."""
        while self._deadlines and self._deadlines[0][1] not in self._pending:
            heapq.heappop(self._deadlines)
        times = [self._deadlines[0][0]] if self._deadlines else []
        times += [each.next_at for each in self._told.values() if each.next_at is not None]
        times += [each.next_at for each in self._benches.values() if each.next_at is not None]
        return min(times, default=None)

    # ------------------------------------------------------------ what happens

    def tick(self, now: int) -> None:
        """Time went on: say the fail-safe's verdicts that are due, and end what hangs."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, trigger = heapq.heappop(self._deadlines)
            if trigger in self._pending:
                self._benches[self._pending[trigger].camera].missed(trigger)
                self._fail(now, trigger, "deadline")
        for camera, told in self._told.items():
            self._matched(now, camera, told.expire(now))
        for camera, bench in self._benches.items():
            self._out += [End(judge, "it hung") for judge in bench.hung(now)]
            self._pump(now, camera)

    def trigger(self, now: int, at: int, part: str | None = None) -> None:
        """A PLC tells of a trigger, for every camera that has its triggers told."""
        self.tick(now)
        for camera, told in self._told.items():
            trigger = self._new(camera, min(at, now), None, part)
            if self._standing.ending:
                self._fail(now, trigger, "stopped")
                continue
            self._matched(now, camera, told.trigger(now, trigger, min(at, now)))
            self._pump(now, camera)

    def shot(self, now: int, camera: str, shot: Shot) -> None:
        """A camera's process announces an image, or that one is lost."""
        self.tick(now)
        if camera in self._told:
            self._matched(now, camera, self._told[camera].shot(now, shot))
            self._pump(now, camera)
            return
        seen = self._seen[camera]
        certain = not seen.doubtful
        for number in seen.missing(shot):
            lost = Shot(None, now, frame_id=number, problem="it never came")
            self._judge(now, self._new(camera, now, lost), lost)
        trigger = self._new(camera, min(shot.grabbed, now), shot)
        if not seen.doubtful:
            self._judge(now, trigger, shot)
        else:
            self._hold(trigger, shot)
            self._fail(now, trigger, "uncorrelated")
            if certain:
                self._reopen(camera)
        self._pump(now, camera)

    def scored(self, now: int, judge: str, trigger: int, scored: Scored) -> None:
        """A judge's answer."""
        numbers = (scored.score, scored.threshold, *(region.peak for region in scored.regions))
        finite = all(map(math.isfinite, numbers))
        self._answer(now, judge, trigger, scored if finite else None)

    def failed(self, now: int, judge: str, trigger: int) -> None:
        """A judge couldn't judge an image."""
        self._answer(now, judge, trigger, None)

    def judge_ready(self, now: int, judge: str, bundle: str) -> None:
        """A judge is warm, with a bundle of this hash."""
        self.tick(now)
        camera = camera_of(judge)
        if (shadow := self._shadows.get(camera)) is not None and shadow.judge == judge:
            shadow.ready(bundle)
            return
        self._benches[camera].ready(judge, bundle)
        self._pump(now, camera)

    def judge_gone(self, now: int, judge: str) -> None:
        """A judge's process is no more."""
        self.tick(now)
        camera = camera_of(judge)
        if (shadow := self._shadows.get(camera)) is not None and shadow.judge == judge:
            if (seen := shadow.gone()) is not None:
                self._looked(seen, camera)
            return
        self._interrupted(camera, judge)
        held = self._benches[camera].gone(judge)
        if held is not None:
            self._said.pop(held, None)
            self._fail(now, held, "crash")
            self._release(held)
        for trigger in self._benches[camera].given_up():
            self._fail(now, trigger, "no-judge")
        self._pump(now, camera)

    # ------------------------------------------------------------ another bundle

    def add_judge(self, camera: str, judge: str) -> None:
        """One more judge of a camera is being warmed, which stands by."""
        self._benches[camera].add(judge)

    def try_out(self, camera: str, judge: str, images: int) -> Shadow:
        """A judge is being warmed that has to judge so many images beside the active one before it may judge
        alone; what becomes of it, the returned record tells."""
        self._shadows[camera] = Shadow(judge, images)
        return self._shadows[camera]

    def take_over(self, now: int, camera: str) -> None:
        """The judge that was tried out is the active one, for the next image on."""
        self.tick(now)
        shadow, bench = self._shadows.pop(camera), self._benches[camera]
        bench.add(shadow.judge)
        bench.ready(shadow.judge, shadow.bundle)
        bench.prefer(shadow.judge)
        self._pump(now, camera)

    def prefer(self, now: int, judge: str) -> bool:
        """Have another judge be the active one, for the next image on; False where it can't be."""
        self.tick(now)
        done = self._benches[camera_of(judge)].prefer(judge)
        self._pump(now, camera_of(judge))
        return done

    def retire(self, now: int, judge: str) -> bool:
        """Have a judge no more, so that it may be ended; False where that's to be asked again later, since a
        trigger's verdict rests on it."""
        self.tick(now)
        camera = camera_of(judge)
        shadow, bench = self._shadows.get(camera), self._benches[camera]
        if shadow is not None and shadow.judge == judge:
            del self._shadows[camera]
            if (seen := shadow.gone()) is not None:
                self._looked(seen, camera)
            return True
        if not bench.remove(judge):
            return False
        for trigger in bench.given_up():
            self._fail(now, trigger, "no-judge")
        self._pump(now, camera)
        return True

    def able(self, judge: str) -> bool:
        """Whether a judge may judge the next image."""
        known = self._benches[camera_of(judge)].judges.get(judge)
        return known is not None and known.state in ("idle", "busy")

    def active(self, camera: str) -> str | None:
        """The judge that gets the camera's next image, or None."""
        return self._benches[camera].active

    # ------------------------------------------------------------ cameras, sinks, the end

    def camera_open(self, now: int, camera: str) -> None:
        """A camera takes triggers."""
        self.tick(now)
        self._standing.cameras[camera] = True
        self._had.pop(camera, None)
        if camera in self._told:
            self._told[camera].opened(now)
        else:
            self._seen[camera].opened()

    def camera_lost(self, now: int, camera: str) -> None:
        """A camera is gone, or its process."""
        self.tick(now)
        self._standing.cameras[camera] = False
        if camera in self._told:
            self._matched(now, camera, self._told[camera].lost())

    def camera_silent(self, now: int, camera: str, silent: bool) -> None:
        """Nothing is heard of a camera's process, which may hang; or something is again."""
        self.tick(now)
        (self._standing.silent.add if silent else self._standing.silent.discard)(camera)

    def sink(self, now: int, name: str, up: bool) -> None:
        """A sink that takes part in the verdict is there, or isn't."""
        self.tick(now)
        self._standing.sinks[name] = up

    def stop(self, now: int) -> None:
        """The line ends: what is pending gets the fail-safe's verdict, and nothing is ready any more."""
        self.tick(now)
        self._standing.ending = True
        for trigger, pending in list(self._pending.items()):
            self._benches[pending.camera].missed(trigger)
            self._fail(now, trigger, "stopped")

    # ------------------------------------------------------------ how

    def _new(self, camera: str, at: int, shot: Shot | None, part: str | None = None) -> int:
        self._last += 1
        self._counted[camera] += 1
        if part is None:
            counted = self._counted[camera] if shot is None or shot.frame_id is None else shot.frame_id
            part = str(counted)
        self._pending[self._last] = _Pending(
            self._last, camera, part[:PART_LENGTH], at, self._counted[camera], shot
        )
        heapq.heappush(self._deadlines, (at + self.rules.deadline, self._last))
        return self._last

    def _matched(self, now: int, camera: str, found: Matches) -> None:
        for trigger, why in found.failed:
            self._fail(now, trigger, why)
        for shot in found.dropped:
            self._free(camera, shot)
        for trigger, shot in found.found:
            if (pending := self._pending.get(trigger)) is None:  # its deadline was before the window's end
                self._free(camera, shot)
                continue
            pending.shot = shot
            if shot.grabbed < pending.at:  # word of the trigger took longer than the image
                pending.at = shot.grabbed
                heapq.heappush(self._deadlines, (pending.at + self.rules.deadline, trigger))
            self._judge(now, trigger, shot)
        if found.reopen:
            self._reopen(camera)

    def _reopen(self, camera: str) -> None:
        self._standing.cameras[camera] = False
        self._out.append(Reopen(camera))

    def _judge(self, now: int, trigger: int, shot: Shot) -> None:
        """Have an image judged, or say at once why it can't be."""
        pending = self._pending[trigger]
        self._hold(trigger, shot)
        bench = self._benches[pending.camera]
        if shot.overrun:
            self._fail(now, trigger, "overrun")
        elif shot.slot is None or shot.problem is not None:
            self._fail(now, trigger, "no-image")
        elif pending.at + self.rules.deadline <= now:
            self._fail(now, trigger, "deadline")
        elif self._standing.ending:
            self._fail(now, trigger, "stopped")
        elif not bench.able:
            self._fail(now, trigger, "no-judge")
        elif not bench.offer(trigger):
            self._fail(now, trigger, "overrun")

    def _pump(self, now: int, camera: str) -> None:
        while (handed := self._benches[camera].next_hand(now)) is not None:
            judge, trigger = handed
            pending = self._pending[trigger]
            shot = pending.shot
            assert shot is not None
            pending.bundle = self._benches[camera].judges[judge].bundle
            follows = self._had.get(camera) == (judge, pending.count - 1)
            self._out.append(Hand(judge, trigger, camera, shot, follows))
            self._had[camera] = judge, pending.count
            if (shadow := self._shadows.get(camera)) is not None and shadow.wants:
                shadow.hand(trigger)
                self._out.append(Hand(shadow.judge, trigger, camera, shot))

    def _answer(self, now: int, judge: str, trigger: int, scored: Scored | None) -> None:
        self.tick(now)  # before it: an answer that comes with the deadline is late
        camera = camera_of(judge)
        if (shadow := self._shadows.get(camera)) is not None and shadow.judge == judge:
            if shadow.answered(trigger, scored, trigger not in self._pending):
                self._looked(trigger, camera)
            return
        bench = self._benches[camera]
        if not bench.answered(judge, trigger, scored is None):
            return
        if scored is None:
            self._interrupted(camera, judge)
        if bench.judges[judge].state == "ended":
            self._out.append(End(judge, f"it failed {MOST_ERRORS} times in a row"))
        if (pending := self._said.pop(trigger, None)) is not None:
            late = now - pending.at - self.rules.deadline
            self._out.append(Late(judge, trigger, camera, pending.part, late, scored))
        elif scored is None:
            self._fail(now, trigger, "error")
        else:
            self._say(now, trigger, "score", "reject" if scored.anomalous else "accept", scored)
        self._release(trigger)
        for left in bench.given_up():
            self._fail(now, left, "no-judge")
        self._pump(now, camera)

    def _interrupted(self, camera: str, judge: str) -> None:
        """What a judge gets next doesn't follow on what it has judged."""
        if self._had.get(camera, ("", 0))[0] == judge:
            del self._had[camera]

    def _fail(self, now: int, trigger: int, why: Why) -> None:
        if trigger in self._pending:
            self._standing.stopped |= self.rules.stops
            self._say(now, trigger, why, self.rules.failsafe, None)

    def _say(self, now: int, trigger: int, why: Why, decision: Decision, scored: Scored | None) -> None:
        pending = self._pending.pop(trigger)
        shot, bench = pending.shot, self._benches[pending.camera]
        if bench.active is not None:
            self._bundles[pending.camera] = bench.judges[bench.active].bundle
        grab = shot.grabbed if shot is not None and shot.slot is not None else None
        verdict = Verdict(
            run=self.rules.run,
            trigger=trigger,
            part=pending.part,
            camera=pending.camera,
            decision=decision,
            why=why,
            score=None if scored is None else scored.score,
            threshold=None if scored is None else scored.threshold,
            regions=() if scored is None else scored.regions,
            bundle=pending.bundle or self._bundles[pending.camera],
            times=Times(pending.at, grab, None if scored is None else now, now),
            encoder=None if shot is None else shot.encoder,
            frame_id=None if shot is None else shot.frame_id,
        )
        self._out.append(Say(verdict, shot))
        if (shadow := self._shadows.get(pending.camera)) is not None:
            shadow.judged(trigger, scored)
        if bench.in_hand(trigger):
            self._said[trigger] = pending
        else:
            self._release(trigger)

    def _hold(self, trigger: int, shot: Shot) -> None:
        if shot.slot is not None:
            self._slots[trigger] = (self._pending[trigger].camera, shot.slot)

    def _release(self, trigger: int) -> None:
        """Nobody but a judge that is tried out may need a trigger's image any more."""
        if (slot := self._slots.get(trigger)) is None:
            return
        if (shadow := self._shadows.get(slot[0])) is None or not shadow.reads(trigger):
            del self._slots[trigger]
            self._out.append(Free(*slot))

    def _looked(self, trigger: int, camera: str) -> None:
        """The judge that is tried out needs a trigger's image no more."""
        if trigger not in self._pending and not self._benches[camera].in_hand(trigger):
            self._release(trigger)

    def _free(self, camera: str, shot: Shot) -> None:
        if shot.slot is not None:
            self._out.append(Free(camera, shot.slot))


__all__ = ["Arbiter"]
