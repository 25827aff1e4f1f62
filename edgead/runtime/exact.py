"""A graph in exact arithmetic: what every engine is held against.

ONNX Runtime with its optimiser off runs each operator as the standard says it: an INT8 layer is dequantised,
multiplied in float32 and rounded again. Its fused kernels, and other engines', round in other places. Slower
than they are, and the same on every processor up to the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError
from edgead.runtime.onnxruntime_session import import_onnxruntime
from edgead.runtime.session import Outputs, last_line


class ExactSession:
    """See ``edgead.runtime.session.Session``.

    Args:
        model: a ``.onnx`` file, or a graph's bytes.
    """

    engine, device = "onnxruntime", "CPU"
    honours: frozenset[str] = frozenset()

    def __init__(self, model: Path | bytes) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        name = "the graph" if isinstance(model, bytes) else model.name
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise CompileError(f"{name}: onnxruntime can't load it: {last_line(error)}") from error
        image = self._session.get_inputs()[0]
        self._input, self.input_shape = image.name, tuple(image.shape)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        return self.run({self._input: image})

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        return (self(image) for image in images)

    def execution(self) -> Mapping[str, int]:
        return {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Run a graph of any inputs, by name."""
        return dict(zip(self._names, self._session.run(None, dict(inputs)), strict=True))


__all__ = ["ExactSession"]
