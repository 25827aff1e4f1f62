"""Videos that are cut or have a hole, streams, patterns and lists as sources: what's read is what was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import DatasetError, DeviceError, EdgeadError, ImageError
from edgead.sources import Frame, check_sources, count, expand, frames, label
from edgead.streams import Stream, camera_number, is_url, public

N = 60
KINDS = {"avi": "MJPG", "mp4": "mp4v", "mkv": "MJPG", "mov": "mp4v"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole video of 60 frames, each unlike the others, in each kind of file."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for suffix, codec in KINDS.items():
        writer = cv2.VideoWriter(str(folder / f"v.{suffix}"), cv2.VideoWriter.fourcc(*codec), 25, (96, 96))
        if not writer.isOpened():
            continue
        for index in range(N):
            image = rng.integers(0, 255, (96, 96, 3), np.uint8)
            image[:, :, 0] = 4 * index
            writer.write(image)
        writer.release()
    return folder


@pytest.fixture(params=KINDS)
def whole(request: pytest.FixtureRequest, videos: Path) -> Path:
    file = videos / f"v.{request.param}"
    if not file.exists():
        pytest.skip(f"this OpenCV writes no {KINDS[request.param]}")
    return file


def read(file: Path) -> tuple[list[Frame], str]:
    """The frames that came, and the error after them."""
    got: list[Frame] = []
    try:
        for frame in frames(str(file)):
            got.append(frame)
    except EdgeadError as error:
        return got, f"{type(error).__name__}: {error}"
    return got, ""


def test_a_whole_video_has_no_error_and_no_note(whole: Path) -> None:
    got, error = read(whole)
    assert [frame.index for frame in got] == list(range(N))
    assert error == "" and all(frame.note is None for frame in got)


def test_a_video_that_is_cut_yields_its_frames_and_then_the_error(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    (tmp_path / whole.name).write_bytes(data[: int(len(data) * 0.6)])
    got, error = read(tmp_path / whole.name)
    assert error.startswith("ImageError: ") and whole.name in error
    if whole.suffix in (".mp4", ".mov"):  # the index is at the end, so nothing can be read
        assert got == []
    else:
        assert 30 <= len(got) <= 36
        assert f"states {N} frames, {len(got)} could be read" in error


def test_a_video_with_a_hole_yields_what_is_left_and_then_the_error(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    start, end = int(len(data) * 0.4), int(len(data) * 0.4) + len(data) // 8
    (tmp_path / whole.name).write_bytes(data[:start] + bytes(end - start) + data[end:])
    got, error = read(tmp_path / whole.name)
    assert f"states {N} frames, {len(got)} could be read" in error
    assert 45 <= len(got) < N - 2  # what comes after the hole is read as well


def test_frames_before_a_limit_need_no_end(videos: Path, tmp_path: Path) -> None:
    data = (videos / "v.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: int(len(data) * 0.6)])
    taken = [frame for frame, _ in zip(frames(str(tmp_path / "cut.avi")), range(5), strict=False)]
    assert len(taken) == 5 and all(frame.note is None for frame in taken)


def stream(
    stated: int | None, read: int, listed: bool = False, gaps: dict[int, float] | None = None
) -> Stream:
    """A stream of 25 frames a second of which so many were read; ``gaps`` are longer steps before a frame."""
    made, time = Stream(listed, stated, 25.0), 0.0
    for index in range(read):
        time += 0.0 if index == 0 else (gaps or {}).get(index, 40.0)
        made.took(time)
    return made


@pytest.mark.parametrize(
    "made, damage, doubt",
    [
        (stream(60, 60), False, False),
        (stream(60, 60, listed=True), False, False),
        (stream(60, 61, listed=True), False, False),
        (stream(60, 59, listed=True), False, True),  # encoders that count one too many
        (stream(60, 57, listed=True), True, False),
        (stream(60, 36), True, False),  # ends early
        (stream(60, 52, gaps={20: 360.0}), True, False),  # a hole in an even rate
        (stream(60, 30, gaps={i: 60.0 + 40 * (i % 2) for i in range(30)}), False, True),  # varies
        (stream(None, 37), False, True),
    ],
)
def test_what_counts_as_damage_and_what_as_doubt(made: Stream, damage: bool, doubt: bool) -> None:
    assert (made.damage() is not None, made.doubt() is not None) == (damage, doubt)


def test_damaged_pieces_between_frames_are_damage_however_many_frames_are_stated() -> None:
    made = stream(60, 60, listed=True)
    made.skipped = 1
    assert made.damage() is not None
    unstated = stream(None, 37)
    unstated.skipped = 3
    assert "3 damaged pieces" in str(unstated.damage())


def test_a_video_without_a_count_says_that_nobody_can_tell(tmp_path: Path, videos: Path) -> None:
    """Raw MJPEG, as cameras save it: pictures one after another, and nothing about them."""
    picture = cv2.imencode(".jpg", np.full((96, 96, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "raw.avi").write_bytes(picture * 5)
    got, error = read(tmp_path / "raw.avi")
    if not got:
        pytest.skip("this OpenCV doesn't read raw MJPEG")
    assert error == ""
    assert [frame.note is None for frame in got[:-1]] == [True] * (len(got) - 1)
    assert "no number of frames" in str(got[-1].note)


@pytest.mark.parametrize("name", ["v.mpg", "v.mpeg", "v.vob", "v.ts"])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_mpeg_stream_whose_end_is_not_stated_says_that_nobody_can_tell(
    name: str, share: float, tmp_path: Path
) -> None:
    made = tmp_path / name
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"PIM1"), 25, (96, 96))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG")
    for image in np.random.default_rng(0).integers(0, 255, (N, 96, 96, 3), np.uint8):
        writer.write(image)
    writer.release()
    data = made.read_bytes()
    file = tmp_path / "told-by-content.mpg"
    file.write_bytes(data[: int(len(data) * share)])
    got, error = read(file)
    assert len(got) >= N // 3 and all(frame.note is None for frame in got[:-1])
    assert error or "nobody can tell whether it is whole" in str(got[-1].note)
    assert share < 1 or not error


@pytest.mark.parametrize(
    "address, printed",
    [
        ("rtsp://admin:1234@10.0.0.5:554/main", "rtsp://admin:***@10.0.0.5:554/main"),
        ("rtsp://admin:p@ss@10.0.0.5/main", "rtsp://admin:***@10.0.0.5/main"),
        ("rtsp://10.0.0.5/main", "rtsp://10.0.0.5/main"),
        ("http://10.0.0.5/v?pwd=geheim&channel=1", "http://10.0.0.5/v?pwd=***&channel=1"),
        ("https://u@cam/v?access_token=geheim", "https://u@cam/v?access_token=***"),
        ("rtsp://u:geheim@[::1/x", "rtsp://***"),
    ],
)
def test_an_address_is_printed_without_its_password(address: str, printed: str) -> None:
    assert public(address) == printed
    assert label(address) == printed
    assert is_url(address)


def test_a_stream_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(DeviceError, match=r"rtsp://admin:\*\*\*@127\.0\.0\.1:9/x gives no image") as caught:
        list(frames("rtsp://admin:geheim@127.0.0.1:9/x"))
    assert "geheim" not in str(caught.value)


@pytest.fixture
def server() -> Iterator[str]:
    """A camera that sends four pictures as multipart MJPEG and then hangs up."""
    picture = cv2.imencode(".jpg", np.full((96, 96, 3), 90, np.uint8))[1].tobytes()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(4):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")

        def log_message(self, *words: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://user:geheim@127.0.0.1:{served.server_port}/stream"
    served.shutdown()
    served.server_close()


def test_a_stream_is_read_and_its_end_is_told(server: str) -> None:
    got: list[Frame] = []
    with pytest.raises(DeviceError, match="ended after") as caught:
        for frame in frames(server):
            got.append(frame)
    assert len(got) >= 3
    assert "geheim" not in str(caught.value) + got[0].source + got[0].name
    assert got[0].name == "stream.000000"


def test_cameras_are_told_by_number_and_by_device() -> None:
    assert (camera_number("0"), camera_number("camera:12"), camera_number("camera")) == (0, 12, None)
    assert label("camera:3") == "camera 3"
    with pytest.raises(DeviceError, match="/dev/video987: no such device"):
        check_sources(["/dev/video987"])
    with pytest.raises(DeviceError, match="not a camera's number"):
        check_sources(["camera:left"])
    check_sources(["0", "camera:0", "rtsp://10.0.0.5/main", "-"])


def test_a_file_or_folder_named_like_a_camera_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").mkdir()
    cv2.imwrite("0/a.png", np.zeros((20, 20, 3), np.uint8))
    assert [frame.source for frame in frames("0")] == [str(Path("0", "a.png"))]


def test_patterns_and_lists_become_their_files_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "c.jpg", "odd[1].png"):
        cv2.imwrite(name, np.zeros((20, 20, 3), np.uint8))
    assert list(expand(["?.png", "c.jpg"])) == ["a.png", "b.png", "c.jpg"]
    assert list(expand(["odd[1].png"])) == ["odd[1].png"]  # it's there, so it's no pattern
    listed = [b"a.png\n", b"\r\n", b"caf\xe9.png\r\n", b"c.jpg"]
    assert list(expand(["b.png", "-"], listed)) == ["b.png", "a.png", os.fsdecode(b"caf\xe9.png"), "c.jpg"]
    assert count(["a.png", "b.png", "."]) == 6
    assert count(["a.png", "0"]) is None
    check_sources(["?.png"])
    with pytest.raises(DatasetError, match="check the pattern"):
        check_sources(["x*.png"])


def test_all_that_is_missing_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    cv2.imwrite("a.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(DatasetError, match="3 of 4") as caught:
        check_sources(["a.png", "b.png", "empty", "c*.png"])
    assert all(name in str(caught.value) for name in ("b.png", "empty", "c*.png"))
    with pytest.raises(ImageError, match=r"b\.png: no such file"):
        check_sources(["b.png"])
    (tmp_path / "x.edgead").mkdir()
    (tmp_path / "x.edgead" / "manifest.json").touch()
    with pytest.raises(DatasetError, match="a bundle, not images"):
        check_sources(["x.edgead"])


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_video_whose_name_is_not_text_is_refused_in_words(tmp_path: Path, videos: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi")
    try:
        Path(name).write_bytes((videos / "v.avi").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(ImageError, match=r"caf\\xe9\.avi"):
        list(frames(name))
