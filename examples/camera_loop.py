"""A camera's loop to copy: grab, predict, act, log; reconnect, stop on SIGTERM, feed a watchdog.

python camera_loop.py BUNDLE CAMERA [WATCHDOG_FILE]

CAMERA is a number or an address that OpenCV opens. A thread grabs and keeps the newest frame alone, so that
no old one is judged: frames that come while another is judged are dropped, counted and reported. The file is
touched for every frame judged, unless the picture is frozen: let systemd, or a relay, act when it grows old.
Exit code 0 after SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2

import edgead

log = logging.getLogger("camera")
LONGEST_PAUSE = 30.0
TICK = 0.5  # seconds after which the loop looks at ``stop`` while no frame comes
SAID_EVERY = 5.0  # seconds between two log lines about the same trouble
FROZEN = 25  # frames alike to the bit: a sensor that sees something has noise


def act(prediction: edgead.Prediction) -> None:
    """Eject the part, light the lamp: yours. It runs between two frames, so keep it short."""
    if prediction.is_anomalous:
        log.warning("anomalous: %.3f over %.3f", prediction.score, prediction.threshold)


class Seldom:
    """Logs each kind of trouble at most every ``SAID_EVERY`` seconds, with how often it came in between."""

    def __init__(self) -> None:
        self.unsaid: Counter[str] = Counter()
        self.said: dict[str, float] = {}

    def __call__(self, kind: str, text: str, *values: Any) -> None:
        now = time.monotonic()
        if now - self.said.get(kind, -SAID_EVERY) < SAID_EVERY:
            self.unsaid[kind] += 1
            return
        self.said[kind] = now
        more = self.unsaid.pop(kind, 0)
        log.error(text + (f" (and {more} times more since the line before)" if more else ""), *values)


class Newest(threading.Thread):
    """Grabs frames and keeps the newest one; connects a lost camera again, after a longer pause each time."""

    def __init__(self, connect: Callable[[], Any], stop: threading.Event, pause: float, say: Seldom) -> None:
        super().__init__(name="camera", daemon=True)  # so that a driver that hangs doesn't keep the process
        self.connect, self.stop, self.pause, self.say = connect, stop, pause, say
        self.dropped, self.frame, self.came = 0, None, threading.Condition()

    def run(self) -> None:
        wait = self.pause
        while not self.stop.is_set():
            camera = None
            try:
                camera = self.connect()
                while not self.stop.is_set():
                    found, frame = camera.read()
                    if not found:
                        raise OSError("no frame")
                    wait = self.pause
                    with self.came:
                        self.dropped += self.frame is not None
                        self.frame = frame
                        self.came.notify()
            except Exception as error:  # a driver raises what it likes
                self.say("lost", "%s: connecting again in %.1f s", error, wait)
            with suppress(Exception):
                camera.release()
            self.stop.wait(wait)
            wait = min(2 * wait, LONGEST_PAUSE)

    def take(self) -> Any:
        """Return the newest frame, once; None where none comes for a moment."""
        with self.came:
            self.came.wait_for(lambda: self.frame is not None, TICK)
            frame, self.frame = self.frame, None
        return frame


def loop(
    detector: Callable[[Any], edgead.Prediction],
    connect: Callable[[], Any],
    stop: threading.Event,
    watchdog: Path,
    on_prediction: Callable[[edgead.Prediction], None] = act,
    pause: float = 1.0,
) -> int:
    """Judge the newest frame again and again until ``stop`` is set; returns how many."""
    say = Seldom()
    camera = Newest(connect, stop, pause, say)
    camera.start()
    judged, alike, reported, seen, last = 0, 0, 0, b"", time.monotonic()
    while not stop.is_set():
        frame = camera.take()
        start = time.monotonic()
        if frame is None:
            if stop.is_set():
                break
            say("silent", "no frame for %.1f s: is the camera there, and triggered?", start - last)
            continue
        last, before, seen = start, seen, frame[::4, ::4].tobytes()
        alike = alike + 1 if seen == before else 0
        if alike >= FROZEN:
            say("frozen", "the picture is frozen: %d frames are the same to the bit", alike + 1)
        try:
            prediction = detector(frame)
        except edgead.errors.FrameError as error:  # this frame can't be judged; the next may
            say("refused", "%s", error)
            continue
        log.info("score %.3f in %.1f ms", prediction.score, (time.monotonic() - start) * 1e3)
        on_prediction(prediction)
        judged += 1
        if alike < FROZEN:
            watchdog.touch()
        if (dropped := camera.dropped) > reported:
            reported = dropped
            say("dropped", "frames come faster than they are judged: %d dropped, %d judged", dropped, judged)
    camera.join(TICK)
    log.info("stopped after %d frames, %d dropped", judged, camera.dropped)
    return judged


def main(bundle: str, source: str, watchdog: str = "/tmp/edgead.alive") -> None:
    """Load first: a bundle that can't be trusted must not start a line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    detector = edgead.load(bundle, cache=True)
    log.info("ready: %s, threshold %.3f", detector.runs_on, detector.threshold)
    camera: Any = int(source) if source.isdigit() else source
    loop(detector, lambda: cv2.VideoCapture(camera), stop, Path(watchdog))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python camera_loop.py BUNDLE CAMERA [WATCHDOG_FILE]")
    main(*sys.argv[1:])
