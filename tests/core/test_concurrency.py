"""One detector for several threads, and what is under way when something ends early: on both engines."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import edgead
from edgead.errors import EngineError, FrameError, InferenceError
from tests.bundles import SIZE, bad_image, good_image

ENGINES = ("openvino", "onnxruntime")
KINDS = [good_image(1), bad_image(2), good_image(3), bad_image(5), good_image(7, (64, 96)),
         np.zeros((300, 50), np.uint16)]  # fmt: skip
FRAMES = [i % len(KINDS) for i in range(240)]


class Counting:
    """An OpenVINO model that counts the requests made of it."""

    def __init__(self, compiled):
        self._compiled, self.made = compiled, 0

    def create_infer_request(self):
        self.made += 1
        return self._compiled.create_infer_request()

    def __getattr__(self, name):
        return getattr(self._compiled, name)


@pytest.fixture(scope="module", params=[(e, t) for e in ENGINES for t in (1, None)], ids=str)
def detector(request, compiled):
    engine, threads = request.param
    return edgead.load(compiled("onnx").bundle.path, engine=engine, threads=threads)


@pytest.fixture(scope="module", params=[*ENGINES, "throughput"])
def mapping(request, compiled):
    """Detectors as ``map`` meets them; with OpenVINO's form for throughput, several frames are under way."""
    engine = "openvino" if request.param == "throughput" else request.param
    found = edgead.load(compiled("onnx").bundle.path, engine=engine, threads=2)
    return found.with_throughput() if request.param == "throughput" else found


def same(found, expected):
    return found.score == expected.score and (found.anomaly_map == expected.anomaly_map).all()


def wrong(found, expected, order=FRAMES):
    found = list(found)
    assert len(found) == len(order)
    return sum(not same(one, expected[kind]) for one, kind in zip(found, order, strict=True))


def test_every_thread_gets_its_own_frames_predictions(detector):
    expected = [detector(frame) for frame in KINDS]
    assert len({p.score for p in expected}) == len(KINDS)
    with ThreadPoolExecutor(8) as pool:
        assert wrong(pool.map(lambda kind: detector(KINDS[kind]), FRAMES), expected) == 0


def test_several_maps_and_calls_at_once_are_each_ones_own(detector):
    for judge in (detector, detector.with_throughput()):
        expected = [judge(frame) for frame in KINDS]
        start = threading.Barrier(4)

        def one_map(judge=judge, start=start):
            start.wait()
            return list(judge.map(KINDS[kind] for kind in FRAMES[:90]))

        def calls(judge=judge, start=start):
            start.wait()
            return [judge(KINDS[kind]) for kind in FRAMES[:90]]

        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(work) for work in (one_map, one_map, calls, one_map)]
            assert [wrong(run.result(), expected, FRAMES[:90]) for run in runs] == [0, 0, 0, 0]


def test_a_source_may_use_its_array_again(mapping):
    frames = [np.ascontiguousarray(good_image(i, SIZE)) for i in range(6)]  # as the input is: not copied
    expected, buffer = [mapping(frame) for frame in frames], np.empty_like(frames[0])
    before = frames[-1].copy()

    def camera():
        for frame in frames:
            buffer[:] = frame
            yield buffer

    assert wrong(mapping.map(camera()), expected, range(6)) == 0
    assert (frames[-1] == before).all(), "the frame of an earlier call was written into"


@pytest.mark.parametrize("error", [ValueError("the cable"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_what_is_under_way_is_yielded_before_the_sources_error(mapping, error, n):
    def source():
        yield from KINDS[:n]
        raise error

    found = []
    with pytest.raises(type(error)) as raised:
        collect(mapping.map(source()), found)
    assert raised.value is error
    assert wrong(found, [mapping(frame) for frame in KINDS], range(n)) == 0


def collect(predictions, found):
    for prediction in predictions:
        found.append(prediction)


def test_a_bad_frame_in_the_middle_ends_it_after_those_before(mapping):
    found = []
    with pytest.raises(FrameError):
        collect(mapping.map([*KINDS[:4], np.zeros((9, 9), np.float32), *KINDS[4:]]), found)
    assert wrong(found, [mapping(frame) for frame in KINDS], range(4)) == 0


def test_an_interrupt_is_not_lost_where_nobody_asks_for_the_rest(compiled):
    detector = edgead.load(compiled("onnx").bundle.path, engine="openvino", threads=2, throughput=True)
    detector._session._streams = lambda: 3

    def source():
        yield from KINDS[:2]
        raise KeyboardInterrupt

    predictions = detector.map(source())
    next(predictions)
    with pytest.raises(KeyboardInterrupt):
        predictions.close()


def test_nothing_is_lost_or_hangs_where_a_map_is_closed_or_a_call_fails(compiled):
    detector = edgead.load(compiled("onnx").bundle.path, engine="openvino", threads=2)
    session = detector._session
    session._streams = lambda: 3
    session._compiled = counting = Counting(session._compiled)
    expected = [detector(frame) for frame in KINDS]

    def fails():
        with pytest.raises(InferenceError):
            session(np.zeros((1, 8, 8, 3), np.uint8))
        with pytest.raises(InferenceError):
            list(session.map([np.zeros((1, *SIZE, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)]))

    for _ in range(20):
        predictions = detector.map(KINDS)
        assert same(next(predictions), expected[0])
        predictions.close()
        fails()
        assert wrong(detector.map(KINDS), expected, range(len(KINDS))) == 0
    assert counting.made <= 3 and len(session._idle) == len(set(map(id, session._idle))) <= 3


def test_after_a_crowd_few_requests_are_kept(compiled):
    from edgead.runtime import openvino_session

    session = edgead.load(compiled("onnx").bundle.path, engine="openvino")._session
    taken = [session._take() for _ in range(50)]
    assert len(set(map(id, taken))) == 50
    for request in taken:
        session._give_back(request)
    assert len(session._idle) == openvino_session.IDLE_REQUESTS


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_fails_is_one_line_that_says_what_to_do(engine, compiled):
    session = edgead.load(compiled("onnx").bundle.path, engine=engine)._session
    for run in (session, lambda image: list(session.map([image]))):
        with pytest.raises(InferenceError, match=rf"{engine} failed on CPU.*load the bundle again") as error:
            run(np.zeros((1, 8, 8, 3), np.uint8))
        assert isinstance(error.value, EngineError) and "\n" not in str(error.value)
        assert error.value.exit_code == 5
