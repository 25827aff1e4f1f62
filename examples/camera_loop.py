"""A camera's loop to copy: grab, predict, act, log; reconnect, stop on SIGTERM, feed a watchdog.

python camera_loop.py BUNDLE CAMERA [WATCHDOG_FILE]

CAMERA is a number or an address that OpenCV opens. The watchdog file is touched for every frame judged: let
systemd, or a relay, act when it grows old. Exit code 0 after SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

import edgead

log = logging.getLogger("camera")
LONGEST_PAUSE = 30.0


def act(prediction: edgead.Prediction) -> None:
    """Eject the part, light the lamp: yours. It runs between two frames, so keep it short."""
    if prediction.is_anomalous:
        log.warning("anomalous: %.3f over %.3f", prediction.score, prediction.threshold)


def loop(
    detector: Callable[[Any], edgead.Prediction],
    connect: Callable[[], Any],
    stop: threading.Event,
    watchdog: Path,
    on_prediction: Callable[[edgead.Prediction], None] = act,
    pause: float = 1.0,
) -> int:
    """Judge frames until ``stop`` is set; returns how many. A lost camera is waited for, longer each time."""
    judged, wait, camera = 0, pause, connect()
    while not stop.is_set():
        found, frame = camera.read()
        if not found:
            log.error("no frame: connecting again in %.1f s", wait)
            camera.release()
            stop.wait(wait)
            wait, camera = min(2 * wait, LONGEST_PAUSE), connect()
            continue
        wait = pause
        start = time.perf_counter()
        try:
            prediction = detector(frame)
        except edgead.errors.FrameError as error:  # this frame can't be judged; the next may
            log.error("%s", error)
            continue
        log.info("score %.3f in %.1f ms", prediction.score, (time.perf_counter() - start) * 1e3)
        on_prediction(prediction)
        watchdog.touch()
        judged += 1
    camera.release()
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
    judged = loop(detector, lambda: cv2.VideoCapture(camera), stop, Path(watchdog))
    log.info("stopped after %d frames", judged)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python camera_loop.py BUNDLE CAMERA [WATCHDOG_FILE]")
    main(*sys.argv[1:])
