"""What this machine's arithmetic units give: a large matrix product in FP32, BF16 and INT8 on OpenVINO.

python benchmarks/yardstick.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v18 as op
from spox import Tensor

from edgead.runtime.openvino_session import import_openvino

SIDE = 2048
FORMS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What's measured, and the arithmetic that the engine is allowed where the graph isn't quantised."""


def yardstick(threads: int | None = None) -> dict[str, float]:
    """Operations per second, two for each multiply-add, in 1e12, of each form; the median of 15 products."""
    return {form: _rate(form, threads) for form in FORMS}


def describe(rates: dict[str, float]) -> str:
    """One line for a table's foot."""
    parts = (f"{form} {rate:.2f} ({rate / rates['fp32']:.2f} x)" for form, rate in rates.items())
    return f"yardstick, TOP/s: {', '.join(parts)}"


def product(form: str, threads: int | None = None, side: int = SIDE) -> Callable[[], None]:
    """What multiplies two matrices of ``side`` once, on OpenVINO; for runs in turns with something else."""
    config = {"INFERENCE_PRECISION_HINT": FORMS[form], "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "product.onnx"
        onnx.save(_product(form, side), file)
        compiled = import_openvino().Core().compile_model(str(file), "CPU", config)
    request, x = compiled.create_infer_request(), np.random.default_rng(0).random((side, side), np.float32)

    def multiply() -> None:
        request.infer({0: x}, share_inputs=True)

    return multiply


def _product(form: str, n: int) -> onnx.ModelProto:
    weights = np.random.default_rng(0).integers(-127, 128, (n, n)).astype(np.int8)
    x = spox.argument(Tensor(np.float32, (n, n)))
    scale, zero = op.const(np.float32(0.01)), op.const(np.int8(0))
    if form == "int8":
        unsigned = op.const(np.uint8(0))
        left = op.dequantize_linear(op.quantize_linear(x, scale, unsigned), scale, unsigned)
        right = op.dequantize_linear(op.const(weights), scale, zero)
    else:
        left, right = x, op.const(weights.astype(np.float32))
    return spox.build({"x": x}, {"y": op.reduce_max(op.matmul(left, right), op.const([1]), keepdims=0)})


def _rate(form: str, threads: int | None) -> float:
    multiply, times = product(form, threads), []
    for _ in range(15):
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return 2 * SIDE**3 / float(np.median(times)) / 1e12


if __name__ == "__main__":
    print(describe(yardstick()))
