"""A judge: a process that has a bundle loaded and says what it makes of one image after another."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgead.errors import InferenceError, SelfTestError, one_line
from edgead.line.broken import break_down
from edgead.line.channel import Channel, Message
from edgead.line.child import run
from edgead.line.config import StripTable
from edgead.line.events import Scored
from edgead.line.faults import Fault, of_word
from edgead.line.ring import Ring
from edgead.line.small_map import small_map
from edgead.line.stand_in import Judging, stand_in
from edgead.runtime.cores import check_cores

MOST_REGIONS = 16
"""Regions that a verdict has at most, the highest peaks."""


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Load the bundle, say so, and judge until told to stop."""
    if start["cores"]:
        check_cores(start["cores"])
        os.sched_setaffinity(0, start["cores"])
    began = time.monotonic()
    judging, facts = stand_in(Path(start["bundle"]).name) if start["stand_in"] else _loaded(start)
    faults = {fault.part: fault for fault in map(of_word, start["faults"]) if fault.where == "judge"}
    ring = Ring(*start["ring"])
    channel.send({"is": "ready", "seconds": time.monotonic() - began, **facts})
    while not channel.closed:
        for message in channel.receive(1.0):
            if message["is"] == "stop":
                return
            if message["is"] == "ping":
                channel.send({"is": "pong"})
            else:
                channel.send(_answer(judging, ring, message, faults.pop(message["number"], None)))


def _answer(judging: Judging, ring: Ring, message: Message, fault: Fault | None) -> Message:
    trigger = message["trigger"]
    try:
        image = ring.read(message["slot"], message["shape"], message["dtype"])
        scored = judging(image, message) if fault is None else _broken(judging, image, message, fault)
    except Exception as error:  # whatever an engine raises, there's no score
        return {"is": "failed", "trigger": trigger, "why": one_line(error)}
    regions = [[*region.box, region.area, region.peak] for region in scored.regions[:MOST_REGIONS]]
    answer = {"is": "scored", "trigger": trigger, "score": scored.score, "threshold": scored.threshold,
              "anomalous": scored.anomalous, "regions": regions}  # fmt: skip
    if "map" in message and (message["map"] or scored.anomalous) and scored.found is not None:
        answer["map"] = small_map(scored.found)
    return answer


def _broken(judging: Judging, image: NDArray[Any], message: Message, fault: Fault) -> Scored:
    how = fault.what.partition("-")[2]
    if how == "slow":
        time.sleep(fault.seconds)
    elif how == "raise":
        raise InferenceError("the fault script says so; take it out")
    elif how == "nan":
        return Scored(float("nan"), judging(image, message).threshold, False)
    else:
        break_down(how)
    return judging(image, message)


def _loaded(start: Message) -> tuple[Judging, dict[str, Any]]:
    """A detector, warm. Raises what ``edgead.load`` does."""
    from edgead.line.identity import identity_of
    from edgead.runtime.detector import load

    detector = load(
        Path(start["bundle"]),
        device=start["device"],
        engine=start["engine"],
        threads=start["threads"],
        cores=start["cores"] or None,
        depth=start["depth"],
        product=start["product"],
        trust=[Path(key) for key in start["keys"]] or None,
        self_test_minutes=start["self_test_minutes"],
    )

    strip = None
    if start["strip"] is not None:
        from edgead.line.strips import StripJudge

        strip = StripJudge(detector, StripTable(**start["strip"]), start["product"], start["depth"])

    def judging(image: NDArray[Any], message: Message) -> Scored:
        depth = message.get("depth") if image.dtype.itemsize == 2 else None
        if other_depth := of_another_depth(depth, detector.depth):
            raise InferenceError(other_depth)
        if strip is not None:
            scored = strip(image, message["number"], message.get("follows", True))
        else:
            found = detector(image, depth=depth)
            score, threshold = float(found.score), float(found.threshold)
            scored = Scored(score, threshold, found.is_anomalous, found.regions, found)
        if (tested := detector.self_test) is not None and not tested.passed:
            raise SelfTestError(str(tested))
        return scored

    facts = {
        "bundle": detector.bundle.digest,
        "identity": identity_of(detector.bundle),
        "runs_on": detector.runs_on,
        "threshold": detector.threshold,
        "depth": detector.depth,
    }
    return judging, facts


def of_another_depth(camera: int | None, learned: int | None) -> str | None:
    """Why a bundle can't judge images of so many significant bits, or None; either may be unknown."""
    if camera is None or learned is None or camera == learned:
        return None
    return (
        f"the camera gives images of {camera} bits, and its bundle or the line's file says {learned}: set "
        "the camera's pixel format to such, or fit a bundle on its images"
    )


__all__ = ["MOST_REGIONS", "main", "of_another_depth", "work"]
