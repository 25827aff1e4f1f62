"""Run a piece of a graph, in both engines, on arrays of any type."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import spox
from spox import Tensor, Var

from edgead.workbench.graph import arrays_of, collected_parameters, tidy

ENGINES = ("openvino", "onnxruntime")


def run(engine: str, part: Callable[..., Mapping[str, Var]], **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Compose ``part`` from named inputs, run it, return its outputs by name."""
    with collected_parameters() as parameters:
        arguments = {name: spox.argument(Tensor(a.dtype, a.shape)) for name, a in inputs.items()}
        outputs = dict(part(**arguments))
        names = {f"out_{name}": var for name, var in outputs.items()}
        model = spox.build({**arguments, **{n: v for n, (v, _) in parameters.items()}}, names)
        model = tidy(model, arrays_of(parameters))
    return {name.removeprefix("out_"): value for name, value in _run(engine, model, inputs).items()}


def _run(engine: str, model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = [o.name for o in model.graph.output]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, file)
        if engine == "onnxruntime":
            import onnxruntime

            session = onnxruntime.InferenceSession(str(file))
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        import openvino

        compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled([inputs[i.get_any_name()] for i in compiled.inputs])
        return {name: results[i].copy() for i, name in enumerate(names)}
