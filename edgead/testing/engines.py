"""Checks of an engine, on a small graph that is made up and what ONNX Runtime makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgead.errors import (
    CompileError,
    DeviceError,
    EdgeadError,
    InferenceError,
    OptionError,
    TimedOutError,
)
from edgead.leftovers import scratch_folder
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.runtime.engine_options import ALLOWANCES, DEMANDS, EngineOptions
from edgead.runtime.engines import find_engine, open_session
from edgead.runtime.model_bytes import ModelBytes
from edgead.runtime.session import Engine, Outputs, Pending, Session
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.material import SIZE, defective_image, good_image
from edgead.testing.protocols import require_members
from edgead.testing.running import AGREEMENT, apart
from edgead.testing.small_graph import nan_graph, small_graph

if TYPE_CHECKING:
    import onnx

SHAPE = (1, *SIZE, 3)
STARTED = 24
"""Images under way at once: more than any engine has done when the last is asked for."""
PLAIN = EngineOptions()


def says_what_it_is(entry: Entry) -> None:
    """its ``name`` is the registered name; it ``reads`` ends of names, and ``honours`` options that exist"""
    engine = find_engine(entry.name)
    require_members(engine, Engine)
    known = (*DEMANDS, *ALLOWANCES)
    require(engine.name == entry.name, f"its name is '{engine.name}', registered is '{entry.name}'")
    require(
        engine.reads and all(isinstance(end, str) and end.startswith(".") for end in engine.reads),
        f"reads is {engine.reads!r}: give the ends of the names of model files, ('.onnx',) for instance",
    )
    odd = sorted(set(engine.honours) - set(known))
    require(not odd, f"it honours {', '.join(odd)}: the options are {', '.join(known)}")
    how = engine.lacks()
    require(how is None or "\n" not in how, "lacks() has several lines: give one command")


def its_session_says_what_it_is(entry: Entry) -> None:
    """a session's members tell engine, version, device and input, and honour no more than the engine"""
    with _opened(entry) as session:
        require_members(session, Session)
        engine, honours = find_engine(entry.name), set(session.honours)
        require(session.engine == entry.name, f"its session's engine is '{session.engine}'")
        require(session.input_shape == SHAPE, f"input_shape is {session.input_shape!r}, not {SHAPE}")
        for name, text in (("runs_on", session.runs_on), ("device", session.device)):
            require(isinstance(text, str) and text and "\n" not in text, f"{name} is {text!r}: say a line")
        require(session.input_type == "uint8", f"input_type is {session.input_type!r}, not 'uint8'")
        require(isinstance(session.version, str), f"version is {session.version!r}: give text")
        require(
            honours <= set(engine.honours),
            f"its session honours {', '.join(sorted(honours - set(engine.honours)))}, the engine doesn't",
        )
        counts = session.execution()
        require(
            all(isinstance(k, str) and isinstance(n, int) for k, n in counts.items()),
            f"execution() yields {counts!r}: count layers by precision, or yield nothing",
        )


def agrees_with_the_reference(entry: Entry) -> None:
    """it yields what ONNX Runtime makes of the same graph"""
    images = [good_image(0)[None], defective_image(0)[None], np.zeros(SHAPE, np.uint8)]
    with scratch_folder() as scratch:
        file = _saved(small_graph(), scratch)
        exact = open_session(file, "onnxruntime")
        reference = [exact(image) for image in images]
    with _opened(entry) as session:
        for image, wanted in zip(images, reference, strict=True):
            _require_same(session(image), wanted, "it", AGREEMENT)


def yields_nan_where_the_graph_does(entry: Entry) -> None:
    """what isn't a number stays so: a hidden NaN would be a verdict"""
    image = np.ascontiguousarray(good_image(0)[None])
    image[0, 10:20, 10:20] = 0
    with _opened(entry, graph=nan_graph()) as session:
        found = session(image)["anomaly_map"][0, 0]
    wrong = np.isnan(found) != (image[0, ..., 0] == 0)
    require(not wrong.any(), f"of {wrong.size} pixels {wrong.sum()} are wrong where 0 is divided by 0")


def outputs_are_the_callers(entry: Entry) -> None:
    """what a call gave isn't changed by the next, and may be written into"""
    with _opened(entry) as session:
        first = session(good_image(0)[None])
        kept = {name: array.copy() for name, array in first.items()}
        second = session(defective_image(1)[None])
        for name, array in first.items():
            require(
                np.array_equal(array, kept[name]) and not np.shares_memory(array, second[name]),
                f"the next call writes into '{name}' of the call before: return copies",
            )
            require(array.flags.writeable, f"'{name}' can't be written into: return copies")


def serves_several_threads(entry: Entry) -> None:
    """called from two threads at once, each gets its own images' outputs, bit by bit"""
    images = [good_image(i)[None] for i in range(4)] + [defective_image(i)[None] for i in range(4)]
    with _opened(entry) as session, ThreadPoolExecutor(2) as pool:
        alone = [session(image) for image in images]
        halves = [list(range(8)) * 3, list(range(7, -1, -1)) * 3]
        runs = [pool.submit(lambda half: [session(images[i]) for i in half], half) for half in halves]
        for half, run in zip(halves, runs, strict=True):
            for i, found in zip(half, run.result(), strict=True):
                _require_same(found, alone[i], "called from two threads, it")


def maps_in_order(entry: Entry) -> None:
    """``map`` yields what calls do, in order; a source may use its array again, and its error comes last"""
    images = [good_image(i)[None] for i in range(5)]
    fault = ValueError("the source's own")

    def source() -> Iterator[NDArray[np.uint8]]:
        buffer = np.empty(SHAPE, np.uint8)
        for image in images:
            buffer[:] = image
            yield buffer
        raise fault

    with _opened(entry) as session:
        alone = [session(image) for image in images]
        found: list[Outputs] = []
        raised = _raised_by(lambda: _collect(session.map(source()), found))
        require(raised is fault, f"where the source raises, map raises {raised!r}, not that")
        require(len(found) == 5, f"map yields {len(found)} of the 5 outputs before the source's error")
        for one, wanted in zip(found, alone, strict=True):
            _require_same(one, wanted, "map, of a source that uses its array again,")


def starts_and_waits(entry: Entry) -> None:
    """``start`` copies its image; ``wait`` yields a call's outputs, or ``TimedOutError``, and again"""
    with _opened(entry) as session:
        images = [good_image(i % 5)[None] for i in range(STARTED)]
        alone = [session(image) for image in images]
        buffer, pending = np.empty(SHAPE, np.uint8), []
        for image in images:
            buffer[:] = image
            pending.append(session.start(buffer))
        buffer[:] = 0
        raised = _raised_by(lambda: pending[-1].wait(0))
        require(
            raised is None or isinstance(raised, TimedOutError),
            f"wait(0) raises {type(raised).__name__} where it isn't done: raise TimedOutError",
        )
        require_members(pending[-1], Pending)
        for started, wanted in zip(reversed(pending), reversed(alone), strict=True):
            first, again = started.wait(), started.wait(0)
            _require_same(first, wanted, "start, of an array that is used again,")
            require(started.done is True, "done isn't True once wait has returned")
            _require_same(again, wanted, "waiting again")
        for image in images:
            session.start(image)  # nobody waits
        _require_same(session(images[0]), alone[0], "after some that nobody waited for, it")


def its_faults_are_edgeads(entry: Entry) -> None:
    """an image of another shape is an ``InferenceError`` of one line, and the next image is run as ever"""
    small = np.zeros((1, 8, 8, 3), np.uint8)
    with _opened(entry) as session:
        before = session(good_image(0)[None])
        for name, run in (
            ("a call", lambda: session(small)),
            ("map", lambda: list(session.map([small]))),
            ("start and wait", lambda: session.start(small).wait()),
        ):
            raised = _raised_by(run)
            require(raised is not None, f"{name} takes an image of another shape without a word")
            _require_one_line(raised, (InferenceError,), f"{name}, of an image of another shape,")
        _require_same(session(good_image(0)[None]), before, "after a fault it")


def refuses_what_it_cannot_open(entry: Entry) -> None:
    """what is no model, or has an operator that nobody knows, is a ``CompileError``, an unknown device a
    ``DeviceError``, each in one line"""
    for end in find_engine(entry.name).reads:
        content = b"\x08\x07" * 40
        if end == ".onnx":  # of which edgead itself refuses what is none
            graph = small_graph()
            graph.graph.node[0].op_type = "NoSuchOperator"
            content = graph.SerializeToString()
        raised = _raised_by(partial(open_session, ModelBytes(f"model{end}", content), entry.name))
        _require_one_line(raised, (CompileError,), f"a {end} that can't be run")
    with _model(entry, None) as file:
        options = EngineOptions(device="no-such-device")
        raised = _raised_by(partial(open_session, file, entry.name, options))
        _require_one_line(raised, (DeviceError, OptionError), "the device 'no-such-device'")


def refuses_an_option_that_it_does_not_honour(entry: Entry) -> None:
    """asked for a number of threads, or for cores, it keeps to them or is refused with an ``OptionError``"""
    wishes = [EngineOptions(threads=1)]
    if hasattr(os, "sched_getaffinity"):
        wishes.append(EngineOptions(cores=sorted(os.sched_getaffinity(0))[:1]))
    with _model(entry, None) as model:
        for options in wishes:
            (name,) = options.asked
            if name in find_engine(entry.name).honours:
                session = open_session(model, entry.name, options)
                require(name in session.honours, f"the engine honours {name}, its session doesn't")
            else:
                raised = _raised_by(partial(open_session, model, entry.name, options))
                _require_one_line(raised, (OptionError,), f"the option {name}")


def leaves_the_thread_where_it_is(entry: Entry) -> None:
    """the cores of the thread that opens and calls are the same afterwards, pinned or not"""
    if not hasattr(os, "sched_getaffinity"):
        raise Skipped("this system can't pin threads to cores")
    before, image = os.sched_getaffinity(0), good_image(0)[None]
    wishes = [PLAIN]
    if "cores" in find_engine(entry.name).honours:
        wishes.append(EngineOptions(cores=[max(before)]))
    try:
        for options in wishes:
            with _opened(entry, options) as session:
                _require_cores(before, "opening")
                session(image)
                _require_cores(before, "a call")
                list(session.map([image]))
                _require_cores(before, "map")
                session.start(image).wait()
                _require_cores(before, "start")
    finally:
        os.sched_setaffinity(0, before)


# ---------------------------------------------------------------- how


@contextmanager
def _opened(
    entry: Entry, options: EngineOptions = PLAIN, graph: onnx.ModelProto | None = None
) -> Iterator[Session]:
    with _model(entry, graph) as file:
        yield open_session(file, entry.name, options)


@contextmanager
def _model(entry: Entry, graph: onnx.ModelProto | None) -> Iterator[Path]:
    """A graph, the small one where None, in a form that the engine reads."""
    with scratch_folder() as folder:
        yield _stored(entry, graph or small_graph(), folder)


def _stored(entry: Entry, graph: onnx.ModelProto, folder: Path) -> Path:
    if ".onnx" in find_engine(entry.name).reads:
        return _saved(graph, folder)
    for target in registry().names("exporters"):
        inner = folder / target
        inner.mkdir()
        try:
            artifact = registry().get("exporters", target)().compile(graph, "fp32", inner)
        except EdgeadError:
            continue
        if artifact.engine == entry.name:
            return inner / str(artifact.model)
    raise Skipped("it reads no .onnx, and no installed target makes a model for it")


def _saved(graph: onnx.ModelProto, folder: Path) -> Path:
    file = folder / "model.onnx"
    file.write_bytes(graph.SerializeToString(deterministic=True))
    return file


def _collect(outputs: Iterable[Outputs], found: list[Outputs]) -> None:
    for each in outputs:
        found.append(each)


def _raised_by(run: Callable[[], object]) -> Exception | None:
    try:
        run()
    except Exception as error:
        return error
    return None


def _require_cores(before: set[int], what: str) -> None:
    now = os.sched_getaffinity(0)
    require(
        now == before,
        f"{what} leaves the calling thread on cores {sorted(now)}, it was on {sorted(before)}: use "
        "edgead.runtime.cores.pinned",
    )


def _require_one_line(raised: Exception | None, kinds: tuple[type[Exception], ...], what: str) -> None:
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if raised is None:
        raise CheckFailed(f"{what} is taken without a word: raise {wanted}")
    require(isinstance(raised, kinds), f"{what} is a {type(raised).__name__} ({raised}): raise {wanted}")
    require("\n" not in str(raised), f"{what} is an error of several lines: say it in one")


def _require_same(found: Outputs, wanted: Outputs, what: str, tolerance: float = 0.0) -> None:
    """The same names, types and shapes, and values: bit by bit where there's no tolerance."""
    for name, right in wanted.items():
        require(name in found, f"{what} yields no '{name}'")
        got = found[name]
        require(
            got.dtype == right.dtype and got.shape == right.shape,
            f"{what} yields '{name}' as {got.dtype} {got.shape}, not {right.dtype} {right.shape}",
        )
        if tolerance:
            off = apart(got, right)
            require(off <= tolerance, f"{what} yields '{name}' {off:.2%} off, {tolerance:.2%} is allowed")
        else:
            require(np.array_equal(got, right), f"{what} yields another '{name}' than a call alone does")


CHECKS = (
    says_what_it_is,
    its_session_says_what_it_is,
    agrees_with_the_reference,
    yields_nan_where_the_graph_does,
    outputs_are_the_callers,
    serves_several_threads,
    maps_in_order,
    starts_and_waits,
    its_faults_are_edgeads,
    refuses_what_it_cannot_open,
    refuses_an_option_that_it_does_not_honour,
    leaves_the_thread_where_it_is,
)
