"""The detector's self-test in the field: one carried image at a time, between the line's own frames.

What was proven when the detector was loaded can change while it runs: memory, a device that is shared or too
hot, a driver. A probe is judged by the session that judges the frames, and must have the recorded score and
map, as where it's loaded (``edgead.runtime.proof``).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass

import numpy as np

from edgead.bundle import Bundle
from edgead.carried import carried_image
from edgead.errors import EdgeadError, OptionError, SelfTestError, one_line
from edgead.manifest import ProbeRecord, ThresholdRecord
from edgead.notices import count
from edgead.runtime.proof import CHANGES, Parity, compare, peaks_of
from edgead.runtime.session import Session
from edgead.types import Image

IMAGES = 4
"""Carried images that are kept in memory for it; with their changes they take turns."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelfTest:
    """What the last self-test found.

    Attributes:
        passed: whether score and map were the recorded ones, within the form's tolerance.
        when: UTC, ``2026-11-30T08:15:00Z``.
        probe: the image in the bundle, and what was done to it first.
        score: the image score; NaN where the engine gave none.
        recorded: what the bundle says of it.
        parity: how far score and map are off; None where the engine gave none.
        problem: the engine's own words where it failed, else empty.
        runs, failures: so far, this one among them.
    """

    passed: bool
    when: str
    probe: str
    score: float
    recorded: float
    parity: Parity | None
    problem: str
    runs: int
    failures: int

    def __str__(self) -> str:
        word = "passed" if self.passed else "FAILED"
        what = self.problem or f"{self.probe} has score {self.score:.6g}, recorded {self.recorded:.6g}"
        allowed = f", {self.parity.tolerance:.2%} off allowed" if self.parity else ""
        return f"self-test {word}: {what}{allowed}; {self.failures} of {count(self.runs, 'test')} failed"


class SelfTester:
    """Judges a bundle's probes in turn. Several threads may use one: a test that is under way isn't doubled.

    Args:
        bundle: whose probes.
        minutes: between two tests; None for none but those that are asked for.

    Raises:
        OptionError: the minutes aren't a number over 0, or the bundle carries no probes.

    Attributes:
        last: what the last test found; None before the first.
    """

    def __init__(self, bundle: Bundle, minutes: float | None) -> None:
        self._seconds = math.inf if minutes is None else 60 * minutes
        if not self._seconds > 0 or (minutes is not None and not math.isfinite(minutes)):
            raise OptionError(f"self_test_minutes {minutes} must be a number of minutes over 0")
        probes = bundle.manifest.probes
        if minutes is not None and not probes:
            raise OptionError(
                f"{bundle.path}: it carries no images to test itself with: leave self_test_minutes out, or "
                "export it again"
            )
        files = list(dict.fromkeys(probe.file for probe in probes))[:IMAGES]
        self._images: dict[str, Image] = {name: carried_image(bundle, name) for name in files}
        self._probes = [probe for probe in probes if probe.file in self._images]
        self._name, self._form = bundle.path, bundle.manifest.precision
        self._next = time.monotonic() + self._seconds
        self._busy = threading.Lock()
        self._runs = self._failures = 0
        self.last: SelfTest | None = None

    def at_load(self, session: Session, limits: ThresholdRecord) -> None:
        """Judge the first probe, where there is one; raises SelfTestError where it isn't as recorded."""
        found = self.run(session, limits)
        if found is not None and not found.passed:
            raise SelfTestError(
                f"{self._name}: {found}: this device doesn't judge as it did, so nothing it says can be "
                "trusted; look at `edgead verify --on-device`, and at the device"
            )

    def between_frames(self, session: Session, limits: ThresholdRecord) -> None:
        """Judge the next probe if it's time; a failure is logged at WARNING, and never raised."""
        if time.monotonic() >= self._next:
            self.run(session, limits)

    def run(self, session: Session, limits: ThresholdRecord) -> SelfTest | None:
        """Judge the next probe now; None where there's none, or another thread is just doing it."""
        if not self._probes or not self._busy.acquire(blocking=False):
            return None
        try:
            self._next = time.monotonic() + self._seconds
            found = self.last = self._judged(session, limits, self._probes[self._runs % len(self._probes)])
            self._runs, self._failures = found.runs, found.failures
        finally:
            self._busy.release()
        if found.passed:
            _log.debug("%s: %s", self._name, found)
        else:
            _log.warning("%s: %s; its verdicts can't be trusted: stop the line", self._name, found)
        return found

    def _judged(self, session: Session, limits: ThresholdRecord, probe: ProbeRecord) -> SelfTest:
        score, parity, problem = math.nan, None, ""
        try:
            outputs = session(CHANGES[probe.change](self._images[probe.file])[None])
            score, peaks = float(outputs["score"][0]), peaks_of(outputs["anomaly_map"])
            pair = (score, peaks, probe.score, np.array(probe.peaks))
            parity = compare([pair], limits.score, limits.pixel, self._form)
        except EdgeadError as error:
            problem = one_line(error)
        passed = parity is not None and parity.passed
        name = probe.file if probe.change == "none" else f"{probe.file} {probe.change}"
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        failures = self._failures + (not passed)
        return SelfTest(passed, when, name, score, probe.score, parity, problem, self._runs + 1, failures)


__all__ = ["SelfTest", "SelfTester"]
