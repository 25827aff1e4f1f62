"""The source ``opencv`` with video files; of cameras and streams, what can be told without one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgead.errors import DeviceError, OptionError
from edgead.streams import Stream
from edgead.types import Grab
from edgead_plugins.sources import opencv
from edgead_plugins.sources.opencv import OpenCV, OpenCVOptions

FRAMES = 8


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames, each brighter than the one before."""
    file = tmp_path_factory.mktemp("video") / "parts.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 20 + 25 * number, np.uint8))
    writer.release()
    return file


def grabs(source: OpenCV, count: int, seconds: float = 20) -> list[Grab]:
    until, found = time.monotonic() + seconds, list[Grab]()
    while len(found) < count and time.monotonic() < until:
        if (grab := source.read(0.05)) is not None:
            found.append(grab)
    return found


def level(grab: Grab) -> int:
    assert grab.image is not None and grab.image.shape == (48, 64, 3)
    return round(float(grab.image.mean()))


def test_a_files_frames_come_in_order_once_and_then_nothing(video: Path) -> None:
    source = OpenCV(OpenCVOptions(device=str(video), rate=500.0))
    source.open()
    found = grabs(source, FRAMES)
    assert [grab.frame_id for grab in found] == list(range(1, FRAMES + 1))
    assert all(abs(level(grab) - (20 + 25 * n)) <= 3 for n, grab in enumerate(found))
    assert source.read(0.05) is None and source.read(0.0) is None
    source.open()
    assert grabs(source, 1)[0].frame_id == 1
    source.close()


def test_a_file_is_replayed_at_its_own_rate_or_the_given_one(video: Path) -> None:
    for rate, least in ((None, 5 / 25), (100.0, 5 / 100)):
        source = OpenCV(OpenCVOptions(device=str(video), rate=rate))
        began = time.monotonic()
        source.open()
        assert len(grabs(source, 6)) == 6 and time.monotonic() - began >= 0.9 * least
        source.close()


def test_a_file_may_be_replayed_for_ever(video: Path) -> None:
    source = OpenCV(OpenCVOptions(device=str(video), rate=500.0, loop=True))
    source.open()
    found = grabs(source, 2 * FRAMES + 3)
    assert [grab.frame_id for grab in found] == list(range(1, 2 * FRAMES + 4))
    assert level(found[0]) == level(found[FRAMES]) == level(found[2 * FRAMES])
    source.close()


def test_a_file_that_is_cut_ends_with_a_problem(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for seed in range(40):
        writer.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    source = OpenCV(OpenCVOptions(device=str(cut), rate=1000.0))
    source.open()
    found = grabs(source, 1)
    while found[-1].problem is None and len(found) < 40:
        found += grabs(source, 1)
    assert 10 < len(found) < 40 and "cut short" in str(found[-1].problem)
    assert all(grab.problem is None for grab in found[:-1])
    assert [grab.frame_id for grab in found] == list(range(1, len(found) + 1))
    source.close()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("nowhere.avi", "nowhere.avi: no such camera or file"),
        ("/dev/video9876", "video9876: can't be opened"),
    ],
)
def test_what_is_not_there_is_said(device: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        OpenCV(OpenCVOptions(device=device)).open()


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.avi").write_bytes(b"no video, " * 50)
    with pytest.raises(DeviceError, match=r"x\.avi: can't be opened"):
        OpenCV(OpenCVOptions(device=str(tmp_path / "x.avi"))).open()
    with pytest.raises(OptionError, match="four characters"):
        OpenCVOptions(fourcc="JPEG2000")


class Capture:
    """A camera that gives so many images at once, and then is gone; it takes all settings but gains."""

    def __init__(self, images: int) -> None:
        self.left, self.values = images, dict[int, float]()

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, np.zeros((8, 8, 3), np.uint8)) if self.left >= 0 else (False, None)

    def set(self, key: int, value: float) -> bool:
        self.values[key] = 1.0 if key == cv2.CAP_PROP_GAIN else value
        return True

    def get(self, key: int) -> float:
        return self.values.get(key, 0.0)

    def release(self) -> None:
        pass


def live(monkeypatch: pytest.MonkeyPatch, images: int, **options: Any) -> tuple[OpenCV, Capture]:
    capture = Capture(images)
    stream = Stream(listed=False, stated=None, rate=None)
    monkeypatch.setattr(opencv, "open_live", lambda source: (capture, stream))
    source = OpenCV(OpenCVOptions(**options))
    source.open()
    return source, capture


def test_a_camera_counts_nothing_and_what_comes_too_fast_is_a_problem(monkeypatch: Any) -> None:
    source, _ = live(monkeypatch, 7, buffers=3)
    time.sleep(0.3)
    found = [source.read(0.1) for _ in range(7)]
    assert all(grab is not None and grab.frame_id is None for grab in found)
    problems = [grab for grab in found if grab is not None and grab.image is None]
    assert len(problems) == 4 and all("faster" in str(grab.problem) for grab in problems)
    with pytest.raises(DeviceError, match="no more images"):
        source.read(0.5)
    source.close()


def test_a_camera_is_set_and_what_it_does_not_take_is_said(monkeypatch: Any) -> None:
    options = {"width": 640, "height": 480, "fourcc": "MJPG", "exposure": 30.0}
    source, capture = live(monkeypatch, 1, **options)
    assert capture.values[cv2.CAP_PROP_FRAME_WIDTH] == 640 and capture.values[cv2.CAP_PROP_EXPOSURE] == 30
    assert capture.values[cv2.CAP_PROP_FOURCC] == int.from_bytes(b"MJPG", "little")
    source.close()
    with pytest.raises(DeviceError, match="made 1 of its gain 5"):
        live(monkeypatch, 1, gain=5.0)


def test_a_password_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Capture(0)
    monkeypatch.setattr(capture, "isOpened", lambda: False)
    monkeypatch.setattr(opencv, "open_live", lambda source: (capture, None))
    with pytest.raises(DeviceError) as raised:
        OpenCV(OpenCVOptions(device="rtsp://me:geheim@127.0.0.1:9/main")).open()
    assert "geheim" not in str(raised.value) and "rtsp://me:***@" in str(raised.value)
