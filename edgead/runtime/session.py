"""A session: one compiled graph on one engine, `session(image) -> outputs`.

Both engines run the same graphs; each has a module of its own, imported when its first session is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError
from edgead.types import Arithmetic

Outputs = Mapping[str, NDArray[Any]]
HEAVY = ("Convolution", "FullyConnected", "MatMul", "Conv", "FusedConv", "Gemm", "FusedMatMul")
"""What both engines call their convolutions and matrix products."""


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
    cache: bool = False,
) -> Session:
    """Compile a model for an engine.

    Args:
        model: a ``.onnx`` file, or an OpenVINO ``.xml``.
        engine: ``openvino``, ``onnxruntime``, or ``auto``: OpenVINO where it's installed.
        device: the engine's name of a device, ``auto`` for the CPU.
        precision: the arithmetic allowed where the graph itself isn't quantised.
        threads: CPU threads, all of the machine's where None.
        throughput: prefer many images a second over a short latency.
        cache: keep the compiled graph in the user's cache for the next start, where the engine can.

    Raises:
        MissingDependencyError: the engine isn't installed.
        DeviceError: the engine has no such device.
        CompileError: the engine can't run the model.
        OptionError: no engine has that name.
    """
    if engine == "auto":
        engine = "openvino" if model.suffix == ".xml" or _installed("openvino") else "onnxruntime"
    if engine == "openvino":
        from edgead.runtime.openvino_session import OpenVINOSession

        return OpenVINOSession(model, device, precision, threads, throughput, cache)
    if engine == "onnxruntime":
        from edgead.runtime.onnxruntime_session import ONNXRuntimeSession

        return ONNXRuntimeSession(model, device, threads)
    raise OptionError(f"no engine named '{engine}': known are openvino, onnxruntime and auto")


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def last_line(error: BaseException) -> str:
    """An engine's message, often a page long, in the line that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
