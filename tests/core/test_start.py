"""A start that doesn't wait, on both engines: whose outputs, when, and what becomes of what is left."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

import edgead
from edgead.errors import EngineError, FrameError, InferenceError, TimedOutError
from edgead.runtime.pending import Worker
from tests.bundles import SIZE, bad_image, good_image

ENGINES = ("openvino", "onnxruntime")
FRAMES = [good_image(1), bad_image(2), good_image(3), bad_image(4)]


@pytest.fixture(params=ENGINES)
def detector(request, compiled):
    return edgead.load(compiled("onnx").bundle.path, engine=request.param, threads=1)


def same(found, expected):
    return found.score == expected.score and (found.anomaly_map == expected.anomaly_map).all()


def test_each_frame_gets_the_prediction_of_a_call_in_any_order(detector):
    expected = [detector(frame) for frame in FRAMES]
    pending = [detector.start(frame) for frame in FRAMES * 3]
    for index in np.random.default_rng(0).permutation(len(pending)):
        assert same(pending[index].wait(), expected[index % 4])
        assert pending[index].done and same(pending[index].wait(0), expected[index % 4])


def test_the_frame_may_be_used_again_at_once(detector):
    frame = np.ascontiguousarray(good_image(1, SIZE))  # as the input is, so that no resizing copies it
    expected = detector(frame)
    pending = detector.start(frame)
    frame[:] = 0
    assert same(pending.wait(), expected)


def test_outputs_are_kept_when_more_is_started(detector):
    session, image = detector._session, np.ascontiguousarray(good_image(1, SIZE))[None]
    first = session.start(image).wait()
    kept = {name: array.copy() for name, array in first.items()}
    for _ in range(5):
        session.start(np.ascontiguousarray(bad_image(2)[:96, :64])[None]).wait()
    assert all((first[name] == kept[name]).all() for name in kept)


def test_one_that_is_left_gives_its_request_to_nobody_before_it_has_finished(detector):
    expected = [detector(frame) for frame in FRAMES]
    for _ in range(30):
        for frame in FRAMES:
            detector.start(frame)  # dropped at once
        assert same(detector(FRAMES[1]), expected[1])
        assert [same(p, e) for p, e in zip(detector.map(FRAMES), expected, strict=True)] == [True] * 4


def test_a_bad_frame_raises_at_once_and_a_bad_image_where_it_is_waited_for(detector):
    with pytest.raises(FrameError):
        detector.start(np.zeros((9, 9), np.float32))
    session = detector._session
    for _ in range(2):
        with pytest.raises(InferenceError, match=r"failed on CPU.*load the bundle again"):
            session.start(np.zeros((1, 8, 8, 3), np.uint8)).wait()
    assert detector.start(FRAMES[0]).wait().score == detector(FRAMES[0]).score


class Slow:
    """An OpenVINO request that takes until it's told, and counts what is done to it."""

    def __init__(self, finished):
        self.finished, self.started, self.failing = finished, 0, False

    def start_async(self, inputs, share_inputs):
        self.started += 1

    def wait(self):
        self.finished.wait()
        if self.failing:
            raise RuntimeError("first\nthe unit is gone.")

    def wait_for(self, milliseconds):
        assert isinstance(milliseconds, int)
        if not self.finished.wait(milliseconds / 1e3):
            return False
        self.wait()
        return True

    def get_output_tensor(self, index):
        assert self.finished.is_set(), "read while it's written"
        return type("Tensor", (), {"data": np.full(3, index)})


class Graph:
    def __init__(self, finished):
        self.finished, self.made = finished, []

    def create_infer_request(self):
        self.made.append(Slow(self.finished))
        return self.made[-1]


@pytest.fixture
def slow(compiled):
    """An OpenVINO session whose requests take until ``finished`` is set."""
    session = edgead.load(compiled("onnx").bundle.path, engine="openvino", threads=1)._session
    finished = threading.Event()
    session._compiled = Graph(finished)
    session._idle.clear()
    return session, finished


IMAGE = np.zeros((1, *SIZE, 3), np.uint8)


def test_openvino_times_out_and_may_be_waited_for_again(slow):
    session, finished = slow
    pending = session.start(IMAGE)
    for timeout in (0, 0.01):
        with pytest.raises(TimedOutError, match=rf"not done within {timeout:g} s: wait again") as error:
            pending.wait(timeout)
        assert isinstance(error.value, EngineError) and not pending.done
    finished.set()
    assert pending.done and pending.wait(0) is pending.wait()
    assert list(session._idle) == session._compiled.made


def test_openvino_gives_back_an_abandoned_request_when_it_has_finished(slow):
    session, finished = slow
    session.start(IMAGE)
    gc.collect()
    session.start(IMAGE)
    gc.collect()
    assert [r.started for r in session._compiled.made] == [1, 1], "one under way was used again"
    finished.set()
    session.start(IMAGE).wait()
    assert sorted(r.started for r in session._compiled.made) == [1, 2] and not session._abandoned
    assert len(session._idle) == 2


def test_openvino_that_fails_raises_the_same_each_time_and_gives_back_once(slow):
    session, finished = slow
    pending = session.start(IMAGE)
    session._compiled.made[0].failing = True
    finished.set()
    for _ in range(2):
        with pytest.raises(InferenceError, match="the unit is gone"):
            pending.wait()
    assert pending.done and len(session._idle) == 1


def test_two_that_wait_for_one_each_have_their_own_time(slow):
    session, finished = slow
    pending, found = session.start(IMAGE), []
    waiting = threading.Thread(target=lambda: found.append(pending.wait()))
    waiting.start()
    while not pending._waiting.locked():
        time.sleep(0.001)
    with pytest.raises(TimedOutError):
        pending.wait(0.01)
    finished.set()
    waiting.join()
    assert pending.wait(0) is found[0]


# ---------------------------------------------------------------- the worker's thread


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("edgead-worker")]


def test_a_worker_runs_in_turn_and_times_out():
    go, order = threading.Event(), []

    def run(image):
        go.wait()
        order.append(int(image[0]))
        return {"n": image}

    worker, buffer = Worker(), np.zeros(1, np.uint8)
    pending = []
    for number in range(5):
        buffer[0] = number
        pending.append(worker.start(run, buffer))
    with pytest.raises(TimedOutError):
        pending[0].wait(0.01)
    assert not any(each.done for each in pending)
    go.set()
    assert [int(each.wait()["n"][0]) for each in reversed(pending)] == [4, 3, 2, 1, 0]
    assert order == [0, 1, 2, 3, 4]


def test_a_timeout_of_the_engines_own_is_no_wait_that_was_too_short():
    def run(image):
        raise TimeoutError("the bus")

    pending = Worker().start(run, np.zeros(1, np.uint8))
    with pytest.raises(TimeoutError, match="the bus"):
        pending.wait(60)


def test_the_thread_is_made_when_first_needed_and_ends_with_the_session(compiled):
    gc.collect()
    before = workers()
    detector = edgead.load(compiled("onnx").bundle.path, engine="onnxruntime", threads=1)
    detector(FRAMES[0])
    assert workers() == before
    for _ in range(4):
        detector.start(FRAMES[0]).wait()
    (own,) = set(workers()) - set(before)
    left = detector.start(FRAMES[1])
    del detector, left
    gc.collect()
    own.join(60)
    assert not own.is_alive()
