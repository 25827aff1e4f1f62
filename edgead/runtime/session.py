"""A session: one compiled graph on one engine, `session(image) -> outputs`.

Both engines run the same graphs; each has a module of its own, imported when its first session is opened.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgead import telemetry
from edgead.errors import CompileError, InferenceError, MissingDependencyError, OptionError
from edgead.extras import install
from edgead.types import Arithmetic

Outputs = Mapping[str, NDArray[Any]]
HEAVY = ("Convolution", "FullyConnected", "MatMul", "Conv", "FusedConv", "Gemm", "FusedMatMul")
"""What both engines call their convolutions and matrix products."""
EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}
"""Each engine's package and the extra that brings it."""
READERS = {".xml": ("openvino",), ".onnx": ("openvino", "onnxruntime")}
"""Which engines read a model, by the end of its name; OpenVINO first, where both may."""

_log = logging.getLogger(__name__)


class Session(Protocol):
    """One compiled graph. Several threads may use it at once; each gets its own images' outputs.

    Attributes:
        engine, device: what runs it.
        input_shape: (1, H, W, 3).
        honours: which of the options ``throughput`` and ``cache`` make a difference here.
    """

    engine: str
    device: str
    input_shape: tuple[int, ...]
    honours: frozenset[str]

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        """Run one image (1, H, W, 3) uint8; the outputs are the caller's to keep.

        Raises:
            InferenceError: the engine fails on it.
        """
        ...

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        """Run many images for throughput; yields in the order given.

        Where ``images`` raises, the outputs of all that it gave before are yielded first.

        Raises:
            InferenceError: the engine fails on one; those before it have been yielded.
        """
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
        precision: the arithmetic allowed where the graph itself isn't quantised; ONNX Runtime computes in
            f32 whatever is allowed.
        threads: CPU threads, all of the machine's where None.
        throughput: prefer many images a second over a short latency. ONNX Runtime has no such form: it runs
            one image after another, and that is logged.
        cache: keep the compiled graph in the user's cache for the next start. ONNX Runtime keeps TensorRT's
            engines, asked or not, and nothing on the CPU, where a warning is logged.

    Raises:
        MissingDependencyError: the engine isn't installed.
        DeviceError: the engine has no such device.
        CompileError: the engine can't run the model.
        OptionError: no engine has that name, or the engine doesn't read this kind of model.
    """
    engine = _engine_for(model, engine)
    _warn_of_telemetry()
    session: Session
    if engine == "openvino":
        from edgead.runtime.openvino_session import OpenVINOSession

        session = OpenVINOSession(model, device, precision, threads, throughput, cache)
    else:
        from edgead.runtime.onnxruntime_session import ONNXRuntimeSession

        session = ONNXRuntimeSession(model, device, threads)
    for option, asked in (("throughput", throughput), ("cache", cache)):
        if asked and option not in session.honours:
            # The workbench asks for throughput of whatever engine there is; a cache, only a user.
            level = logging.INFO if option == "throughput" else logging.WARNING
            _log.log(level, "%s has no %s on %s: the option changes nothing", engine, option, session.device)
    return session


@functools.cache  # once a process
def _warn_of_telemetry() -> None:
    if telemetry.started():
        _log.warning("the engines' telemetry is %s", telemetry.sentence())


def _engine_for(model: Path, engine: str) -> str:
    """Return the engine's name; that it's known and reads the model is checked before any is imported."""
    if engine not in (*EXTRAS, "auto"):
        raise OptionError(f"no engine named '{engine}': known are {', '.join(EXTRAS)} and auto")
    readers = READERS.get(model.suffix)
    if readers is None:
        raise CompileError(f"{model.name}: no engine reads it; models are .onnx, or .xml with a .bin")
    if engine == "auto":
        return next((name for name in readers if _installed(name)), readers[0])
    if engine not in readers:
        raise OptionError(
            f"{engine} can't read {model.name}, only {' and '.join(readers)} can: leave the engine out, or "
            f"export again for a target that {engine} reads (--target onnx)"
        )
    return engine


def not_installed(engine: str, model: Path | None = None) -> MissingDependencyError:
    """The error for an engine that isn't there; another is advised only where it's there and reads the model.

    Args:
        engine: its package.
        model: what was to be opened, if anything.
    """
    others = READERS.get(model.suffix, ()) if model is not None else ()
    others = tuple(name for name in others if name != engine and _installed(name))
    return MissingDependencyError(
        f"{engine} isn't installed: {install(EXTRAS[engine])}"
        + "".join(f", or use --engine {name}" for name in others)
    )


def inference_error(engine: str, device: str, model: Path, error: Exception) -> InferenceError:
    """What an engine raised while it ran a graph, as an error of edgead's."""
    others = [name for name in READERS.get(model.suffix, ()) if name != engine and _installed(name)]
    return InferenceError(
        f"{model.name}: {engine} failed on {device} while it ran the graph ({last_line(error).rstrip('.')}): "
        "load the bundle again; if it fails again, run `edgead verify` on it"
        + "".join(f" and try --engine {name}" for name in others)
    )


def _installed(package: str) -> bool:
    import sys
    from importlib.util import find_spec

    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def last_line(error: BaseException) -> str:
    """An engine's message, often a page long, in the line that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
