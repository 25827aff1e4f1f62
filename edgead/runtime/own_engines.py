"""edgead's own engines by name: what brings each and what it reads, known without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from edgead.errors import InferenceError, MissingDependencyError, one_line
from edgead.extras import install

HEAVY = ("Convolution", "FullyConnected", "MatMul", "Conv", "FusedConv", "Gemm", "FusedMatMul")
"""What both engines call their convolutions and matrix products."""


@dataclass(frozen=True)
class Own:
    """One engine; its name is its package's, too.

    Attributes:
        title: as its makers write it.
        extra: what brings the package.
        reads: ends of the names of the models that it reads.
        factory: the engine's class, ``package.module:Name``.
    """

    title: str
    extra: str
    reads: tuple[str, ...]
    factory: str


OWN: Mapping[str, Own] = {
    "openvino": Own(
        "OpenVINO", "openvino", (".xml", ".onnx"), "edgead.runtime.openvino_session:OpenVINOEngine"
    ),
    "onnxruntime": Own(
        "ONNX Runtime", "onnx", (".onnx",), "edgead.runtime.onnxruntime_session:ONNXRuntimeEngine"
    ),
}
"""In the order of preference, where both may run a model."""


class Named(Protocol):
    """What a message says of a model: a path's name, or a ``ModelBytes``'."""

    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...


def readers(model: Named) -> tuple[str, ...]:
    """The own engines that read such a file, the preferred first."""
    return tuple(name for name, own in OWN.items() if model.suffix in own.reads)


def is_installed(name: str) -> bool:
    """Whether an own engine's package is there; it isn't imported."""
    if name in sys.modules:
        return sys.modules[name] is not None
    return find_spec(name) is not None


def lacks(name: str) -> str | None:
    """How to install an own engine, None where it's there."""
    return None if is_installed(name) else install(OWN[name].extra)


def not_installed(name: str, how: str, model: Named | None = None) -> MissingDependencyError:
    """The error for an engine that isn't there; another is advised only where it's there and reads the model.

    Args:
        name: the engine.
        how: to install it.
        model: what was to be opened, if anything.
    """
    return MissingDependencyError(f"{name} isn't installed: {how}" + _others(name, model, ", or use"))


def inference_error(engine: str, device: str, model: Named, error: Exception) -> InferenceError:
    """What an engine raised while it ran a graph, as an error of edgead's."""
    why = one_line(error, "last").rstrip(".")
    return InferenceError(
        f"{model.name}: {engine} failed on {device} while it ran the graph ({why}): load the bundle again; "
        "if it fails again, run `edgead verify` on it" + _others(engine, model, " and try")
    )


def _others(engine: str, model: Named | None, word: str) -> str:
    names = readers(model) if model is not None else ()
    return "".join(f"{word} --engine {name}" for name in names if name != engine and is_installed(name))


__all__ = ["HEAVY", "OWN", "Own", "inference_error", "is_installed", "lacks", "not_installed", "readers"]
