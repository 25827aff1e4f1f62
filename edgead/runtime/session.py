"""A session: one compiled graph on one engine, `session(image) -> outputs`.

Both engines run the same graphs. Engine packages are imported when a session is opened, never before, and
with the telemetry package that openvino's tools would load kept out of the process.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError, DeviceError, MissingDependencyError, OptionError
from edgead.types import Arithmetic

Outputs = Mapping[str, NDArray[Any]]
REMOTE = ("AzureExecutionProvider",)
"""Providers that would send frames elsewhere: never offered."""
HEAVY = ("Convolution", "FullyConnected", "MatMul", "Conv", "FusedConv", "Gemm", "FusedMatMul")


class Session(Protocol):
    """One compiled graph. Not for use from several threads at once; ``map`` runs several requests itself.

    Attributes:
        engine, device: what runs it.
        input_shape: (1, H, W, 3).
    """

    engine: str
    device: str
    input_shape: tuple[int, ...]

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        """Run one image (1, H, W, 3) uint8; the outputs are the caller's to keep."""
        ...

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        """Run many images for throughput; yields in the order given."""
        ...

    def execution(self) -> Mapping[str, int]:
        """Count convolutions and matrix products by the precision that they really run in: i8, bf16, f32."""
        ...


def open_session(
    model: Path,
    engine: str = "auto",
    device: str = "auto",
    precision: Arithmetic = "f32",
    threads: int | None = None,
    throughput: bool = False,
) -> Session:
    """Compile a model for an engine.

    Args:
        model: a ``.onnx`` file, or an OpenVINO ``.xml``.
        engine: ``openvino``, ``onnxruntime``, or ``auto``: OpenVINO where it's installed.
        device: the engine's name of a device, ``auto`` for the CPU.
        precision: the arithmetic allowed where the graph itself isn't quantised.
        threads: CPU threads, all of the machine's where None.
        throughput: prefer many images a second over a short latency.

    Raises:
        MissingDependencyError: the engine isn't installed.
        DeviceError: the engine has no such device.
        CompileError: the engine can't run the model.
        OptionError: no engine has that name.
    """
    if engine == "auto":
        engine = "openvino" if model.suffix == ".xml" or _installed("openvino") else "onnxruntime"
    if engine == "openvino":
        return OpenVINOSession(model, device, precision, threads, throughput)
    if engine == "onnxruntime":
        return ONNXRuntimeSession(model, device, threads)
    raise OptionError(f"no engine named '{engine}': known are openvino, onnxruntime and auto")


class OpenVINOSession:
    """Intel's engine: CPUs with INT8 and BF16 units, integrated GPUs and NPUs."""

    engine = "openvino"

    def __init__(
        self,
        model: Path,
        device: str = "auto",
        precision: Arithmetic = "f32",
        threads: int | None = None,
        throughput: bool = False,
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
        try:
            self._compiled = core.compile_model(str(model), self.device, config)
        except RuntimeError as error:
            raise CompileError(f"{model.name}: openvino can't compile it: {_last_line(error)}") from error
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


class ONNXRuntimeSession:
    """ONNX Runtime; also the reference that the parity gate compares with."""

    engine = "onnxruntime"

    def __init__(self, model: Path, device: str = "auto", threads: int | None = None) -> None:
        ort = import_onnxruntime()
        available = [p for p in ort.get_available_providers() if p not in REMOTE]
        providers = {p.removesuffix("ExecutionProvider").upper(): p for p in available}
        self.device = "CPU" if device == "auto" else device
        if self.device.upper() not in providers:
            raise DeviceError(
                f"onnxruntime has no device '{device}' here: use auto, or {', '.join(providers)}"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._options, self._providers, self._model = options, [providers[self.device.upper()]], model
        try:
            self._session = ort.InferenceSession(str(model), options, providers=self._providers)
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise CompileError(f"{model.name}: onnxruntime can't load it: {_last_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        self.input_shape = tuple(self._session.get_inputs()[0].shape)

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        return dict(zip(self._names, self._session.run(None, {self._input: image}), strict=True))

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        return (self(image) for image in images)

    def execution(self) -> Mapping[str, int]:
        return _onnxruntime_execution(self._model, self._providers)


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


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off; raises MissingDependencyError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            'onnxruntime isn\'t installed: pip install "edgead[onnx]", or use --engine openvino'
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def block_telemetry() -> None:
    """Make ``import openvino_telemetry`` fail: openvino's tools and nncf then use their own empty stub."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _onnxruntime_execution(model: Path, providers: Sequence[str]) -> Mapping[str, int]:
    """Read the precisions off the graph as ONNX Runtime optimised it, which it can write to a file."""
    import tempfile

    import onnx

    ort = import_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        ort.InferenceSession(str(model), options, providers=list(providers))
        graph = onnx.load(options.optimized_model_filepath).graph
    counts: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type.startswith(("QLinearConv", "QGemm", "MatMulInteger", "QLinearMatMul")):
            counts["i8"] += 1
        elif node.op_type in HEAVY:
            counts["f32"] += 1
    return dict(counts)


def _output_name(output: Any) -> str:
    """A tensor has several names where an Identity was removed; the result node has the declared one."""
    declared = str(output.node.get_friendly_name()).split("/sink_port")[0]
    return declared if declared in output.get_names() else str(output.get_any_name())


def _precision_name(name: str) -> str:
    return "i8" if name in ("i8", "u8") else name


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
