"""ONNX Runtime, which is also the reference that the parity gate compares with.

The package is imported when a session is opened, never before, and with its telemetry off.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead import telemetry
from edgead.errors import CompileError, DeviceError, one_line
from edgead.extras import install
from edgead.leftovers import scratch_folder
from edgead.runtime.contract import only_input
from edgead.runtime.cores import check_cores, pinned
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.in_a_row import in_a_row
from edgead.runtime.model_bytes import ModelBytes
from edgead.runtime.nvidia import device as nvidia_device
from edgead.runtime.onnx_outputs import with_outputs
from edgead.runtime.own_engines import HEAVY, OWN, Named, inference_error, lacks, not_installed
from edgead.runtime.pending import Worker
from edgead.runtime.providers import Candidate, open_first, read_candidates
from edgead.runtime.session import Outputs, Pending

REMOTE = ("AzureExecutionProvider",)
"""Providers that would send frames elsewhere: never offered."""

_TYPES: Mapping[str, str] = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}

_log = logging.getLogger(__name__)


class ONNXRuntimeEngine:
    """See ``edgead.runtime.session.Engine``."""

    name = "onnxruntime"
    reads = OWN["onnxruntime"].reads
    honours = frozenset({"device", "threads", "cores", "cache", "outputs"})

    def lacks(self) -> str | None:
        return lacks(self.name)

    def open(self, model: ModelBytes, options: EngineOptions) -> ONNXRuntimeSession:
        return ONNXRuntimeSession(model, options)


class ONNXRuntimeSession:
    """See ``edgead.runtime.session.OwningSession``. ONNX Runtime's own sessions serve several threads.

    A call works on its caller's thread, beside ONNX Runtime's own, so that with ``cores`` the caller is kept
    on them for as long as the call takes.

    A model with a ``tensorrt.json`` beside it, a Jetson's, runs with ``auto`` on the first of TensorRT, CUDA
    and the CPU that can; see ``edgead.runtime.providers``. Others run on the CPU.

    Args:
        options: see ``edgead.runtime.engine_options``.
        ort: what stands for the onnxruntime package.
        system: as ``edgead.runtime.nvidia.device`` tells, which is asked where None.
    """

    engine = "onnxruntime"

    def __init__(
        self,
        model: ModelBytes,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
        ort: Any = None,
        system: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        ort = ort or import_onnxruntime(model)
        self.version = str(ort.__version__)
        if options.cores is not None:
            check_cores(options.cores)
        start = time.perf_counter()
        self._options = ort.SessionOptions()
        self._options.log_severity_level = 3
        if options.thread_count is not None:
            self._options.intra_op_num_threads = options.thread_count
        self._name, self._cores, self._worker = PurePath(model.name), options.cores, Worker(options.cores)
        self._kept = model.data if model.keep else None
        self._outputs = options.outputs
        # TensorRT's engines are kept, asked or not; see ``edgead.runtime.providers``.
        candidates = read_candidates(model)
        always = ONNXRuntimeEngine.honours - {"cache"}
        self.honours: Collection[str] = always if candidates is None else ONNXRuntimeEngine.honours
        with pinned(options.cores):  # its threads are made now
            if candidates is not None:
                self._open_chosen(ort, model, candidates, options.device, system or nvidia_device())
            else:
                self._open_named(ort, model, options.device)
        # For a way back to other providers that nobody asks for here, it would keep the model a second time.
        vars(self._session).pop("_model_bytes", None)
        inputs = self._session.get_inputs()
        kinds = [(_TYPES.get(each.type, str(each.type)), each.shape) for each in inputs]
        self.input_type, self.input_shape = only_input(model.name, kinds)
        self._input = inputs[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        _log.info(
            "onnxruntime %s, %s: %s loaded in %.2f s",
            self.version,
            self.runs_on,
            model.name,
            time.perf_counter() - start,
        )
        _log.debug("%s: %s, %s, input %s", model, options, self._providers, self.input_shape)

    def _open_chosen(
        self,
        ort: Any,
        model: ModelBytes,
        candidates: Sequence[Candidate],
        device: str,
        system: tuple[str, Sequence[str]],
    ) -> None:
        named = [c for c in candidates if device.upper() in ("AUTO", c.name.upper())]
        if not named:
            names = ", ".join(c.name for c in candidates)
            raise DeviceError(f"this bundle has no device '{device}': use auto, or {names}")
        opened = open_first(ort, model, self._options, named, system, outputs=self._outputs)
        self._session, self.device = opened.session, opened.name
        self._providers = [c.provider for c in named if c.name == opened.name]
        self.runs_on = opened.line(system[0])

    def _open_named(self, ort: Any, model: ModelBytes, device: str) -> None:
        available = [p for p in ort.get_available_providers() if p not in REMOTE]
        providers = {p.removesuffix("ExecutionProvider").upper(): p for p in available}
        self.device = "CPU" if device == "auto" else device
        if self.device.upper() not in providers:
            raise DeviceError(
                f"onnxruntime has no device '{device}' here: use auto, or {', '.join(providers)}"
            )
        self._providers = [providers[self.device.upper()]]
        self.runs_on = f"onnxruntime on {self.device}"
        try:
            source = with_outputs(model.data, self._outputs)
            self._session = ort.InferenceSession(source, self._options, providers=self._providers)
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise CompileError(
                f"{model.name}: onnxruntime can't load it: {one_line(error, 'last')}"
            ) from error

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        if self._cores is None:
            return self._run(image)
        with pinned(self._cores):
            return self._run(image)

    def start(self, image: NDArray[np.uint8]) -> Pending:
        return self._worker.start(self, image)

    def start_owned(self, image: NDArray[np.uint8]) -> Pending:
        return self._worker.start(self, image, copy=False)

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        return self.map_owned(image.copy() for image in images)

    def map_owned(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        # One after another, for each uses all of the session's threads; on a thread of its own, so that the
        # next image is made ready, and the outputs of the last one looked at, beside it.
        worker = Worker(self._cores)
        return in_a_row(images, partial(worker.start, self, copy=False), 1)

    def _run(self, image: NDArray[np.uint8]) -> Outputs:
        try:
            outputs = self._session.run(None, {self._input: image})
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise inference_error(self.engine, self.device, self._name, error) from error
        return dict(zip(self._names, outputs, strict=True))

    def execution(self) -> Mapping[str, int]:
        if self._kept is None or self.device.upper() != "CPU":
            return {}  # TensorRT and CUDA don't write down what they made of a graph
        return _execution(self._kept, self._providers)


def import_onnxruntime(model: Named | None = None) -> Any:
    """Import onnxruntime with its telemetry off.

    Args:
        model: what is to be opened, for the advice where onnxruntime isn't there.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    telemetry.turn_off()
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed("onnxruntime", install(OWN["onnxruntime"].extra), model) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _execution(model: bytes, providers: Sequence[str]) -> Mapping[str, int]:
    """Read the precisions off the graph as ONNX Runtime optimised it, which it can write to a file."""
    import onnx

    ort = import_onnxruntime()
    with scratch_folder() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        try:
            ort.InferenceSession(model, options, providers=list(providers))
        except Exception as error:  # the graph has been opened before: only its writing is new
            (folder / "room").write_bytes(bytes(1 << 16))  # a disk that takes nothing says so itself
            told = re.search(r"SystemError : (\d+)", str(error))
            reason = os.strerror(int(told[1]) if told else errno.EIO)
            raise OSError(errno.EIO, f"{reason}, onnxruntime: {one_line(error)}") from error
        graph = onnx.load(options.optimized_model_filepath).graph
    counts: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type.startswith(("QLinearConv", "QGemm", "MatMulInteger", "QLinearMatMul")):
            counts["i8"] += 1
        elif node.op_type in HEAVY:
            counts["f32"] += 1
    return dict(counts)
