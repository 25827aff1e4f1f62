"""A backbone's graph is one that the quantiser takes whole: nothing of it stays in float in the engine."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgead.runtime.openvino_session import block_telemetry
from edgead_plugins.backbones.onnx_file import onnx_backbone
from edgead_plugins.backbones.resnet import resnet_backbone
from tests.plugins.backbones_support import (
    compile_openvino,
    in_onnxruntime,
    in_openvino,
    random_image,
    tiny_network,
)


def quantise(model: onnx.ModelProto, images) -> onnx.ModelProto:
    block_telemetry()
    nncf = pytest.importorskip("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(model, nncf.Dataset(images, lambda image: {"image": image}), subset_size=len(images))


def convolutions(model: onnx.ModelProto) -> Counter[str]:
    """Count convolutions by the precision that OpenVINO says it runs them in."""
    found: Counter[str] = Counter()
    for operation in compile_openvino(model).get_runtime_model().get_ordered_ops():
        info = operation.get_rt_info()
        if info["layerType"].astype(str) == "Convolution":
            found[info["runtimePrecision"].astype(str)] += 1
    return found


def smooth_images(count: int, size) -> list[np.ndarray]:
    """Images with structure: noise alone has no features to quantise well."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    images = []
    for i in range(count):
        wave = 127 + 100 * np.sin(rows / (5 + i) + i) * np.cos(columns / (9 + i))
        image = np.stack([wave, np.roll(wave, 7, 1), wave.T if size[0] == size[1] else wave], -1)
        noise = np.random.default_rng(i).normal(0, 5, image.shape)
        images.append(np.clip(image + noise, 0, 255).astype(np.uint8)[None])
    return images


def test_every_convolution_of_a_real_resnet_runs_in_int8(resnet18_weights: Path):
    size = (128, 128)
    images = smooth_images(8, size)
    plain = resnet_backbone("resnet18", "", resnet18_weights).onnx(["layer2", "layer3"], size)
    assert convolutions(plain)["u8"] == 0, "the count must be able to fail"
    quantised = quantise(plain, images)
    assert dict(convolutions(quantised)) == {"u8": 15}

    kinds = [node.op_type for node in quantised.graph.node]
    assert kinds[:5] == ["Cast", "Sub", "QuantizeLinear", "DequantizeLinear", "Transpose"], "rounded once"
    right = in_onnxruntime(plain, images[0])
    for run in (in_onnxruntime, in_openvino):
        for name, value in run(quantised, images[0]).items():
            assert np.mean((value - right[name]) ** 2) / np.mean(right[name] ** 2) < 0.05


def test_a_users_file_quantises_whole(tmp_path: Path):
    path = tmp_path / "net.onnx"
    path.write_bytes(tiny_network().SerializeToString())
    plain = onnx_backbone(str(path), None).onnx(["fine", "coarse"], (64, 64))
    quantised = quantise(plain, [random_image((64, 64), seed) for seed in range(4)])
    assert dict(convolutions(quantised)) == {"u8": 2}
