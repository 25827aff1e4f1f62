"""OpenVINO: Intel's engine for CPUs with INT8 and BF16 units, integrated GPUs and NPUs.

The package is imported when a session is opened, never before, and with the telemetry package that its tools
would load kept out of the process.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError, DeviceError, MissingDependencyError
from edgead.runtime.compiled_cache import entry
from edgead.runtime.session import HEAVY, Outputs, last_line
from edgead.types import Arithmetic


class OpenVINOSession:
    """See ``edgead.runtime.session.Session``; ``cached`` tells whether the compiled graph was found."""

    engine = "openvino"

    def __init__(
        self,
        model: Path,
        device: str = "auto",
        precision: Arithmetic = "f32",
        threads: int | None = None,
        throughput: bool = False,
        cache: bool = False,
    ) -> None:
        ov = import_openvino()
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
        self._compiled = _compile(core, model, self.device, config, kept)
        self.cached = kept is not None and bool(self._compiled.get_property("LOADED_FROM_CACHE"))
        self._request = self._compiled.create_infer_request()
        self._names = [_output_name(output) for output in self._compiled.outputs]
        self.input_shape = tuple(self._compiled.inputs[0].shape)
        self._ov = ov

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        self._request.infer({0: image}, share_inputs=True)
        return self._outputs(self._request)

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        requests = [self._compiled.create_infer_request() for _ in range(self._streams())]
        waiting: list[Any] = []
        for image in images:
            if len(waiting) == len(requests):
                yield self._finish(waiting.pop(0))
            request = requests[0]
            requests.append(requests.pop(0))
            request.start_async({0: image}, share_inputs=False)
            waiting.append(request)
        for request in waiting:
            yield self._finish(request)

    def execution(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            facts = node.get_rt_info()
            if facts["layerType"].astype(str) in HEAVY:
                counts[_precision_name(facts["runtimePrecision"].astype(str))] += 1
        return dict(counts)

    def _streams(self) -> int:
        return max(1, int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def _finish(self, request: Any) -> Outputs:
        request.wait()
        return self._outputs(request)

    def _outputs(self, request: Any) -> Outputs:
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._names)}


def import_openvino() -> Any:
    """Import openvino with its telemetry kept out; raises MissingDependencyError."""
    block_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            'openvino isn\'t installed: pip install "edgead[openvino]", or use --engine onnxruntime'
        ) from error
    return openvino


def block_telemetry() -> None:
    """Make ``import openvino_telemetry`` fail: openvino's tools and nncf then use their own empty stub."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _compile(core: Any, model: Path, device: str, config: Mapping[str, Any], kept: Path | None) -> Any:
    """Compile, or take what a former start compiled; an entry that can't be used is removed."""
    if kept is not None:
        try:
            return core.compile_model(str(model), device, {**config, "CACHE_DIR": str(kept)})
        except RuntimeError:
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
