"""A graph in exact arithmetic: what every engine is held against.

ONNX Runtime with its optimiser off runs each operator as the standard says it: an INT8 layer is dequantised,
multiplied in float32 and rounded again. Its fused kernels, and other engines', round in other places. Slower
than they are, and the same on every processor up to the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError, InferenceError, one_line
from edgead.runtime.model_bytes import ModelBytes, read_model
from edgead.runtime.onnxruntime_session import import_onnxruntime
from edgead.runtime.session import Outputs


class ExactSession:
    """Calls a graph in exact arithmetic.

    Args:
        model: an ONNX graph: its file, which is read once, or what was read.

    Raises:
        MissingDependencyError: onnxruntime isn't installed.
        CompileError: it can't load the model.
    """

    def __init__(self, model: Path | ModelBytes | bytes) -> None:
        ort = import_onnxruntime()
        if not isinstance(model, ModelBytes):
            model = ModelBytes("the graph.onnx", model) if isinstance(model, bytes) else read_model(model)
        model.check()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        name = model.name
        try:
            self._session = ort.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise CompileError(f"{name}: onnxruntime can't load it: {one_line(error, 'last')}") from error
        image = self._session.get_inputs()[0]
        self._input = image.name
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        """Run one image (1, H, W, 3) uint8."""
        return self.run({self._input: image})

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Run a graph of any inputs, by name."""
        try:
            outputs = self._session.run(None, dict(inputs))
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            raise InferenceError(f"exact arithmetic fails on the graph: {one_line(error, 'last')}") from error
        return dict(zip(self._names, outputs, strict=True))


__all__ = ["ExactSession"]
