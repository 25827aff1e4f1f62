"""A small graph that is made up, for checks of what stores graphs and what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgead.testing.material import SIZE

if TYPE_CHECKING:
    import onnx


def small_graph() -> onnx.ModelProto:
    """``image`` to ``anomaly_map`` and ``score``, with the kinds of operator that methods use."""
    import spox
    import spox.opset.ai.onnx.v18 as op
    from spox import Tensor

    from edgead.workbench.graph import tidy

    rng = np.random.default_rng(0)
    height, width = SIZE
    image = spox.argument(Tensor(np.uint8, (1, height, width, 3)))
    pixels = op.div(op.cast(image, to=np.float32), op.const(np.float32(255)))
    kernel = op.const(rng.normal(0, 0.3, (16, 3, 8, 8)).astype(np.float32))
    features = op.relu(op.conv(op.transpose(pixels, perm=[0, 3, 1, 2]), kernel, strides=[8, 8]))
    rows = op.transpose(op.reshape(features, op.const([16, 64])), perm=[1, 0])
    step, zero = op.const(np.float32(0.02)), op.const(np.int8(0))
    bank = op.const(rng.integers(-127, 127, (16, 32)).astype(np.int8))
    rounded = op.dequantize_linear(op.quantize_linear(rows, step, zero), step, zero)
    products = op.matmul(rounded, op.dequantize_linear(bank, step, zero))
    patch = op.reshape(op.reduce_max(op.abs(products), op.const([1]), keepdims=0), op.const([1, 1, 8, 8]))
    scale = op.const(np.array([1, 1, 8, 8], np.float32))
    anomaly_map = op.resize(patch, scales=scale, mode="linear")
    score = op.reshape(op.reduce_max(anomaly_map, keepdims=0), op.const([1]))
    return tidy(spox.build({"image": image}, {"anomaly_map": anomaly_map, "score": score}), {})


def nan_graph() -> onnx.ModelProto:
    """``anomaly_map`` is each pixel's blue by itself: 1, and NaN where it's 0; ``score`` its first pixel."""
    import spox
    import spox.opset.ai.onnx.v18 as op
    from spox import Tensor

    from edgead.workbench.graph import tidy

    height, width = SIZE
    image = spox.argument(Tensor(np.uint8, (1, height, width, 3)))
    pixels = op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2])
    blue = op.slice(pixels, op.const([0]), op.const([1]), op.const([1]))
    anomaly_map = op.div(blue, blue)
    first = op.slice(anomaly_map, op.const([0, 0]), op.const([1, 1]), op.const([2, 3]))
    score = op.reshape(first, op.const([1]))
    return tidy(spox.build({"image": image}, {"anomaly_map": anomaly_map, "score": score}), {})


__all__ = ["nan_graph", "small_graph"]
