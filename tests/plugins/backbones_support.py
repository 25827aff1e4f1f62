"""Engines, a tiny random ResNet and its plain-numpy oracle, for the tests of the backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.floating]]
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def random_image(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, *size, 3), dtype=np.uint8)


def in_onnxruntime(model: onnx.ModelProto, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


def in_openvino(model: onnx.ModelProto, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    compiled = compile_openvino(model)
    found = compiled(image)
    return {value.name: found[value.name] for value in model.graph.output}


def compile_openvino(model: onnx.ModelProto):
    from edgead.runtime.openvino_session import block_telemetry

    block_telemetry()
    ov = pytest.importorskip("openvino")
    core = ov.Core()
    read = core.read_model(model.SerializeToString())
    return core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2})


def relative_error(got: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    assert got.shape == right.shape
    assert np.abs(right).max() > 0, "an empty map proves nothing"
    return float(np.abs(got - right).max() / np.abs(right).max())


# ---------------------------------------------------------------- a ResNet in plain numpy


def conv(x: NDArray, weight: NDArray, stride: int) -> NDArray:
    """(1, C, H, W) by (O, C, k, k), padded by k // 2 with zeros."""
    k = weight.shape[-1]
    x = np.pad(x, [(0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def max_pool(x: NDArray) -> NDArray:
    x = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max((-1, -2))


def batch_norm(x: NDArray, tensors: Arrays, key: str) -> NDArray:
    gamma, beta, mean, var = (
        tensors[f"{key}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * gamma + beta


def resnet_oracle(image: NDArray[np.uint8], tensors: Arrays, depths: Sequence[int]) -> dict[str, NDArray]:
    """Return layer1, layer2, ... of a ResNet in float64, BatchNorm not folded, from a BGR frame."""

    def unit(x: NDArray, block: str, n: int, stride: int) -> NDArray:
        weight = tensors[f"{block}.conv{n}.weight"].astype(np.float64)
        return batch_norm(conv(x, weight, stride), tensors, f"{block}.bn{n}")

    x = ((image[..., ::-1] - MEAN) / STD).transpose(0, 3, 1, 2)
    x = conv(x, tensors["conv1.weight"].astype(np.float64), 2)
    x = max_pool(np.maximum(batch_norm(x, tensors, "bn1"), 0))
    maps = {}
    for layer, depth in enumerate(depths, 1):
        for i in range(depth):
            block = f"layer{layer}.{i}"
            stride = 2 if layer > 1 and i == 0 else 1
            shortcut = x
            if f"{block}.downsample.0.weight" in tensors:
                weight = tensors[f"{block}.downsample.0.weight"].astype(np.float64)
                shortcut = batch_norm(conv(x, weight, stride), tensors, f"{block}.downsample.1")
            if f"{block}.conv3.weight" in tensors:
                y = np.maximum(unit(x, block, 1, 1), 0)
                y = np.maximum(unit(y, block, 2, stride), 0)
                y = unit(y, block, 3, 1)
            else:
                y = np.maximum(unit(x, block, 1, stride), 0)
                y = unit(y, block, 2, 1)
            x = np.maximum(y + shortcut, 0)
        maps[f"layer{layer}"] = x
    return maps


def random_tensors(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Fill a ResNet's tensors so that values stay of the order of 1 and BatchNorm does something."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for key, shape in shapes.items():
        if key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.3, shape)
        else:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        tensors[key] = value.astype(np.float32)
    return tensors


def save_safetensors(tensors: Arrays, path: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(dict(tensors), path)
    return path


# ---------------------------------------------------------------- a tiny network as an ONNX file


def tiny_network(
    size: tuple[int | str, int | str] = ("H", "W"), name: str = "x", opset: int = 18, seed: int = 0
) -> onnx.ModelProto:
    """Return ``name`` (1, 3, H, W) to ``fine`` (stride 2, 4 channels), ``coarse`` (4, 6), ``pooled``."""
    helper, rng = onnx.helper, np.random.default_rng(seed)
    weights = {"w1": rng.normal(0, 0.3, (4, 3, 3, 3)), "w2": rng.normal(0, 0.3, (6, 4, 3, 3))}
    nodes = [
        helper.make_node("Conv", [name, "w1"], ["c1"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["fine"]),
        helper.make_node("Conv", ["fine", "w2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["coarse"]),
        helper.make_node("GlobalAveragePool", ["coarse"], ["pooled"]),
    ]
    float_type = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, float_type, [1, 3, *size])],
        [
            helper.make_tensor_value_info(out, float_type, [1, channels, None, None])
            for out, channels in (("coarse", 6), ("fine", 4), ("pooled", 6))
        ],
        [onnx.numpy_helper.from_array(w.astype(np.float32), key) for key, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def tiny_oracle(x: NDArray, seed: int = 0) -> dict[str, NDArray]:
    """Return what ``tiny_network`` computes from its float input."""
    rng = np.random.default_rng(seed)
    w1, w2 = rng.normal(0, 0.3, (4, 3, 3, 3)), rng.normal(0, 0.3, (6, 4, 3, 3))
    fine = np.maximum(conv(x, w1, 2), 0)
    return {"fine": fine, "coarse": np.maximum(conv(fine, w2, 2), 0)}
