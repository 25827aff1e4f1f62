"""ONNX Runtime, which is also the reference that the parity gate compares with.

The package is imported when a session is opened, never before, and with its telemetry off.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError, DeviceError, MissingDependencyError
from edgead.runtime.session import HEAVY, Outputs, last_line

REMOTE = ("AzureExecutionProvider",)
"""Providers that would send frames elsewhere: never offered."""


class ONNXRuntimeSession:
    """See ``edgead.runtime.session.Session``."""

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
            raise CompileError(f"{model.name}: onnxruntime can't load it: {last_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        self.input_shape = tuple(self._session.get_inputs()[0].shape)

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        return dict(zip(self._names, self._session.run(None, {self._input: image}), strict=True))

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        return (self(image) for image in images)

    def execution(self) -> Mapping[str, int]:
        return _execution(self._model, self._providers)


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


def _execution(model: Path, providers: Sequence[str]) -> Mapping[str, int]:
    """Read the precisions off the graph as ONNX Runtime optimised it, which it can write to a file."""
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
