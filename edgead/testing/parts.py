"""A piece of a graph by itself, as a model that engines run: what a plugin's own tests are made of too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgead.leftovers import scratch_folder
from edgead.runtime.signal_stack import keeps_signal_stack

if TYPE_CHECKING:
    import onnx
    from spox import Var

Arrays = Mapping[str, NDArray[Any]]


def build_part(part: Callable[..., Mapping[str, Var]], inputs: Arrays) -> onnx.ModelProto:
    """Compose ``part(**inputs)``, which returns its outputs by name; ``parameter`` may be used in it."""
    import spox
    from spox import Tensor

    from edgead.workbench.graph import arrays_of, collected_parameters, tidy

    with collected_parameters() as parameters:
        arguments = {name: spox.argument(Tensor(a.dtype, a.shape)) for name, a in inputs.items()}
        outputs = {f"out_{name}": var for name, var in part(**arguments).items()}
        given = {f"in_{name}": var for name, var in arguments.items()}
        model = spox.build({**given, **{name: var for name, (var, _) in parameters.items()}}, outputs)
        return tidy(model, arrays_of(parameters))


@keeps_signal_stack
def run_part(
    part: Callable[..., Mapping[str, Var]], inputs: Arrays, engine: str = "onnxruntime"
) -> dict[str, NDArray[Any]]:
    """Run a piece of a graph on arrays and return its outputs by name.

    Args:
        part: takes a ``Var`` for each input and returns its outputs by name.
        inputs: arrays by name.
        engine: ``onnxruntime`` or ``openvino``.
    """
    model = build_part(part, inputs)
    given = {f"in_{name}": np.ascontiguousarray(array) for name, array in inputs.items()}
    names = [output.name for output in model.graph.output]
    if engine == "openvino":
        from edgead.runtime.openvino_session import import_openvino

        with scratch_folder() as folder:
            file = folder / "part.onnx"
            file.write_bytes(model.SerializeToString())
            core, exactly = import_openvino().Core(), {"INFERENCE_PRECISION_HINT": "f32"}
            compiled = core.compile_model(str(file), "CPU", exactly)
            # A tensor may have other names beside its own, where nothing but its input is calculated
            arguments = [next(given[n] for n in i.get_names() if n in given) for i in compiled.inputs]
            found = compiled(arguments)
            arrays = [found[i].copy() for i in range(len(names))]
    else:
        import onnxruntime

        arrays = onnxruntime.InferenceSession(model.SerializeToString()).run(names, given)
    return {name.removeprefix("out_"): array for name, array in zip(names, arrays, strict=True)}


__all__ = ["build_part", "run_part"]
