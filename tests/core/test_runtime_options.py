"""Starting and running as a camera box needs it: compiled graphs kept, cores pinned, frames at a pace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.errors import OptionError
from edgead.evaluation.pacing import pace
from edgead.progress import silent
from edgead.runtime.compiled_cache import ENTRIES, engine_folder, graph_entry
from edgead.runtime.cores import pinned
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.runtime.model_bytes import ModelBytes, read_model
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
    (blob,) = cache.glob("*.kept")
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2] if damage is None else damage)
    assert load(cache=True)(FRAME).score == score


@pytest.mark.parametrize("place", [graph_entry, engine_folder])
def test_another_model_version_or_device_is_another_entry(tmp_path, place):
    model = ModelBytes("model.xml", b"1", {"model.bin": b"1"})
    first = place(model.digests, ("2026.4", "CPU"))
    assert first == place(model.digests, ("2026.4", "CPU")) != place(model.digests, ("2026.5", "CPU"))
    for other in (replace(model, data=b"2"), replace(model, beside={"model.bin": b"2"})):
        assert place(other.digests, ("2026.4", "CPU")) != first


def test_old_engines_go(tmp_path):
    model = ("0" * 64,)
    strangers = [tmp_path / "tensorrt" / name for name in ("notes", "0" * 32)]
    made = [engine_folder(model, (str(number),)) for number in range(ENTRIES + 3)]
    for folder in strangers:
        folder.mkdir()
    for age, folder in enumerate([*reversed(made), *strangers]):
        if folder.exists():
            os.utime(folder, (1e9 - age, 1e9 - age))
    newest = engine_folder(model, ("newest",))
    assert len(list((tmp_path / "tensorrt").iterdir())) == ENTRIES + len(strangers)
    assert newest.exists() and made[-1].exists() and all(folder.exists() for folder in strangers)


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file"))
    assert load(cache=True)(FRAME).score == load()(FRAME).score


def test_a_compiler_that_fails_says_so_with_and_without_a_cache(tmp_path):
    model = tmp_path / "broken.onnx"
    shutil.copy(GOLDEN / "manifest.json", model)
    for kept in (False, True):
        with pytest.raises(edgead.errors.CompileError, match=r"broken\.onnx"):
            OpenVINOSession(read_model(model), EngineOptions(cache=kept))


# The BLAS libraries that come with NumPy and OpenCV start threads at import, which spin for a moment: before
# the detector's work is looked at, theirs has ended.
PINNED = """
import json, os, sys, threading, time
from pathlib import Path
import cv2
import numpy as np
import edgead

def work():
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            stat = (task / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended since it was listed
            continue
        found[task.name] = sum(map(int, stat.rsplit(")")[-1].split()[11:13]))
    return found

def cores_of(task):
    (line,) = [x for x in Path(f"/proc/self/task/{task}/status").read_text().splitlines()
               if x.startswith("Cpus_allowed_list")]
    return line.split()[1]

bundle, engine, core = sys.argv[1:]
cv2.setNumThreads(1)  # its threads resize, and go where they like
__import__(engine)
mine, before_load = os.sched_getaffinity(0), set(work())
detector = edgead.load(bundle, engine=engine, cores=[int(core)])
assert os.sched_getaffinity(0) == mine, "loading moved the thread"
frame, own = np.zeros((48, 64, 3), np.uint8), str(threading.get_native_id())

# What the engine does on the thread that calls it is done on the core, too.
session, seen = detector._session, set()
inner = session._run
session._run = lambda image: (inner(image), seen.add(tuple(os.sched_getaffinity(0))))[0]
before = None
while before != (before := work()):
    time.sleep(0.3)
# A clock tick is long beside a frame: frames are judged until many have passed.
busy, ticks = set(), 0
while ticks < 30:
    for _ in range(50):
        detector(frame)
        assert os.sched_getaffinity(0) == mine, "a call moved the thread"
    pending = [detector.start(frame) for _ in range(20)]
    list(detector.map([frame] * 30))
    [each.wait() for each in pending]
    assert os.sched_getaffinity(0) == mine, "start or map moved the thread"
    now = work()
    busy = {name for name in now if now[name] > before.get(name, 0)} - {own}
    ticks = sum(now[name] - before.get(name, 0) for name in now)
new = set(now) - before_load  # the engine's threads, and the worker's
print(json.dumps([sorted({cores_of(t) for t in busy | new}), sorted(seen)]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system can't pin")
def test_pinned_to_a_core_all_work_is_done_there_and_the_calling_thread_is_put_back():
    core = sorted(os.sched_getaffinity(0))[-1]
    for engine in ("openvino", "onnxruntime"):
        words = [sys.executable, "-c", PINNED, str(GOLDEN), engine, str(core)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [[str(core)], [[core]]], engine


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system can't pin")
def test_two_detectors_on_cores_of_their_own_leave_each_other_and_the_thread_alone():
    mine = os.sched_getaffinity(0)
    detectors = {core: load(cores=[core]) for core in sorted(mine)[:2]}
    expected = load(threads=1)(FRAME).score
    for _ in range(3):
        for detector in detectors.values():
            assert detector(FRAME).score == expected and os.sched_getaffinity(0) == mine


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system can't pin")
def test_a_thread_is_put_back_whatever_happens_on_the_cores():
    mine = os.sched_getaffinity(0)
    with pytest.raises(KeyError), pinned([max(mine)]):
        assert os.sched_getaffinity(0) == {max(mine)}
        raise KeyError
    assert os.sched_getaffinity(0) == mine
    with pinned(None):
        assert os.sched_getaffinity(0) == mine


@pytest.mark.parametrize("cores", [[], [100_000], [-1]])
def test_cores_that_are_not_to_be_had_are_refused(cores):
    with pytest.raises(OptionError, match="cores"):
        load(cores=cores)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": ""}, "device '' must be"),
        ({"device": 3}, "device 3 must be"),
        ({"precision": "fp16"}, "precision 'fp16' isn't an engine's arithmetic: f32 or bf16"),
        ({"threads": 0}, "threads 0 must be at least 1 and at most 1024"),
        ({"threads": 1025}, "threads 1025 must be"),
        ({"threads": 2.0}, "threads 2.0 must be a whole number"),
        ({"throughput": "yes"}, "throughput 'yes' must be True or False"),
        ({"cache": None}, "cache None must be True or False"),
        ({"cores": "0-3"}, "cores '0-3' must be a list"),
        ({"cores": []}, "give the numbers of one core at least"),
        ({"cores": [-1]}, "give the numbers of one core at least"),
        ({"cores": [1.5]}, "cores 1.5 must be a whole number"),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_refused_in_one_line(options, said):
    with pytest.raises(OptionError) as error:
        EngineOptions(**options)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_options_are_plain_values_of_one_kind_however_they_came():
    options = EngineOptions(threads=np.int64(3), cores=np.array([2, 2, 1]).tolist(), cache=np.True_)
    assert options == EngineOptions(threads=3, cores=(2, 1), cache=True) and type(options.threads) is int
    assert options.cache is True and options.asked == ("threads", "cache", "cores")
    assert (options.thread_count, EngineOptions(cores=[4, 5]).thread_count) == (3, 2)
    assert EngineOptions().thread_count is None and EngineOptions().asked == ()
    assert options.only({"cache", "precision"}) == EngineOptions(cache=True)
    assert hash(options) == hash(EngineOptions(threads=3, cores=(2, 1), cache=True))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_bf16_that_is_not_computed_in_is_said(engine, compiled, caplog):
    file = compiled("onnx").bundle.file("model.onnx")
    session = open_session(file, engine, EngineOptions(precision="bf16"))
    said = f"{engine} computes in f32 on CPU: that bf16 is allowed changes nothing" in caplog.text
    assert ("bf16" in session.execution()) == ("precision" in session.honours) == (not said)
    assert said == (engine == "onnxruntime")


class Clock:
    """Time that passes only where it's told to: while sleeping, and in a detector of given speed."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, list(seconds)
        self.rule = type("Rule", (), {"size": (4, 4), "plain_size": (4, 4)})

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
