"""Starting and running as a camera box needs it: compiled graphs kept, cores pinned, frames at a pace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.errors import OptionError
from edgead.evaluation.pacing import pace
from edgead.progress import silent
from edgead.runtime.compiled_cache import ENTRIES, entry
from edgead.runtime.openvino_session import OpenVINOSession

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.edgead"
FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    return tmp_path / "compiled"


def load(**options):
    return edgead.load(GOLDEN, engine="openvino", **options)


def test_the_second_start_takes_what_the_first_compiled(cache):
    first, second = load(cache=True), load(cache=True)
    assert (first._session.cached, second._session.cached) == (False, True)
    assert first(FRAME).score == second(FRAME).score == load()(FRAME).score
    assert len(list(cache.iterdir())) == 1


def test_nothing_is_kept_unasked(cache):
    load()
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", b"not a compiled graph", None])
def test_a_damaged_entry_is_compiled_again(cache, damage):
    score = load(cache=True)(FRAME).score
    (blob,) = cache.glob("*/*.blob")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2] if damage is None else damage)
    assert load(cache=True)(FRAME).score == score


def test_another_model_version_or_device_is_another_entry(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"1")
    first = entry(model, ("2026.4", "CPU"))
    assert first == entry(model, ("2026.4", "CPU")) != entry(model, ("2026.5", "CPU"))
    model.write_bytes(b"2")
    assert entry(model, ("2026.4", "CPU")) != first


def test_old_entries_go(tmp_path, cache):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"1")
    made = [entry(model, (str(number),)) for number in range(ENTRIES + 3)]
    for age, folder in enumerate(reversed(made)):
        if folder.exists():
            os.utime(folder, (1e9 - age, 1e9 - age))
    newest = entry(model, ("newest",))
    assert len(list(cache.iterdir())) == ENTRIES and newest.exists() and made[-1].exists()


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file"))
    assert load(cache=True)(FRAME).score == load()(FRAME).score


def test_a_compiler_that_fails_says_so_with_and_without_a_cache(tmp_path):
    model = tmp_path / "broken.onnx"
    shutil.copy(GOLDEN / "manifest.json", model)
    for kept in (False, True):
        with pytest.raises(edgead.errors.CompileError, match=r"broken\.onnx"):
            OpenVINOSession(model, cache=kept)


# The BLAS libraries that come with NumPy and OpenCV start threads at import, which spin for a moment: before
# the detector's work is looked at, theirs has ended.
PINNED = """
import json, os, sys, time
from pathlib import Path
import numpy as np
import edgead

def work():
    tasks = Path("/proc/self/task").iterdir()
    return {t.name: sum(map(int, (t / "stat").read_text().rsplit(")")[-1].split()[11:13])) for t in tasks}

bundle, engine, core = sys.argv[1:]
detector = edgead.load(bundle, engine=engine, cores=[int(core)])
before = None
while before != (before := work()):
    time.sleep(0.3)
# A clock tick is long beside a frame: frames are judged until many have passed.
busy, ticks = {}, 0
while ticks < 30:
    for _ in range(100):
        detector(np.zeros((48, 64, 3), np.uint8))
    busy = {int(name): t - before.get(name, 0) for name, t in work().items() if t > before.get(name, 0)}
    ticks = sum(busy.values())
print(json.dumps(sorted({tuple(os.sched_getaffinity(name)) for name in busy})))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system can't pin")
def test_pinned_to_a_core_all_work_is_done_there():
    core = sorted(os.sched_getaffinity(0))[-1]
    for engine in ("openvino", "onnxruntime"):
        words = [sys.executable, "-c", PINNED, str(GOLDEN), engine, str(core)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        assert json.loads(done.stdout) == [[core]], engine


@pytest.mark.parametrize("cores", [[], [100_000], [-1]])
def test_cores_that_are_not_to_be_had_are_refused(cores):
    with pytest.raises(OptionError, match="cores"):
        load(cores=cores)


class Clock:
    """Time that passes only where it's told to: while sleeping, and in a detector of given speed."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, list(seconds)
        self.rule = type("Rule", (), {"size": (4, 4)})

    def sleep(self, seconds):
        self.now += seconds

    def __call__(self, frame=None):
        if frame is not None:
            self.now += self.seconds.pop(0)
        return self.now


def test_latency_counts_from_when_a_frame_is_due():
    slow = Clock([0.01, 0.25, 0.01, 0.01])  # the second frame takes two and a half periods
    found = pace(slow, 10, 4, silent, clock=slow, sleep=slow.sleep)
    # Due at .1 .2 .3 .4, done at .11 .45 .46 .47: late, and the next two wait for it.
    assert found.missed == 2 and found.frames == 4
    assert found.max_ms == pytest.approx(250) and found.p50_ms == pytest.approx((70 + 160) / 2)
    assert found.busy_p50_ms == pytest.approx(10)


def test_frames_in_time_miss_nothing():
    found = pace(clock := Clock([0.02] * 20), 30, 20, silent, clock=clock, sleep=clock.sleep)
    assert found.missed == 0 and found.p99_ms == pytest.approx(20)
