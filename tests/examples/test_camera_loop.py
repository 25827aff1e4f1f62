"""The camera loop: frames, a camera that goes away and returns, bad frames, SIGTERM and the watchdog."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
camera_loop = pytest.importorskip("camera_loop")

from edgead.errors import FrameError  # noqa: E402
from edgead.types import Prediction  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden/v1.edgead"
PICTURE = np.full((24, 32, 3), 100, np.uint8)


class Camera:
    """Yields what it's given; then it's gone."""

    def __init__(self, frames):
        self.frames, self.released = list(frames), False

    def read(self):
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self):
        self.released = True


def prediction(score):
    empty = np.zeros((2, 2), np.float32)
    return Prediction(score, score > 1, 1.0, empty, empty > 0, ())


def play(cameras, detector, tmp_path):
    """Run until the last camera's frames are used up; returns predictions, waits asked for and the count."""
    stop, seen, waits = threading.Event(), [], []
    left = iter(cameras)

    class Stop:
        is_set = staticmethod(stop.is_set)

        @staticmethod
        def wait(seconds):
            waits.append(seconds)

    def connect():
        try:
            return next(left)
        except StopIteration:
            stop.set()
            return Camera([])

    count = camera_loop.loop(detector, connect, Stop, tmp_path / "alive", seen.append, pause=0.5)
    return seen, waits, count


def test_a_camera_that_goes_away_is_waited_for_longer_each_time(tmp_path):
    cameras = [Camera([1, 2]), Camera([]), Camera([]), Camera([3])]
    seen, waits, count = play(cameras, prediction, tmp_path)
    assert [p.score for p in seen] == [1, 2, 3] and count == 3
    assert waits == [0.5, 1.0, 2.0, 0.5]
    assert all(camera.released for camera in cameras) and (tmp_path / "alive").exists()


def test_a_frame_that_cannot_be_judged_does_not_feed_the_watchdog(tmp_path):
    def detector(frame):
        raise FrameError("too small")

    seen, _, count = play([Camera([1, 2])], detector, tmp_path)
    assert not seen and count == 0 and not (tmp_path / "alive").exists()


def test_sigterm_ends_it_cleanly(tmp_path):
    video = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for _ in range(3):
        writer.write(PICTURE)
    writer.release()
    alive = tmp_path / "alive"
    words = [sys.executable, camera_loop.__file__, str(GOLDEN), str(video), str(alive)]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(tmp_path)}
    )
    for _ in range(600):
        if alive.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "ready: onnxruntime on CPU" in told and "stopped after" in told


def test_without_arguments_it_says_how_it_is_called() -> None:
    script = Path(__file__).parents[2] / "examples" / "camera_loop.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "usage: python camera_loop.py BUNDLE CAMERA [WATCHDOG_FILE]\n"
