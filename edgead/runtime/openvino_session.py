"""OpenVINO: Intel's engine for CPUs with INT8 and BF16 units, integrated GPUs and NPUs.

The package is imported when a session is opened, never before, and with the telemetry package that its tools
would load kept out of the process.
"""

from __future__ import annotations

import io
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead import telemetry
from edgead.cache import Entry
from edgead.errors import CompileError, DeviceError, InferenceError, TimedOutError, one_line
from edgead.extras import install
from edgead.runtime.compiled_cache import graph_entry
from edgead.runtime.contract import only_input
from edgead.runtime.cores import check_cores, pinned
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.in_a_row import in_a_row
from edgead.runtime.model_bytes import ModelBytes
from edgead.runtime.own_engines import HEAVY, OWN, Named, inference_error, lacks, not_installed
from edgead.runtime.pending import seconds, timed_out
from edgead.runtime.session import Outputs
from edgead.runtime.signal_stack import keeps_signal_stack

IDLE_REQUESTS = 16
"""Requests kept for the next call; each holds an input and the outputs, the rest belongs to the graph."""

_log = logging.getLogger(__name__)


class OpenVINOEngine:
    """See ``edgead.runtime.session.Engine``."""

    name = "openvino"
    reads = OWN["openvino"].reads
    honours = frozenset({"device", "precision", "threads", "throughput", "cache", "cores", "outputs"})

    def lacks(self) -> str | None:
        return lacks(self.name)

    def open(self, model: ModelBytes, options: EngineOptions) -> OpenVINOSession:
        return OpenVINOSession(model, options)


class OpenVINOSession:
    """See ``edgead.runtime.session.OwningSession``; ``cached`` tells whether the compiled graph was found.

    An OpenVINO request holds one image and its outputs, so a call takes one that nobody uses, or makes one,
    and gives it back once the outputs are copied. There are never more than threads that call at once and
    images that are started.

    A call works on its caller's thread, beside OpenVINO's own. With ``cores`` the caller is kept on them for
    as long as the call takes, and put back: OpenVINO by itself would leave it on a core of its choice.
    """

    engine = "openvino"
    honours: Collection[str] = OpenVINOEngine.honours

    @keeps_signal_stack
    def __init__(self, model: ModelBytes, options: EngineOptions = EngineOptions()) -> None:  # noqa: B008 - frozen
        ov = import_openvino(model)
        self.version = str(ov.__version__)
        if options.cores is not None:
            check_cores(options.cores)
        self._cores = options.cores
        core = ov.Core()
        self.device = "CPU" if options.device == "auto" else options.device
        if self.device.split(".")[0] not in {d.split(".")[0] for d in core.available_devices}:
            there = ", ".join(core.available_devices)
            raise DeviceError(f"openvino has no device '{self.device}' here: use auto, or {there}")
        self.runs_on = f"{self.engine} on {self.device}"
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": options.precision,
            "PERFORMANCE_HINT": "THROUGHPUT" if options.throughput else "LATENCY",
        }
        if options.thread_count is not None:
            config["INFERENCE_NUM_THREADS"] = options.thread_count
        facts = (self.version, self.device, *_hardware(core, self.device), *map(str, config.values()))
        kept = graph_entry(model.digests, (*facts, *options.outputs)) if options.cache else None
        start = time.perf_counter()
        with pinned(options.cores):  # its threads are made now, or by the first call
            self._compiled, self._content = _compile(core, model, options.outputs, self.device, config, kept)
        self.cached = self._content is not None
        self._name = PurePath(model.name)
        self._idle: deque[Any] = deque()
        self._abandoned: deque[Any] = deque()  # nobody waits for these, and OpenVINO may still write
        own = len(self._compiled.outputs) - len(options.outputs)
        self._names = [_output_name(output) for output in self._compiled.outputs[:own]]
        self._names += options.outputs
        self.input_type, self.input_shape = only_input(model.name, [*map(_described, self._compiled.inputs)])
        _log.info(
            "openvino %s on %s: %s %s in %.2f s",
            self.version,
            self.device,
            model.name,
            "taken from the cache" if self.cached else "compiled",
            time.perf_counter() - start,
        )
        _log.debug("%s: %s, cache %s, input %s", model, config, kept, self.input_shape)

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        if self._cores is None:
            return self._run(image)
        with pinned(self._cores):
            return self._run(image)

    def start(self, image: NDArray[np.uint8]) -> OpenVINOPending:
        # The source may use its array again for the next image, so the request has a copy. It isn't
        # asked to copy by itself: it would, into the array that it shared in the call before.
        return self.start_owned(image.copy())

    def start_owned(self, image: NDArray[np.uint8]) -> OpenVINOPending:
        request = self._take()
        try:
            request.start_async({0: image}, share_inputs=True)
        except Exception as error:
            self._give_back(request)
            raise self._failed(error) from error
        return OpenVINOPending(self, request)

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        return in_a_row(images, self.start, self._streams())

    def map_owned(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        return in_a_row(images, self.start_owned, self._streams())

    def execution(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            facts = node.get_rt_info()
            if facts["layerType"].astype(str) in HEAVY:
                counts[_precision_name(facts["runtimePrecision"].astype(str))] += 1
        return dict(counts)

    def _streams(self) -> int:
        return max(1, int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def _run(self, image: NDArray[np.uint8]) -> Outputs:
        request = self._take()
        try:
            request.infer({0: image}, share_inputs=True)
            return self._outputs(request)
        except Exception as error:
            raise self._failed(error) from error
        finally:
            self._give_back(request)

    def _take(self) -> Any:
        """A request that nobody uses: deque's pop and append are atomic, so this needs no lock."""
        if self._abandoned:
            self._reclaim()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._compiled.create_infer_request()
        except Exception as error:
            raise self._failed(error) from error

    def _reclaim(self) -> None:
        """Give back those of the abandoned requests that OpenVINO has finished."""
        for _ in range(len(self._abandoned)):
            try:
                request = self._abandoned.popleft()
            except IndexError:  # another thread is at it
                return
            self._give_back(request) if _is_finished(request) else self._abandoned.append(request)

    def _give_back(self, request: Any) -> None:
        if len(self._idle) < IDLE_REQUESTS:
            self._idle.append(request)

    def _failed(self, error: Exception) -> InferenceError:
        return inference_error(self.engine, self.device, self._name, error)

    def _outputs(self, request: Any) -> Outputs:
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._names)}


class OpenVINOPending:
    """See ``edgead.runtime.session.Pending``. The request goes back once its outputs are copied.

    One that is dropped before goes to the session's abandoned ones, and is used again when it has finished.
    """

    def __init__(self, session: OpenVINOSession, request: Any) -> None:
        self._session, self._request = session, request
        self._outcome: Outputs | InferenceError | None = None
        self._waiting = threading.Lock()

    @property
    def done(self) -> bool:
        # Looked at twice, for another thread may take the outcome, and a call the request, in between.
        return self._outcome is not None or _is_finished(self._request) or self._outcome is not None

    def wait(self, timeout: float | None = None) -> Outputs:
        timeout, began = seconds(timeout), time.monotonic()
        if not self._waiting.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise timed_out(timeout)
        try:
            if self._outcome is None:
                left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
                self._outcome = self._collected(left, timeout)
                self._session._give_back(self._request)
            if isinstance(self._outcome, InferenceError):
                raise self._outcome
            return self._outcome
        finally:
            self._waiting.release()

    def _collected(self, left: float | None, timeout: float | None) -> Outputs | InferenceError:
        try:
            if left is None:
                self._request.wait()
            elif not self._request.wait_for(math.ceil(min(left, 1e6) * 1e3)):
                raise timed_out(timeout)
            return self._session._outputs(self._request)
        except TimedOutError:
            raise
        except Exception as error:
            failed = self._session._failed(error)
            failed.__cause__ = error
            return failed

    def __del__(self) -> None:
        if self._outcome is None:
            self._session._abandoned.append(self._request)


def _is_finished(request: Any) -> bool:
    try:
        return bool(request.wait_for(0))
    except Exception:  # it has failed, so OpenVINO is done with it
        return True


def import_openvino(model: Named | None = None) -> Any:
    """Import openvino with its telemetry kept out.

    Args:
        model: what is to be opened, for the advice where openvino isn't there.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    block_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise not_installed("openvino", install(OWN["openvino"].extra), model) from error
    return openvino


def block_telemetry() -> None:
    """Keep ``openvino_telemetry`` out: openvino's tools and nncf then use their own empty stub."""
    telemetry.turn_off()


def _compile(
    core: Any,
    model: ModelBytes,
    outputs: Sequence[str],
    device: str,
    config: Mapping[str, Any],
    kept: Entry | None,
) -> tuple[Any, NDArray[np.uint8] | None]:
    """Compile, or take what a former start compiled; an entry that can't be used is removed.

    OpenVINO is given the bytes whose seal was checked. Its own cache would map the file, check nothing, and
    follow each later change of it.

    Returns:
        The compiled graph, and the entry that it was taken from, which it may go on reading; else None.
    """
    if kept is not None and (content := kept.read()) is not None:
        try:
            tensor = import_openvino().Tensor(content, shared_memory=True)
            return core.import_model(tensor, device, dict(config)), content
        except Exception as error:  # the binding raises classes of its own
            why = one_line(error, "last")
            _log.warning("what is kept of %s can't be used (%s); compiling again", model.name, why)
            kept.remove()
    source = _read(core, model, outputs)
    try:
        compiled = core.compile_model(source, device, dict(config))
    except RuntimeError as error:
        raise CompileError(f"{model.name}: openvino can't compile it: {one_line(error, 'last')}") from error
    if kept is not None:
        exported = io.BytesIO()
        try:
            compiled.export_model(exported)
        except Exception as error:  # not each of its devices can
            _log.warning("%s: openvino on %s exports no compiled graph (%s), so none is kept",
                         model.name, device, one_line(error, "last"))  # fmt: skip
        else:
            kept.write(exported.getvalue())
    return compiled, None


def _hardware(core: Any, device: str) -> list[str]:
    """What a compiled graph is bound to, where the device tells."""
    told = []
    for name in ("FULL_DEVICE_NAME", "DEVICE_ARCHITECTURE"):
        with suppress(Exception):
            told.append(str(core.get_property(device, name)))
    return told


def _read(core: Any, model: ModelBytes, outputs: Sequence[str]) -> Any:
    """The model, of its bytes alone, with further outputs behind its own.

    Read from a path, its weights would be mapped from the file, and change with it while a detector runs. Of
    bytes OpenVINO takes a copy.
    """
    if model.suffix == ".xml" and model.weights is None:
        raise CompileError(f"{model.name}: its weights, a .bin of the same name, aren't there; export again")
    try:
        if model.suffix == ".onnx":
            graph = _converted(model.data)
        else:
            # By the front end's own name it'd take a path alone. Its file begins with the "<" of XML, see
            # edgead.modelfile, which no protocol buffer and no FlatBuffer of another framework's does.
            graph = core.read_model(model.data, model.weights or b"")
    except Exception as error:  # the readers raise classes of their own
        raise CompileError(f"{model.name}: openvino can't read it: {one_line(error, 'last')}") from error
    try:
        if outputs:
            graph.add_outputs(list(outputs))
    except RuntimeError as error:
        raise CompileError(
            f"{model.name}: openvino can't give {' and '.join(outputs)} of it: {one_line(error, 'last')}"
        ) from error
    return graph


def _converted(graph: bytes) -> Any:
    """An ONNX graph by OpenVINO's reader for ONNX: ``read_model`` would ask each framework's whose it is."""
    from openvino.frontend import FrontEndManager

    reader = FrontEndManager().load_by_framework("onnx")
    return reader.convert(reader.load(io.BytesIO(graph)))


def _output_name(output: Any) -> str:
    """A tensor has several names where an Identity was removed; the result node has the declared one."""
    declared = str(output.node.get_friendly_name()).split("/sink_port")[0]
    return declared if declared in output.get_names() else str(output.get_any_name())


def _described(tensor: Any) -> tuple[str, list[Any]]:
    """An input's type and shape; a side that's open is None."""
    sides = [int(side.get_length()) if side.is_static else None for side in tensor.partial_shape]
    return str(np.dtype(tensor.element_type.to_dtype())), sides


def _precision_name(name: str) -> str:
    return "i8" if name in ("i8", "u8") else name
