"""Coordinates of a GridSample stay in FP32 in OpenVINO's BF16 form, and nothing else is touched."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgead_exporters.openvino import OpenVINOExporter

RNG = np.random.default_rng(0)


def model(with_grid=True):
    """Two convolutions; between them, sampling at a grid that a third convolution calculates."""
    weights = {
        "w1": RNG.normal(size=(8, 3, 3, 3)),
        "w2": RNG.normal(size=(1, 8, 3, 3)) / 8,
        "w3": RNG.normal(size=(2, 8, 3, 3)) / 50,
        "fine": RNG.uniform(-1, 1, (1, 16, 16, 2)),
    }
    nodes = [helper.make_node("Conv", ["image", "w1"], ["a"], pads=[1] * 4)]
    if with_grid:
        nodes += [
            helper.make_node("Conv", ["a", "w3"], ["shift"], pads=[1] * 4),
            helper.make_node("Transpose", ["shift"], ["moved"], perm=[0, 2, 3, 1]),
            helper.make_node("Tanh", ["moved"], ["small"]),
            helper.make_node("Add", ["small", "fine"], ["grid"]),
            helper.make_node("GridSample", ["a", "grid"], ["b"], mode="bilinear", padding_mode="border"),
        ]
    nodes.append(helper.make_node("Conv", ["b" if with_grid else "a", "w2"], ["score"], pads=[1] * 4))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1, 16, 16])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def marked(file):
    return sorted(
        layer.get("type")
        for layer in ElementTree.parse(file).iter("layer")
        if any(a.get("name") == "precise" for a in layer.iter("attribute"))
    )


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_only_coordinates_are_marked_and_only_for_bf16(tmp_path, precision):
    OpenVINOExporter().compile(model(), precision, tmp_path)
    found = marked(tmp_path / "model.xml")
    assert ("Tanh" in found and "Convolution" in found) == (precision == "bf16")
    assert found.count("Convolution") == (1 if precision == "bf16" else 0)
    assert "GridSample" not in found
    image = RNG.normal(size=(1, 3, 16, 16)).astype(np.float32)
    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    assert core.compile_model(str(tmp_path / "model.xml"), "CPU", hint)(image)[0].shape == (1, 1, 16, 16)


def test_a_graph_without_a_grid_is_written_as_before(tmp_path):
    OpenVINOExporter().compile(model(with_grid=False), "bf16", tmp_path)
    assert marked(tmp_path / "model.xml") == []
    assert (tmp_path / "model.xml").read_bytes().startswith(b'<?xml version="1.0"?>')


def test_the_same_graph_gives_the_same_file(tmp_path):
    graph = model()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        OpenVINOExporter().compile(graph, "bf16", tmp_path / folder)
    assert (tmp_path / "one/model.xml").read_bytes() == (tmp_path / "two/model.xml").read_bytes()
