"""Break a line in all the ways that it may break, at random: has each trigger its one verdict, in time?

    python tools/line_guarantee.py [--scripts N] [--seed S] [--parts N] [--rate R] [--faults N]
        [--deadline-ms MS] [--epsilon-ms MS] [--keep-going]

Each script is a line with real processes: a virtual camera, two judges that read what is written in its
images, and a virtual PLC with its own clock on each verdict. Its faults are drawn from the seed: judges that
are slow, hang, raise, exit, crash or are stopped; lost packets, gaps in the count, cameras that go and come
back, hang, exit, crash or are stopped, triggers that never reach them; sinks that do all of that; bursts,
which fill the queue; and bundles that are exchanged while all of it goes on, for a good one or one that's
refused, crashes, fails or hangs: at a third of each script at least, one kind after the other. Every other
script has its triggers told by the PLC, the others by the images alone.

A row is printed for each script, and at the end what all of them add up to. The exit code is 1 where a
trigger had no verdict or several, another part's score, an acceptance without a score, or a verdict later
than its deadline and epsilon; the seed of that script is in its row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from edgead.line.config import line_of
from edgead.line.events import Late
from edgead.line.faults import SWAPS, Fault, drawn
from edgead.line.hearing import Told
from edgead.line.simulate import Outcome, Wishes, simulate
from edgead.types import Verdict


def main() -> int:
    asked = _arguments()
    print(f"{asked.scripts} scripts of {asked.parts} parts at {asked.rate:g}/s, {asked.faults} faults each, "
          f"deadline {asked.deadline_ms:g} ms, seeds from {asked.seed}\n")  # fmt: skip
    print("| seed | triggers | faults | verdicts | by whom | latest, ms | late scores | swaps | kept |")
    print("|" + " --- |" * 9, flush=True)
    done: list[Outcome] = []
    broken = 0
    delays: list[float] = []
    began = time.monotonic()
    for seed in range(asked.seed, asked.seed + asked.scripts):
        outcome, wrong, late = run(seed, asked)
        done.append(outcome)
        delays += late
        broken += bool(wrong)
        whys = ", ".join(f"{count} {why}" for why, count in outcome.whys.items())
        row = (
            seed,
            "told" if seed % 2 else "images",
            asked.faults + 1,
            f"{outcome.verdicts} of {outcome.triggers}",
            whys,
            f"{outcome.late_ms:.1f}" if outcome.late_ms is not None else "-",
            outcome.tally["late_scores"],
            ", ".join(f"{count} {what}" for what, count in _swaps(outcome).items()) or "-",
            "; ".join(wrong) or "yes",
        )
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        if wrong and not asked.keep_going:
            break
    _sum_up(done, delays, broken, time.monotonic() - began)
    return int(broken > 0)


def run(seed: int, asked: argparse.Namespace) -> tuple[Outcome, list[str], list[float]]:
    """One script: its outcome, what was broken, and how late each fail-safe by the deadline was said, ms."""
    document = {
        "line": {
            "deadline_ms": asked.deadline_ms, "hung_ms": max(400.0, asked.deadline_ms),
            "shadow": 3, "trial": 5,
        },
        "camera": [{
            "name": "top", "source": "generated", "bundle": "none", "queue": 2,
            "trigger": "plc" if seed % 2 else "camera", "grab_ms": 400 / asked.rate,
        }],
        "sink": [{"kind": "file"}],
    }  # fmt: skip
    line = line_of(document, "a script", Path.cwd())
    swap = Fault(asked.parts // 3, SWAPS[seed % len(SWAPS)])
    faults = (*drawn(seed, asked.parts, asked.faults), swap)
    delays: list[float] = []

    def told(what: Told) -> None:
        if asked.verbose and not isinstance(what, Late | Verdict):
            print(f"    {what}", file=sys.stderr)
        if isinstance(what, Verdict) and what.why == "deadline" and what.times.sent is not None:
            delays.append((what.times.sent - what.times.trigger) / 1e6 - asked.deadline_ms)

    outcome = simulate(line, Wishes(asked.parts, asked.rate, faults, stand_in=True), {}, told)
    return outcome, outcome.faults(asked.epsilon_ms), delays


def _swaps(outcome: Outcome) -> dict[str, int]:
    """How many bundles were tried, and what came of them."""
    found = outcome.tally["swaps"]
    return {what: found[what] for what in ("trying", "trial", "done", "refused", "back") if what in found}


def _sum_up(done: list[Outcome], delays: list[float], broken: int, seconds: float) -> None:
    whys: Counter[str] = Counter()
    for outcome in done:
        whys.update(outcome.whys)
    triggers, verdicts = (sum(getattr(o, name) for o in done) for name in ("triggers", "verdicts"))
    print(f"\n{len(done)} scripts in {seconds:.0f} s: {triggers} triggers, {verdicts} verdicts at the PLC")
    print(", ".join(f"{count} {why}" for why, count in whys.most_common()))
    latest = sorted(outcome.late_ms for outcome in done if outcome.late_ms is not None)
    if latest:
        print(f"latest verdict of each script at the PLC, after its deadline: half within "
              f"{latest[len(latest) // 2]:.1f} ms, at most {latest[-1]:.1f} ms")  # fmt: skip
    if delays:
        delays.sort()
        print(f"{len(delays)} fail-safes by the deadline were said after it: half within "
              f"{delays[len(delays) // 2]:.2f} ms, 99 % within {delays[int(len(delays) * 0.99)]:.2f} ms, "
              f"at most {delays[-1]:.2f} ms")  # fmt: skip
    swaps: Counter[str] = Counter()
    for outcome in done:
        swaps.update(_swaps(outcome))
    print(f"bundles: {swaps['trying']} tried, {swaps['refused']} refused, {swaps['trial']} judged, of which "
          f"{swaps['done']} stayed and {swaps['back']} were given up before their script's end")  # fmt: skip
    print(f"without a score: {sum(whys.values()) - whys['score']}; seen by nobody, their camera being lost: "
          f"{sum(outcome.unseen for outcome in done)}; promises broken: {broken}")  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scripts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--faults", type=int, default=8)
    parser.add_argument("--deadline-ms", type=float, default=150.0)
    parser.add_argument("--epsilon-ms", type=float, default=500.0)
    parser.add_argument("--keep-going", action="store_true", help="go on after a broken promise")
    parser.add_argument("--verbose", action="store_true", help="what each line says of itself, on stderr")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
