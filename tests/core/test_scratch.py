"""Scratch lies where the bundle will: temporary files on another disk change nothing, and nothing stays."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgead.files import staging_folder, written_beside
from edgead.leftovers import scratch_folder
from tests.bundles import good_image, make_compiled, write_images

OTHER_DISK = Path("/dev/shm")


@pytest.mark.skipif(
    not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == Path.cwd().stat().st_dev,
    reason="there's no second file system here",
)
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_temporary_files_may_be_on_another_disk(reference_bundle, tmp_path, monkeypatch, target):
    if target == "openvino":
        pytest.importorskip("openvino", reason="needs the [openvino] extra")
    monkeypatch.setenv("TMPDIR", str(OTHER_DISK))
    monkeypatch.setattr("tempfile.tempdir", None)
    if tmp_path.stat().st_dev == OTHER_DISK.stat().st_dev:
        pytest.skip("tests' own folders are there too")
    made = make_compiled(reference_bundle, target, "int8", tmp_path / "x.edgead")
    assert not (made.bundle.path / "scratch").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["x.edgead"]
    assert not list(OTHER_DISK.glob("edgead-*"))


# ---------------------------------------------------------------- killed

WRITER = """
import sys
from pathlib import Path
from edgead.files import staging_folder, write_file
from edgead.leftovers import scratch_folder
out = Path(sys.argv[1])
print("ready", flush=True)
for turn in range(int(sys.argv[2])):
    write_file(out / "a.heatmap.png", bytes(50_000))
    with staging_folder(out / "x.edgead") as folder:
        (folder / "model.bin").write_bytes(bytes(50_000))
        with scratch_folder() as inside:
            (inside / "model.onnx").write_bytes(bytes(50_000))
    with scratch_folder() as apart:
        (apart / "model.onnx").write_bytes(bytes(50_000))
"""


def start(out: Path, temporary: Path, turns: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(out), str(turns)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    out.mkdir()
    temporary.mkdir()
    return out, temporary


def names(*folders: Path) -> list[str]:
    return sorted(path.name for folder in folders for path in folder.iterdir())


def test_what_killed_processes_leave_goes_with_the_next(places: tuple[Path, Path]) -> None:
    out, temporary = places
    seen: set[str] = set()
    wanted = {".x.edgead.partial-", "edgead-scratch-"}
    for number in range(200):
        process = start(out, temporary, 10**9)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(random.Random(number).uniform(0.002, 0.05))
        process.kill()
        process.wait()
        seen.update(name.rstrip("0123456789abcdef") for name in names(out, temporary))
        if number > 10 and wanted <= seen:
            break
    assert wanted <= seen, "the kills met nothing"
    assert start(out, temporary, 1).wait() == 0
    assert names(out, temporary) == ["a.heatmap.png"]


def test_what_a_living_process_holds_stays(places: tuple[Path, Path], monkeypatch) -> None:
    out, temporary = places
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with (
        scratch_folder() as apart,
        staging_folder(out / "x.edgead") as folder,
        scratch_folder() as inside,
        written_beside(out / "a.heatmap.png", b"half") as beside,
    ):
        assert start(out, temporary, 2).wait() == 0
        assert all(each.exists() for each in (apart, folder, inside, beside))
        assert inside.parent == folder and apart.parent == temporary
    assert names(out, temporary) == ["a.heatmap.png"]


def test_only_edgeads_own_names_are_removed(places: tuple[Path, Path]) -> None:
    out, temporary = places
    others = [
        *(out / name for name in (".x.partial-", ".x.partial-0123", "x.partial-0123456789ab", ".rsync.Ab3")),
        *(temporary / name for name in ("edgead-mine", "edgead-scratch-", "edgead-scratch-0123456789ab.txt")),
    ]
    for path in others:
        path.mkdir()
    (temporary / "target").mkdir()
    (temporary / "edgead-scratch-0123456789ab").symlink_to(temporary / "target")
    os.mkfifo(out / ".y.partial-0123456789ab")
    (out / ".y.partial-ba9876543210").write_bytes(b"half")
    (temporary / "edgead-scratch-ba9876543210").mkdir()
    before = set(names(out, temporary))
    assert start(out, temporary, 1).wait() == 0
    gone = {".y.partial-ba9876543210", "edgead-scratch-ba9876543210"}
    assert set(names(out, temporary)) == before - gone | {"a.heatmap.png"}


def test_a_killed_fit_leaves_nothing_after_the_next(tmp_path: Path, places: tuple[Path, Path]) -> None:
    pytest.importorskip("spox", reason="needs the [fit] extra")
    out, temporary = places
    images = write_images(tmp_path / "good", [good_image(i) for i in range(12)])
    words = ["fit", "patchcore", str(images), "--size", "64", "--out", str(out / "x.edgead"), "-q"]
    command = [sys.executable, "-m", "edgead", *words]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    while not list(out.glob(".x.edgead.partial-*/edgead-scratch-*")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -9 and names(out) and not names(temporary)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert names(out, temporary) == ["x.edgead"]
