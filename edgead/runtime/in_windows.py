"""Frames judged in windows: each window goes through the engine, and the frame's map is made of their cores.

What comes of a frame has the form of a graph's outputs, so that whatever judges those judges it as well: the
score is the largest value of the map, which no window's place decides. What the bundle was taught is applied
to each window while it's there, since all windows' embeddings at once would take memory by the gigabyte.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from edgead.runtime.large_frames import memory_or_refused
from edgead.runtime.lessons import LESSON, SEEN, Taught
from edgead.runtime.pending import seconds, timed_out
from edgead.runtime.session import Outputs, OwningSession, Pending, Session
from edgead.types import Image
from edgead.window_rule import WindowRule
from edgead.windows import Window, cut, stitched

UNDER_WAY = 16
"""Windows of a started frame that are with the engine at once: more would only take memory."""


def judged_in_windows(
    session: Session, frames: Iterable[Image], rule: WindowRule, lessons: Taught | None = None
) -> Generator[Outputs, None, None]:
    """Yield ``score`` (1,) and ``anomaly_map`` (1, 1, h, w), float32, of each scaled frame, in order.

    The engine goes on with the next frame's windows while a frame's outputs are looked at.

    Args:
        lessons: what the bundle was taught; the session gives what they take, and outputs hold them already.

    Raises:
        InferenceError: the engine fails on a window; the frames before it have been yielded.
    """
    under_way: deque[tuple[Sequence[int], list[Window]]] = deque()

    def pieces() -> Iterator[Image]:
        for frame in frames:
            places = rule.places(frame.shape)
            under_way.append((frame.shape, places))
            for window in places:
                yield cut(frame, window, rule.size)[None]

    run = session.map_owned if isinstance(session, OwningSession) else session.map
    with closing(run(pieces())) as all_outputs:
        for outputs in all_outputs:
            shape, places = under_way.popleft()
            parts = chain([outputs], islice(all_outputs, len(places) - 1))
            yield _whole(shape, zip(places, parts, strict=True), rule, lessons)


class StartedFrame:
    """A frame whose windows were started, as ``Pending`` says; several threads may wait for it."""

    def __init__(
        self, session: Session, frame: Image, rule: WindowRule, lessons: Taught | None = None
    ) -> None:
        self._session, self._frame, self._rule, self._lessons = session, frame, rule, lessons
        self._left = deque(rule.places(frame.shape))
        self._started: deque[tuple[Window, Pending]] = deque()
        self._parts: list[tuple[Window, Outputs]] = []
        self._outputs: Outputs | None = None
        self._lock = threading.RLock()
        self._fill()

    def _fill(self) -> None:
        start = self._session.start_owned if isinstance(self._session, OwningSession) else self._session.start
        while self._left and len(self._started) < UNDER_WAY:
            window = self._left.popleft()
            self._started.append((window, start(cut(self._frame, window, self._rule.size)[None])))

    def _take(self, timeout: float | None) -> None:
        """Take in the window that was started first, and start another; what it raises it raises again."""
        window, pending = self._started[0]
        outputs = pending.wait(timeout)
        self._started.popleft()
        self._parts.append((window, outputs))
        self._fill()

    @property
    def done(self) -> bool:
        if not self._lock.acquire(blocking=False):  # another thread waits for it
            return False
        try:
            while self._started and self._started[0][1].done:
                try:
                    self._take(0)
                except Exception:  # so does wait, at once
                    return True
            return not self._started
        finally:
            self._lock.release()

    def wait(self, timeout: float | None = None) -> Outputs:
        left = seconds(timeout)
        until = None if left is None else time.monotonic() + left
        if not self._lock.acquire(timeout=-1 if left is None else left):
            raise timed_out(left)
        try:
            while self._started:
                self._take(None if until is None else max(until - time.monotonic(), 0.0))
            if self._outputs is None:
                with memory_or_refused(self._frame.shape):
                    self._outputs = _whole(self._frame.shape, self._parts, self._rule, self._lessons)
                self._parts = []
            return self._outputs
        finally:
            self._lock.release()


def _whole(
    shape: Sequence[int], parts: Iterable[tuple[Window, Outputs]], rule: WindowRule, lessons: Taught | None
) -> Outputs:
    """A frame's outputs of its windows'; what is no number in any of them stays, for the verdict to see.

    Outside of a region of interest the map is 0, so that it has no part in the score, and no lesson sees.
    """
    broken, lesson = False, 0
    inside = None if rule.roi is None else rule.roi.inside(shape)
    seen = np.zeros((shape[0], shape[1]) if lessons is not None else (0, 0), bool)

    def maps() -> Iterator[tuple[Window, NDArray[np.float32]]]:
        nonlocal broken, lesson
        for window, outputs in parts:
            found = outputs["anomaly_map"][0, 0]
            is_number = bool(np.isfinite(outputs["score"]).all() and np.isfinite(found).all())
            broken = broken or not is_number
            if lessons is not None and is_number:
                judged = lessons.apply(outputs)
                found = judged.anomaly_map
                if judged.seen is not None:
                    shown = judged.seen[window.core_inside]
                    shown = shown if inside is None else shown & inside[window.core]
                    seen[window.core] = shown
                    lesson = lesson or (judged.lesson or 0 if shown.any() else 0)
            yield window, found

    whole = stitched(shape, maps())
    if inside is not None:
        whole[~inside] = 0
    score = np.float32(np.nan) if broken else whole.max()
    made = {"score": np.array([score], np.float32), "anomaly_map": whole[None, None]}
    return {**made, LESSON: np.array([lesson]), SEEN: seen[None, None]} if lesson else made


__all__ = ["UNDER_WAY", "StartedFrame", "judged_in_windows"]
