"""OpenVINO: Intel's engine for CPUs with INT8 and BF16 units, integrated GPUs and NPUs.

The package is imported when a session is opened, never before, and with the telemetry package that its tools
would load kept out of the process.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead import telemetry
from edgead.errors import CompileError, DeviceError, InferenceError
from edgead.runtime.compiled_cache import entry
from edgead.runtime.session import HEAVY, Outputs, inference_error, last_line, not_installed
from edgead.runtime.signal_stack import keeps_signal_stack
from edgead.types import Arithmetic

IDLE_REQUESTS = 16
"""Requests kept for the next call; each holds an input and the outputs, the rest belongs to the graph."""

_log = logging.getLogger(__name__)


class OpenVINOSession:
    """See ``edgead.runtime.session.Session``; ``cached`` tells whether the compiled graph was found.

    An OpenVINO request holds one image and its outputs, so a call takes one that nobody uses, or makes one,
    and gives it back once the outputs are copied. There are never more than threads that call at once and
    images under way in ``map``.
    """

    engine = "openvino"
    honours = frozenset({"throughput", "cache"})

    @keeps_signal_stack
    def __init__(
        self,
        model: Path,
        device: str = "auto",
        precision: Arithmetic = "f32",
        threads: int | None = None,
        throughput: bool = False,
        cache: bool = False,
    ) -> None:
        ov = import_openvino(model)
        core = ov.Core()
        self.device = "CPU" if device == "auto" else device
        if self.device.split(".")[0] not in {d.split(".")[0] for d in core.available_devices}:
            raise DeviceError(
                f"openvino has no device '{device}' here: use auto, or {', '.join(core.available_devices)}"
            )
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        kept = entry(model, (ov.__version__, self.device, *map(str, config.values()))) if cache else None
        start = time.perf_counter()
        self._compiled = _compile(core, model, self.device, config, kept)
        self.cached = kept is not None and bool(self._compiled.get_property("LOADED_FROM_CACHE"))
        self._model = model
        self._idle: deque[Any] = deque()
        self._names = [_output_name(output) for output in self._compiled.outputs]
        self.input_shape = tuple(self._compiled.inputs[0].shape)
        _log.info(
            "openvino %s on %s: %s %s in %.2f s",
            ov.__version__,
            self.device,
            model.name,
            "taken from the cache" if self.cached else "compiled",
            time.perf_counter() - start,
        )
        _log.debug("%s: %s, cache %s, input %s", model, config, kept, self.input_shape)

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        request = self._take()
        try:
            request.infer({0: image}, share_inputs=True)
            return self._outputs(request)
        except Exception as error:
            raise self._failed(error) from error
        finally:
            self._give_back(request)

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        source, width = iter(images), self._streams()
        under_way: deque[Any] = deque()
        ended: BaseException | None = None
        try:
            while True:
                try:
                    image = next(source)
                except StopIteration:
                    break
                except BaseException as error:  # raised below, after what is under way
                    ended = error
                    break
                if len(under_way) == width:
                    yield self._finish(under_way)
                self._start(image, under_way)
            while under_way:
                yield self._finish(under_way)
            if ended is not None:
                raise ended
        except GeneratorExit:
            if ended is not None and not isinstance(ended, Exception):
                raise ended from None  # an interrupt isn't lost where nobody asks for the rest
            raise
        finally:
            for request in under_way:  # left where the caller closes, or where one failed
                with suppress(Exception):
                    request.wait()
                self._give_back(request)

    def execution(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            facts = node.get_rt_info()
            if facts["layerType"].astype(str) in HEAVY:
                counts[_precision_name(facts["runtimePrecision"].astype(str))] += 1
        return dict(counts)

    def _streams(self) -> int:
        return max(1, int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def _take(self) -> Any:
        """A request that nobody uses: deque's pop and append are atomic, so this needs no lock."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._compiled.create_infer_request()
        except Exception as error:
            raise self._failed(error) from error

    def _give_back(self, request: Any) -> None:
        if len(self._idle) < IDLE_REQUESTS:
            self._idle.append(request)

    def _start(self, image: NDArray[np.uint8], under_way: deque[Any]) -> None:
        request = self._take()
        try:
            # The source may use its array again for the next image, so the request has a copy. It isn't
            # asked to copy by itself: it would, into the array that it shared in the call before.
            request.start_async({0: image.copy()}, share_inputs=True)
        except Exception as error:
            self._give_back(request)
            raise self._failed(error) from error
        under_way.append(request)

    def _finish(self, under_way: deque[Any]) -> Outputs:
        request = under_way.popleft()
        try:
            request.wait()
            return self._outputs(request)
        except Exception as error:
            raise self._failed(error) from error
        finally:
            self._give_back(request)

    def _failed(self, error: Exception) -> InferenceError:
        return inference_error(self.engine, self.device, self._model, error)

    def _outputs(self, request: Any) -> Outputs:
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._names)}


def import_openvino(model: Path | None = None) -> Any:
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
        raise not_installed("openvino", model) from error
    return openvino


def block_telemetry() -> None:
    """Keep ``openvino_telemetry`` out: openvino's tools and nncf then use their own empty stub."""
    telemetry.turn_off()


def _compile(core: Any, model: Path, device: str, config: Mapping[str, Any], kept: Path | None) -> Any:
    """Compile, or take what a former start compiled; an entry that can't be used is removed."""
    if kept is not None:
        try:
            return core.compile_model(str(model), device, {**config, "CACHE_DIR": str(kept)})
        except RuntimeError as error:
            _log.warning("what is kept in %s can't be used (%s); compiling again", kept, last_line(error))
            shutil.rmtree(kept, ignore_errors=True)
    try:
        return core.compile_model(str(model), device, dict(config))
    except RuntimeError as error:
        raise CompileError(f"{model.name}: openvino can't compile it: {last_line(error)}") from error


def _output_name(output: Any) -> str:
    """A tensor has several names where an Identity was removed; the result node has the declared one."""
    declared = str(output.node.get_friendly_name()).split("/sink_port")[0]
    return declared if declared in output.get_names() else str(output.get_any_name())


def _precision_name(name: str) -> str:
    return "i8" if name in ("i8", "u8") else name
