"""The sources that come with edgead: a folder, and a virtual camera whose faults are the script's."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import DeviceError, OptionError
from edgead.line.faults import Fault
from edgead.types import Grab, Source
from edgead_plugins.belt import SECOND, Belt, read_start, write_start
from edgead_plugins.sources.folder import Folder, FolderOptions
from edgead_plugins.sources.generated import Generated, GeneratedOptions


def grabs(source: Source, count: int, seconds: float = 30.0) -> list[Grab]:
    until, found = time.monotonic() + seconds, list[Grab]()
    while len(found) < count and time.monotonic() < until:
        if (grab := source.read(0.05)) is not None:
            found.append(grab)
    return found


def picture(folder: Path, name: str, level: int) -> np.ndarray:
    image = np.full((20, 30, 3), level, np.uint8)
    folder.mkdir(exist_ok=True)
    beside = folder / f".{name}"
    assert cv2.imwrite(str(beside), image)
    beside.rename(folder / name)
    return image


# ---------------------------------------------------------------- a folder


def test_a_folder_is_replayed_in_the_order_of_its_names_once(tmp_path: Path) -> None:
    for name, level in (("b.png", 20), ("a.png", 10), ("c.png", 30)):
        picture(tmp_path / "in", name, level)
    source = Folder(FolderOptions(path=str(tmp_path / "in"), rate=1000))
    source.open()
    found = grabs(source, 3)
    assert [int(grab.image[0, 0, 0]) for grab in found] == [10, 20, 30]  # type: ignore[index]
    assert [grab.frame_id for grab in found] == [1, 2, 3]
    assert source.read(0.01) is None
    source.open()
    assert grabs(source, 1)[0].frame_id == 1, "opened again it begins again"


def test_a_folder_may_be_replayed_for_ever_and_no_faster_than_told(tmp_path: Path) -> None:
    picture(tmp_path / "in", "a.png", 10)
    source = Folder(FolderOptions(path=str(tmp_path / "in"), rate=50, loop=True))
    source.open()
    began = time.monotonic()
    assert len(grabs(source, 11)) == 11 and time.monotonic() - began >= 10 / 50


def test_a_damaged_file_is_a_trigger_without_an_image(tmp_path: Path) -> None:
    picture(tmp_path / "in", "a.png", 10)
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:40])
    source = Folder(FolderOptions(path=str(tmp_path / "in"), rate=1000))
    source.open()
    whole, damaged = grabs(source, 2)
    assert whole.problem is None and damaged.image is None and "b.png" in str(damaged.problem)
    assert damaged.frame_id == 2


@pytest.mark.parametrize("watch", [False, True])
def test_a_folder_that_is_not_there_is_a_device_that_is_not(tmp_path: Path, watch: bool) -> None:
    with pytest.raises(DeviceError, match="nowhere"):
        Folder(FolderOptions(path=str(tmp_path / "nowhere"), watch=watch)).open()


def test_an_empty_folder_can_be_watched_and_not_replayed(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no image"):
        Folder(FolderOptions(path=str(tmp_path))).open()
    Folder(FolderOptions(path=str(tmp_path), watch=True)).open()


def test_what_comes_into_a_watched_folder_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    picture(folder, "old.png", 5)
    source = Folder(FolderOptions(path=str(folder), watch=True))
    source.open()
    assert source.read(0.1) is None, "what was there before isn't new"
    picture(folder, "a.png", 10)
    assert int(grabs(source, 1)[0].image[0, 0, 0]) == 10  # type: ignore[index]
    assert source.read(0.1) is None, "once"
    whole = (folder / "a.png").read_bytes()
    with (folder / "b.png").open("wb") as growing:
        for start in range(0, len(whole), 20):
            growing.write(whole[start : start + 20])
            growing.flush()
            if start < 60:
                source.read(0.0)
    found = grabs(source, 1)
    assert found[0].problem is None and found[0].frame_id == 2
    (folder / "notes.txt").write_text("x")
    assert source.read(0.1) is None


def test_a_watched_folder_that_goes_is_a_lost_device(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = Folder(FolderOptions(path=str(folder), watch=True))
    source.open()
    folder.rmdir()
    with pytest.raises(DeviceError, match="is gone"):
        source.read(0.1)


# ---------------------------------------------------------------- the belt


def test_parts_come_at_the_rate_and_bursts_at_once() -> None:
    belt = Belt(10.0, 20, [Fault(5, "belt-burst", count=3), Fault(9, "judge-hang")], 1000)
    times = [belt.at(part) for part in range(8)]
    assert times == [1000 + SECOND * part // 10 for part in (0, 1, 2, 3, 4, 5, 5, 5)]
    assert belt.at(8) == 1000 + SECOND * 8 // 10 and belt.at(19) and belt.at(20) is None
    assert belt.next_after(0) == 0 and belt.next_after(1000) == 1
    assert belt.next_after(1000 + SECOND // 2 - 1) == 5 and belt.next_after(1000 + SECOND // 2) == 8


def test_who_starts_the_belt_writes_down_when(tmp_path: Path) -> None:
    assert read_start(tmp_path / "belt") is None
    write_start(tmp_path / "belt", 12345)
    assert read_start(tmp_path / "belt") == 12345 and [p.name for p in tmp_path.iterdir()] == ["belt"]


# ---------------------------------------------------------------- the virtual camera


def generated(tmp_path: Path, *faults: str, parts: int = 12, **options: object) -> Generated:
    made = {"rate": 100.0, "parts": parts, "log": str(tmp_path / "log"), "faults": faults, **options}
    source = Generated(GeneratedOptions(**made))  # type: ignore[arg-type]
    source.open()
    return source


def written(grab: Grab) -> int:
    assert grab.image is not None
    return int.from_bytes(grab.image[0, :8, 0].tobytes(), "big")


def test_each_image_says_which_part_it_shows(tmp_path: Path) -> None:
    found = grabs(generated(tmp_path), 12)
    assert [written(grab) for grab in found] == [grab.frame_id for grab in found] == list(range(12))
    assert [grab.encoder for grab in found][:3] == [0, 100, 200]
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["part"] for each in log] == list(range(12))
    assert log[3]["at"] == found[3].camera_ns


def test_the_same_seed_shows_the_same_parts(tmp_path: Path) -> None:
    one, same, other = (grabs(generated(tmp_path, seed=seed, defects=0.5), 12) for seed in (1, 1, 2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, same, strict=True))  # type: ignore[arg-type]
    assert not all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))  # type: ignore[arg-type]
    bright = [grab.image[8:16, 8:16].min() == 250 for grab in one if grab.image is not None]
    flagged = [grab.image[1, 0, 0] == 255 for grab in one if grab.image is not None]
    assert bright == flagged and 0 < sum(bright) < 12


def test_a_lost_packet_a_gap_and_what_it_never_got(tmp_path: Path) -> None:
    source = generated(tmp_path, "2 camera-lost 0 1", "4 camera-gap 0 2", "8 camera-missed 0 1")
    found = grabs(source, 9)
    numbers = [(grab.frame_id, None if grab.image is None else written(grab)) for grab in found]
    assert numbers == [(0, 0), (1, 1), (2, None), (3, 3), (6, 6), (7, 7), (8, 9), (9, 10), (10, 11)]
    assert "packets are missing" in str(found[2].problem)


def test_a_ghost_is_one_more_in_the_count(tmp_path: Path) -> None:
    found = grabs(generated(tmp_path, "3 camera-ghost 0 1"), 13)
    assert [grab.frame_id for grab in found] == list(range(13))
    assert [written(grab) for grab in found][2:6] == [2, 3, 3, 4]


def test_one_that_goes_comes_back_with_the_part_that_is_next(tmp_path: Path) -> None:
    source = generated(tmp_path, "3 camera-gone 0.3 1", parts=100)
    assert len(grabs(source, 3)) == 3
    with pytest.raises(DeviceError, match="went away"):
        grabs(source, 1)
    with pytest.raises(DeviceError, match="is away"):
        source.open()
    time.sleep(0.35)
    source.open()
    first = grabs(source, 1)[0]
    assert first.frame_id is not None and first.frame_id >= 30, "it counts what nobody saw"


def test_a_slow_image_comes_later_and_the_others_behind_it(tmp_path: Path) -> None:
    source = generated(tmp_path, "2 camera-slow 0.3 1")
    began = time.monotonic()
    found = grabs(source, 4)
    assert [grab.frame_id for grab in found] == [0, 1, 2, 3] and time.monotonic() - began >= 0.3


def test_it_waits_for_the_belt_that_a_plc_starts(tmp_path: Path) -> None:
    source = generated(tmp_path, belt=str(tmp_path / "belt"))
    assert source.read(0.05) is None
    write_start(tmp_path / "belt", time.monotonic_ns() + SECOND // 20)
    assert [grab.frame_id for grab in grabs(source, 12)] == list(range(12))


def test_pictures_of_a_folder_are_shown_in_turn(tmp_path: Path) -> None:
    shown = [picture(tmp_path / "in", f"{n}.png", 40 * n) for n in range(3)]
    found = grabs(generated(tmp_path, images=str(tmp_path / "in")), 5)
    assert all(np.array_equal(grab.image, shown[n % 3]) for n, grab in enumerate(found))  # type: ignore[arg-type]


def test_what_is_no_fault_is_refused() -> None:
    with pytest.raises(OptionError, match="is no fault"):
        GeneratedOptions(faults=("3 camera-explodes 1 1 1",))
