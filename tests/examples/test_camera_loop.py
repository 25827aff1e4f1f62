"""The camera loop: frames, a camera that goes away and returns, bad frames, SIGTERM and the watchdog."""

from __future__ import annotations

import logging
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


def frame(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, np.uint8)


class Camera:
    """Yields what it's given, or raises it; then it's gone. With ``taken``, each once the last was judged."""

    def __init__(self, frames, taken=None):
        self.frames, self.taken, self.released = list(frames), taken, False

    def read(self):
        if self.taken is not None:
            assert self.taken.wait(10)
        if not self.frames:
            return False, None
        if self.taken is not None:
            self.taken.clear()
        given = self.frames.pop(0)
        if isinstance(given, Exception):
            raise given
        return True, given

    def release(self):
        self.released = True


class Stop(threading.Event):
    """Doesn't really wait, and keeps what was asked for."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        if not self.is_set():
            self.waits.append(timeout)
        return self.is_set()


def prediction(image):
    score, empty = float(image[0, 0, 0]), np.zeros((2, 2), np.float32)
    return Prediction(score, score > 1, 1.0, empty, empty > 0, ())


def play(cameras, detector, tmp_path, taken=None):
    """Run until the last camera's frames are used up; returns predictions, waits asked for and the count."""
    stop, seen, left = Stop(), [], iter(cameras)

    def connect():
        try:
            given = next(left)
        except StopIteration:
            stop.set()
            return Camera([])
        if isinstance(given, Exception):
            raise given
        return given

    def judge(image):
        try:
            return detector(image)
        finally:
            if taken is not None:
                taken.set()

    count = camera_loop.loop(judge, connect, stop, tmp_path / "alive", seen.append, pause=0.5)
    return [p.score for p in seen], stop.waits, count


@pytest.fixture
def taken():
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "camera")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_camera_that_goes_away_is_waited_for_longer_each_time(tmp_path, taken, lines):
    lost = [OSError("no such address"), Camera([]), Camera([OSError("gone")])]
    cameras = [Camera([frame(1), frame(2)], taken), *lost, Camera([frame(3)], taken)]

    seen, waits, count = play(cameras, prediction, tmp_path, taken)
    assert seen == [1, 2, 3] and count == 3
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0] and waits[4] == 0.5
    assert all(camera.released for camera in cameras if isinstance(camera, Camera))
    assert (tmp_path / "alive").exists()
    assert [line for line in lines() if "connecting" in line] == ["no frame: connecting again in 0.5 s"]


def test_frames_that_cannot_be_judged_feed_no_watchdog_and_fill_no_log(tmp_path, taken, lines):
    def detector(image):
        raise FrameError("too small")

    seen, _, count = play([Camera([frame(1)] * 200, taken)], detector, tmp_path, taken)
    assert not seen and count == 0 and not (tmp_path / "alive").exists()
    told = [line for line in lines() if not line.startswith("no frame")]
    assert told == ["too small", "the picture is frozen: 26 frames are the same to the bit"], "said seldom"


def test_trouble_is_told_of_again_with_how_often_it_came(monkeypatch, lines):
    now = 0.0
    monkeypatch.setattr(camera_loop.time, "monotonic", lambda: now)
    say = camera_loop.Seldom()
    for now in (0.0, 1.0, 4.9, 5.0):
        say("refused", "frame %d", now)
    say("other", "another")
    assert lines() == ["frame 0", "frame 5 (and 2 times more since the line before)", "another"]


def test_frames_faster_than_the_detector_are_dropped_and_the_newest_is_judged(tmp_path, lines):
    """The second frame comes while the first is judged, and so do 98 more: the last is judged next."""
    all_read, last_judged = threading.Event(), threading.Event()

    class Fast(Camera):
        def read(self):
            if not self.frames:
                all_read.set()
                last_judged.wait(10)
            return super().read()

    def slow(image):
        assert all_read.wait(10)
        if image[0, 0, 0] == 99:
            last_judged.set()
        return prediction(image)

    seen, _, count = play([Fast([frame(number) for number in range(100)])], slow, tmp_path)
    assert seen[-1] == 99 and count == len(seen) <= 2
    dropped = 100 - count
    assert f"frames come faster than they are judged: {dropped} dropped, " in " ".join(lines())


def test_a_frozen_picture_is_said_and_feeds_no_watchdog(tmp_path, taken, lines):
    touched = []

    class Watchdog:
        touch = staticmethod(lambda: touched.append(1))

    frames = [*[frame(7)] * (camera_loop.FROZEN + 10), frame(8)]
    buffer = np.zeros((8, 8, 3), np.uint8)

    class Reuses(Camera):  # as some drivers do
        def read(self):
            found, given = super().read()
            if found:
                buffer[:] = given
            return found, buffer

    stop = Stop()
    cameras = iter([Reuses(frames, taken)])

    def connect():
        camera = next(cameras, None)
        if camera is None:
            stop.set()
        return camera

    def judge(image):
        taken.set()
        return prediction(image)

    assert camera_loop.loop(judge, connect, stop, Watchdog, lambda p: None) == len(frames)
    assert len(touched) == camera_loop.FROZEN + 1
    assert "the picture is frozen: 26 frames are the same to the bit" in lines()


def test_a_silent_camera_feeds_no_watchdog_is_said_and_holds_nothing_up(tmp_path, lines):
    """A driver's read that never returns: the loop ends all the same when it's told to."""
    stop, never = threading.Event(), threading.Event()

    class Silent(Camera):
        def read(self):
            never.wait()

    thread = threading.Thread(
        target=camera_loop.loop, args=(prediction, lambda: Silent([]), stop, tmp_path / "alive")
    )
    thread.start()
    while not lines():
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    never.set()
    assert not thread.is_alive() and not (tmp_path / "alive").exists()
    assert lines()[0].startswith("no frame for ")


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
