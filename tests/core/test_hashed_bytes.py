"""What was hashed is what runs: each file is opened once, and nothing that happens to it later counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgead
from edgead.bundle import Bundle, folder, loaded, read_bundle
from edgead.errors import BundleError, FileSizeError, HashMismatchError, LinkError, MissingFileError
from edgead.files import swap_into_place
from edgead.runtime import model_bytes
from edgead.runtime.model_bytes import ModelBytes, model_of, read_model
from tests.bundles import bad_image, good_image
from tests.mean_bundle import write_mean_bundle
from tests.sealed import change_manifest

GOLDEN = Path(__file__).parents[1] / "golden" / "v3.edgead"
ENGINES = ("openvino", "onnxruntime")
LOADS = """
import sys
import edgead
edgead.load(sys.argv[1], engine=sys.argv[2])
"""


# ---------------------------------------------------------------- one open a file


def opened_in(bundle: Path, *words: str) -> Counter[str]:
    """How often a process opens each file of a bundle, by what the kernel was asked."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, to see what the kernel is asked for")
    trace = bundle.parent / "trace"
    line = [strace, "-f", "-y", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", str(trace), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace can't be used here: {done.stderr.strip()[:80]}")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"= \d+<([^>]*)>$", trace.read_text(), re.M)
    inside = (
        name.removeprefix(f"{bundle.resolve()}/") for name in found if name.startswith(f"{bundle.resolve()}/")
    )
    return Counter(name for name in inside if (bundle / name).is_file())


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_loading_opens_each_file_of_a_taught_and_revised_bundle_once(
    target: str, compiled: Any, tmp_path: Path
) -> None:
    bundle = shutil.copytree(compiled(target).bundle.path, tmp_path / "part.edgead")
    detector = edgead.load(bundle)
    edgead.teach(detector, false_alarms=bad_image(0), accept_changes=True)
    edgead.calibrate(bundle, threshold=detector.threshold)
    there = {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()}
    engine = {"openvino": "openvino", "onnx": "onnxruntime"}[target]
    counts = opened_in(bundle, sys.executable, "-c", LOADS, str(bundle), engine)
    assert counts == dict.fromkeys(there, 1)


def test_verifying_opens_each_file_once(tmp_path: Path) -> None:
    bundle = shutil.copytree(GOLDEN, tmp_path / "part.edgead")
    counts = opened_in(bundle, sys.executable, "-m", "edgead", "verify", str(bundle))
    there = {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()}
    assert counts.pop("manifest.json") in (1, 2)  # the name's completion looks whether there is one
    assert counts == dict.fromkeys(there - {"manifest.json"}, 1)


# ---------------------------------------------------------------- files that change under a detector


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def overwrite(file: Path) -> None:
    """As ``cp OTHER FILE`` does: the same inode with other bytes."""
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.write(np.random.default_rng(0).bytes(size))


def rsync(file: Path) -> None:
    """As ``rsync --inplace`` does: block by block, and cut at the end."""
    size = file.stat().st_size
    with file.open("r+b") as stream:
        for at in range(0, size, 700):
            stream.seek(at)
            stream.write(b"\xff" * min(350, size - at))
        stream.truncate(size - 1)


@pytest.mark.parametrize("change", [cut, empty, overwrite, rsync])
@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_a_running_detectors_scores_stay_the_same_bits(
    target: str, change: Callable[[Path], None], compiled: Any, tmp_path: Path
) -> None:
    bundle = shutil.copytree(compiled(target).bundle.path, tmp_path / "part.edgead")
    detector = edgead.load(bundle, threads=1)
    frames = [good_image(500), bad_image(1)]
    before = [detector(frame) for frame in frames]
    for file in bundle.rglob("*"):
        if file.is_file():
            change(file)
    for frame, known in zip(frames, before, strict=True):
        now = detector(frame)
        assert now.score == known.score and np.array_equal(now.anomaly_map, known.anomaly_map)
    with pytest.raises(BundleError):
        edgead.load(bundle)
    with pytest.raises(BundleError):
        detector.teaching_session()  # what is needed later is checked again


def test_weights_are_not_mapped_and_the_bundle_keeps_nothing_that_a_detector_took(compiled: Any) -> None:
    bundle = compiled("openvino").bundle.path
    detector = edgead.load(bundle)
    assert detector.bundle.held == {}
    session = edgead.load(compiled("onnx").bundle.path)._session
    kept = [*vars(session).values(), *vars(session._session).values()]
    assert not any(isinstance(each, bytes | ModelBytes) for each in kept)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system doesn't tell what is mapped")
    assert str(bundle.resolve()) not in maps.read_text()


# ---------------------------------------------------------------- what a bundle hands out


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    return write_mean_bundle(tmp_path / "mean.edgead")


def test_only_the_hashed_bytes_are_handed_out(mean: Path) -> None:
    content = (mean / "model.onnx").read_bytes()
    bundle, held = read_bundle(mean), read_bundle(mean, hold=True)
    assert bundle.held == {} and held.held == {"model.onnx": content} and held == bundle
    assert bundle.read("model.onnx") == content
    flipped = bytes([content[0] ^ 1]) + content[1:]
    for changed, kind in (
        (flipped, HashMismatchError),
        (content[:-1], FileSizeError),
        (content * 2, FileSizeError),
    ):
        (mean / "model.onnx").write_bytes(changed)
        with pytest.raises(kind, match=re.escape(f"{mean}: file 'model.onnx'")):
            bundle.read("model.onnx")
        with pytest.raises(kind):
            model_of(bundle)
        with pytest.raises(kind):
            edgead.Detector(bundle)
        assert held.read("model.onnx") == content  # that's what was hashed
    with pytest.raises(MissingFileError):
        bundle.read("../mean.edgead/model.onnx")
    (mean / "model.onnx").unlink()
    with pytest.raises(BundleError):
        bundle.read("model.onnx")
    edgead.Detector(held)


def test_what_takes_a_files_place_is_not_followed_and_not_waited_for(mean: Path, tmp_path: Path) -> None:
    bundle, file = read_bundle(mean), mean / "model.onnx"
    shutil.copy(file, tmp_path / "same")
    file.unlink()
    file.symlink_to(tmp_path / "same")
    with pytest.raises(LinkError):
        bundle.read("model.onnx")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(LinkError):
        bundle.read("model.onnx")


def test_a_folder_below_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    path = shutil.copytree(GOLDEN, tmp_path / "part.edgead")
    bundle = read_bundle(path)
    shutil.move(path / "probes", tmp_path / "elsewhere")
    (path / "probes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LinkError):
        bundle.read("probes/000.png")
    with folder.open_folder(path) as opened, pytest.raises(LinkError):
        list(opened.scan("probes"))


def test_an_engine_gets_what_was_written_beside_the_model(compiled: Any) -> None:
    model = model_of(compiled("openvino").bundle)
    path = compiled("openvino").bundle.path
    assert model.name == "model.xml" and model.data == (path / "model.xml").read_bytes()
    assert model.weights == (path / "model.bin").read_bytes() and set(model.beside) == {"model.bin"}
    parts = (model.data, model.weights)
    assert model.digests == tuple(hashlib.sha256(part).hexdigest() for part in parts)
    assert replace(model, hashed={}).digests == model.digests  # what the manifest says, and what it is
    jetson = model_of(compiled("jetson").bundle)
    assert set(jetson.beside) == {"tensorrt.json"} and json.loads(jetson.beside["tensorrt.json"])
    with model.as_files() as file:
        again = read_model(file)
        assert (again.data, again.beside) == (model.data, model.beside)
        assert file.parent.stat().st_mode & 0o077 == 0
    assert not file.parent.exists()
    assert "weights" not in repr(ModelBytes("a.onnx", b"weights")) and "a.onnx" in repr(
        ModelBytes("a.onnx", b"")
    )


def test_loading_with_a_cache_hashes_each_file_once(
    compiled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    bundle, hashed, hasher = compiled("openvino").bundle, Counter[str](), hashlib.sha256
    names = {(bundle.path / name).read_bytes(): name for name in ("model.xml", "model.bin")}

    def counting(data: Any = b"", **options: Any) -> Any:
        hashed[names.get(bytes(data), "")] += 1
        return hasher(data, **options)

    for module in (loaded, model_bytes):
        monkeypatch.setattr(module, "hashlib", SimpleNamespace(sha256=counting))
    for found in (False, True):
        hashed.clear()
        detector = edgead.load(bundle, cache=True)
        assert detector._session.cached is found  # type: ignore[attr-defined]
        assert (hashed["model.xml"], hashed["model.bin"]) == (1, 1)


# ---------------------------------------------------------------- readers while a bundle is exchanged


def variant(path: Path, threshold: float) -> Path:
    write_mean_bundle(path)
    change_manifest(path, lambda value: value["thresholds"]["default"].update(score=threshold))
    (path / "revisions").mkdir()
    return path


WRITES = """
import shutil, sys, time
from pathlib import Path
from edgead.files import swap_into_place

path, sources = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
print("ready", flush=True)
for turn in range(10**9):
    staged = path.with_name(f".staged{turn}")
    shutil.copytree(sources[turn % len(sources)], staged)
    swap_into_place(staged, path)  # another's folder is removed at once, as a writer does
    shutil.rmtree(staged)
"""


def test_readers_of_a_bundle_that_is_exchanged_all_the_time_never_fail(tmp_path: Path) -> None:
    sources = [variant(tmp_path / name, score) for name, score in (("a", 101.0), ("b", 102.0))]
    path = shutil.copytree(sources[0], tmp_path / "part.edgead")
    words = [sys.executable, "-c", WRITES, str(path), *map(str, sources)]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        seen: Counter[float] = Counter()
        digests = {
            read_bundle(source).digest: read_bundle(source).manifest.threshold.score for source in sources
        }
        for _ in range(300):
            bundle = read_bundle(path, hold=True)
            assert digests[bundle.digest] == bundle.manifest.threshold.score
            seen[bundle.manifest.threshold.score] += 1
        assert set(seen) == {101.0, 102.0} and writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


def test_a_bundle_exchanged_between_two_steps_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every read and scan of the first reader in turn: the whole old one, or the whole new one."""
    sources = [variant(tmp_path / name, score) for name, score in (("a", 101.0), ("b", 102.0))]
    known = {read_bundle(source).digest: source for source in sources}
    for moment in range(40):
        path = shutil.copytree(sources[0], tmp_path / "part.edgead")
        left = [moment]

        def then(step: Callable[..., Any], left: list[int] = left, path: Path = path) -> Callable[..., Any]:
            def doing(*args: Any) -> Any:
                left[0] -= 1
                if left[0] == -1:
                    staged = shutil.copytree(sources[1], tmp_path / "staged")
                    swap_into_place(staged, path)
                    shutil.rmtree(staged)
                return step(*args)

            return doing

        with monkeypatch.context() as patch:
            for name in ("read", "scan"):
                patch.setattr(folder.OpenFolder, name, then(getattr(folder.OpenFolder, name)))
            bundle = read_bundle(path, hold=True)
        source = known[bundle.digest]
        assert bundle.read("model.onnx") == (source / "model.onnx").read_bytes()
        assert bundle.manifest.threshold.score == read_bundle(source).manifest.threshold.score
        shutil.rmtree(path)
        if left[0] >= 0:
            break
    else:
        pytest.fail("it never came to an end")
    assert moment > 2


def test_damage_that_stays_is_told_at_once(mean: Path) -> None:
    (mean / "model.onnx").write_bytes(b"x")
    with pytest.raises(FileSizeError):
        read_bundle(mean)
    shutil.rmtree(mean)
    with pytest.raises(BundleError, match="no such bundle"):
        read_bundle(mean)


def test_no_descriptor_is_left_open(mean: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this system doesn't tell what is open")
    read_bundle(mean)
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        bundle: Bundle = read_bundle(mean, hold=True)
        bundle.without_held().read("model.onnx")
    with pytest.raises(BundleError):
        read_bundle(mean / "model.onnx")
    (mean / "extra").touch()
    with pytest.raises(BundleError):
        read_bundle(mean)
    assert len(list(descriptors.iterdir())) == before and threading.active_count() < 50
