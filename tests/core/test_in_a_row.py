"""Frames in a row on both engines: what is copied, in which thread it's done, and how far ahead."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import islice

import cv2
import numpy as np
import pytest

import edgead
from edgead.errors import FrameError, ImageError, InferenceError
from edgead.images import quiet_opencv
from edgead.runtime.in_a_row import in_a_row
from tests.bundles import SIZE, bad_image, good_image, write_images

HERE = threading.main_thread()
EXACT = [np.ascontiguousarray(good_image(i, SIZE)) for i in range(8)]
KINDS = [good_image(1), bad_image(2), EXACT[0], good_image(7, (64, 96))[:, ::-1], good_image(3)[..., 0],
         good_image(4)[..., 0].astype(np.uint16) * 200, EXACT[1]]  # fmt: skip


@pytest.fixture(scope="module", params=["openvino", "onnxruntime", "throughput"])
def detector(request, compiled):
    engine = "openvino" if request.param == "throughput" else request.param
    throughput = request.param == "throughput"
    return edgead.load(compiled("onnx").bundle.path, engine=engine, threads=2, throughput=throughput)


@pytest.fixture
def given(detector, monkeypatch):
    """The memory that the engine reads its inputs from, in order."""
    session, arrays = detector._session, []

    if session.engine == "onnxruntime":
        monkeypatch.setattr(session, "_session", Spied(session._session, arrays))
    else:
        take = session._take
        monkeypatch.setattr(session, "_take", lambda: Request(take(), arrays))
        monkeypatch.setattr(session, "_give_back", lambda request: session._idle.append(request._real))
    return arrays


class Spied:
    """ONNX Runtime's session, which reads a contiguous array's own memory."""

    def __init__(self, real, arrays):
        self._real, self._arrays = real, arrays

    def run(self, names, inputs):
        (image,) = inputs.values()
        assert image.flags.c_contiguous
        self._arrays.append(image)
        return self._real.run(names, inputs)


class Request:
    """An OpenVINO request that keeps what its tensor holds."""

    def __init__(self, real, arrays):
        self._real, self._arrays = real, arrays

    def get_output_tensor(self, index):  # it has finished by now
        if index == 0:
            self._arrays.append(self._real.get_input_tensor().data)
        return self._real.get_output_tensor(index)

    def __getattr__(self, name):
        return getattr(self._real, name)


def same(found, expected):
    return found.score == expected.score and (found.anomaly_map == expected.anomaly_map).all()


# ---------------------------------------------------------------- copies


def shared(given, frames):
    return [np.shares_memory(array, frame) for array, frame in zip(given, frames, strict=True)]


def test_a_frame_of_the_models_size_is_the_engines_own_input_in_a_call(detector, given):
    for frame in EXACT:
        detector(frame)
    assert shared(given, EXACT) == [True] * len(EXACT)


def test_in_a_map_it_is_where_frames_are_held_and_a_copy_where_they_are_not(detector, given):
    before = [frame.copy() for frame in EXACT]
    list(detector.map(EXACT, held=True))
    assert shared(given, EXACT) == [True] * len(EXACT)
    assert all((frame == copy).all() for frame, copy in zip(EXACT, before, strict=True)), "written into"
    given.clear()
    list(detector.map(EXACT))
    assert shared(given, EXACT) == [False] * len(EXACT)
    given.clear()
    for frame in EXACT:
        detector.start(frame).wait()
    assert shared(given, EXACT) == [False] * len(EXACT)


def test_what_was_resized_is_not_copied_again(detector, given, monkeypatch):
    made, apply = [], detector.rule.apply
    spied = type(
        "Rule", (), {"apply": lambda self, frame: made.append(apply(frame)) or made[-1], "size": SIZE}
    )
    monkeypatch.setattr(detector._frames, "_rule", spied())
    frames = [good_image(i) for i in range(5)]
    list(detector.map(frames))
    assert shared(given, made) == [True] * 5
    for frame in frames:
        detector.start(frame).wait()
    assert shared(given, made) == [True] * 10
    list(detector.map(frames, held=True))
    assert all(any(np.shares_memory(array, one) for one in made[10:]) for array in given[10:])


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize("held", [False, True])
def test_each_frame_gets_a_calls_verdict(detector, held):
    expected = [detector(frame) for frame in KINDS]
    assert len({one.score for one in expected}) == len(KINDS)
    found = list(detector.map((KINDS[i % 7] for i in range(70)), held=held))
    assert [same(one, expected[i % 7]) for i, one in enumerate(found)] == [True] * 70


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_camera_that_fills_its_buffer_again_changes_no_pending_verdict(detector, kind):
    shown = [KINDS[kind].copy(), np.roll(KINDS[kind], 9, 0), KINDS[kind][::-1].copy()] * 4
    expected, buffer = [detector(frame) for frame in shown], np.empty_like(shown[0])
    assert len({one.score for one in expected}) == 3

    def camera():
        for frame in shown:
            buffer[:] = frame
            yield buffer
            buffer[:] = 0  # the moment that the next is asked for

    found = list(detector.map(camera()))
    assert [same(one, two) for one, two in zip(found, expected, strict=True)] == [True] * 12
    pending = []
    for frame in shown:
        buffer[:] = frame
        pending.append(detector.start(buffer))
    buffer[:] = 0
    assert [same(one.wait(), two) for one, two in zip(pending, expected, strict=True)] == [True] * 12


# ---------------------------------------------------------------- who does what, and when


@pytest.mark.parametrize("held", [False, True])
def test_frames_are_taken_lazily_by_the_thread_that_asks(detector, held):
    taken, threads = [], set()

    def source():
        for i in range(40):
            taken.append(i)
            threads.add(threading.current_thread())
            yield KINDS[i % 7]

    predictions = detector.map(source(), held=held)
    assert taken == []
    width = getattr(detector._session, "_streams", lambda: 1)()
    processors = edgead.ahead.usable_processors()
    most = width + 1 + (processors + 1 if held else 0)
    ahead = [len(taken) - asked for asked, _ in enumerate(predictions, 1)]
    assert max(ahead) <= most and ahead[-1] == 0 and threads == {HERE}


def test_held_frames_are_prepared_in_other_threads_and_others_in_this_one(detector, monkeypatch):
    threads, prepare = set(), detector._frames.prepare

    def spied(*frame):
        threads.add(threading.current_thread())
        return prepare(*frame)

    monkeypatch.setattr(detector._frames, "prepare", spied)
    list(detector.map(KINDS[:2] * 5))
    assert threads == {HERE}
    threads.clear()
    list(detector.map(KINDS[:2] * 5, held=True))
    assert threads and HERE not in threads
    assert not [t for t in threading.enumerate() if t.name.startswith("edgead-ahead")]


@pytest.mark.parametrize("error", [ValueError("the cable"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("n", [0, 1, 6])
def test_held_frames_before_the_sources_error_are_judged_first(detector, error, n):
    def source():
        yield from KINDS[:n]
        raise error

    found = []
    with pytest.raises(type(error)) as raised:
        for prediction in detector.map(source(), held=True):
            found.append(prediction)
    assert raised.value is error
    assert [same(one, detector(frame)) for one, frame in zip(found, KINDS[:n], strict=True)] == [True] * n


@pytest.mark.parametrize("none", [np.zeros((9, 9), np.float32), memoryview(EXACT[0]), None])
def test_a_held_frame_that_is_none_raises_after_those_before_it(detector, none):
    found = []
    with pytest.raises(FrameError, match=r"float32|numpy array"):
        for prediction in detector.map([*KINDS[:4], none, *KINDS], held=True):
            found.append(prediction)
    assert len(found) == 4


def test_a_map_that_is_closed_leaves_no_thread(detector):
    before = set(threading.enumerate())
    predictions = detector.map((KINDS[i % 7] for i in range(99)), held=True)
    assert same(next(predictions), detector(KINDS[0]))
    predictions.close()
    ours = {t for t in set(threading.enumerate()) - before if t.name.startswith("edgead")}
    for thread in ours:
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)


class Late:
    """What is under way: its number, and what the first wait raises."""

    def __init__(self, number, error=None):
        self.number, self.error, self.waited = number, error, 0

    def wait(self):
        self.waited += 1
        if self.error is not None and (self.waited == 1 or isinstance(self.error, Exception)):
            raise self.error
        return self.number


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_next_is_started_before_the_last_is_yielded(width):
    started = []

    def start(number):
        started.append(number)
        return Late(number)

    seen = [(outputs, len(started)) for outputs in in_a_row(range(9), start, width)]
    assert seen == [(n, min(9, n + 1 + width)) for n in range(9)]


@pytest.mark.parametrize("width", [1, 3])
def test_an_interrupt_while_it_waits_loses_nothing_that_was_taken(width):
    taken, found = [], []

    def source():
        for number in range(20):
            taken.append(number)
            yield number

    with pytest.raises(KeyboardInterrupt):
        for outputs in in_a_row(source(), lambda n: Late(n, KeyboardInterrupt() if n == 5 else None), width):
            found.append(outputs)
    assert found == taken == list(range(6 + width))


@pytest.mark.parametrize("width", [1, 3])
def test_what_fails_comes_after_those_before_it_and_the_rest_is_waited_for(width):
    for fails_at_start in (False, True):
        made, found, error = [], [], InferenceError("the unit")

        def start(number, made=made, error=error, at_start=fails_at_start):
            if number == 5 and at_start:
                raise error
            made.append(Late(number, error if number == 5 else None))
            return made[-1]

        with pytest.raises(InferenceError) as raised:
            for outputs in in_a_row(range(20), start, width):
                found.append(outputs)
        assert raised.value is error and found == [0, 1, 2, 3, 4]
        assert all(one.waited for one in made)


@pytest.mark.parametrize("width", [1, 3])
def test_an_interrupt_is_not_hidden_by_what_fails_after_it(width):
    errors = {5: KeyboardInterrupt(), 6: InferenceError("the unit")}
    with pytest.raises(KeyboardInterrupt) as raised:
        for _ in in_a_row(range(20), lambda n: Late(n, errors.get(n)), width):
            pass
    assert raised.value.__cause__ is errors[6]


LATE = """
import sys, threading
if {early}:
    import concurrent.futures.thread
from functools import partial
import numpy as np
from edgead.ahead import in_order
from edgead.runtime.in_a_row import in_a_row
from edgead.runtime.pending import Worker

def judge():
    main.join()
    ended = threading.Event()
    threading.Timer(0.3, ended.set).start()  # by then threads are told of the end
    ended.wait()
    images = (np.full(3, n, np.uint8) for n in range(4))
    start = partial(Worker().start, lambda image: image, copy=False)
    print([int(image[0]) for image in in_a_row(images, start, 1)], list(in_order(abs, [3, 4], abs, 2)))

main = threading.main_thread()
threading.Thread(target=judge).start()
"""


@pytest.mark.parametrize("early", [True, False], ids=["threads in use", "none so far"])
def test_a_thread_that_outlives_the_main_one_goes_on_judging(early):
    done = subprocess.run(
        [sys.executable, "-c", LATE.format(early=early)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[0, 1, 2, 3] [3, 4]", done.stderr


# ---------------------------------------------------------------- files


def test_files_are_read_ahead_in_order(detector, tmp_path):
    folder = write_images(tmp_path, [good_image(i) for i in range(9)])
    paths = sorted(folder.iterdir())
    expected = [detector(detector.read_image(path)) for path in paths]
    found = detector.map(detector.read_images(iter(paths)), held=True)
    assert [same(one, two) for one, two in zip(found, expected, strict=True)] == [True] * 9

    paths[4].write_bytes(paths[4].read_bytes()[:60])
    kinds = [type(one) for one in detector.read_ahead(paths)]
    assert kinds == [np.ndarray] * 4 + [ImageError] + [np.ndarray] * 4
    found = []
    with pytest.raises(ImageError, match=r"004\.png"):
        for prediction in detector.map(detector.read_images(paths), held=True):
            found.append(prediction)
    assert [same(one, two) for one, two in zip(found, expected[:4], strict=True)] == [True] * 4


def test_what_is_read_ahead_and_not_asked_for_says_nothing_of_the_depth(compiled, tmp_path):
    detector = edgead.load(compiled("onnx").bundle.path, engine="onnxruntime", threads=1)
    for number in range(6):
        deep = good_image(number)[..., 0].astype(np.uint16) * (15 if number < 2 else 250)  # 12 bits, then 16
        cv2.imwrite(str(tmp_path / f"{number}.png"), deep)
    paths = sorted(tmp_path.iterdir())
    assert len(list(islice(detector.read_ahead(paths), 2))) == 2
    notice = detector.depth_notice()
    assert notice is not None and notice.values["images"] == 2 and notice.values["likely"] == 12


def test_opencv_is_quiet_until_the_last_thread_is_done_and_as_loud_as_before_then():
    log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = log.getLogLevel()
    try:
        log.setLogLevel(3)
        one, two = quiet_opencv(), quiet_opencv()
        one.__enter__()
        two.__enter__()
        one.__exit__(None, None, None)
        assert log.getLogLevel() == 0
        two.__exit__(None, None, None)
        assert log.getLogLevel() == 3
    finally:
        log.setLogLevel(before)
