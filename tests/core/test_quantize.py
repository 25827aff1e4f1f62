"""Quantising a backbone: every pixel survives the first step, and engines really run it in INT8."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgead.errors import CompileError
from edgead.workbench.features import opened
from edgead.workbench.quantize import calibration_indices, quantise_backbone
from edgead.workbench.stem import LEVEL, centre_on_level, exact_input, find_stem
from tests.bundles import good_image
from tests.graphs import ENGINES

RNG = np.random.default_rng(0)
MEAN = np.float32([103.5, 116.3, 123.7])
WEIGHT = RNG.normal(0, 0.02, (8, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(0, 1, 8).astype(np.float32)


def network(size=(120, 80), extra_reader=False):
    """image -> Cast, Sub, Transpose, Conv, Relu, Conv, Relu -> a."""
    second = RNG.normal(0, 0.1, (16, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "mean"], ["centred"], name="sub"),
        helper.make_node("Transpose", ["centred"], ["x"], name="transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["y"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2", "b2"], ["z"], name="second", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["z"], ["a"], name="relu2"),
    ]
    outputs = [helper.make_tensor_value_info("a", TensorProto.FLOAT, None)]
    if extra_reader:
        nodes.append(helper.make_node("Relu", ["x"], ["other"], name="other"))
        outputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    constants = {"mean": MEAN, "w": WEIGHT, "b": BIAS, "w2": second, "b2": np.zeros(16, np.float32)}
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *size, 3])
    arrays = [numpy_helper.from_array(v, n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [image], outputs, arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def run(model, image, engine="onnxruntime"):
    with opened(model, engine) as session:
        return session(image[None])["a"]


def test_one_level_for_all_channels_changes_only_the_border():
    model, image = network(), good_image(1)
    changed = centre_on_level(model, find_stem(model))
    before, after = run(model, image), run(changed, image)
    np.testing.assert_allclose(after[..., 2:-2, 2:-2], before[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-4)
    assert not np.allclose(after, before, atol=1e-3), "then the border's text in stem.py is wrong"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_grey_level_survives_the_first_quantiser(engine):
    """Cut the quantised graph after its first pair: what comes out must be each pixel minus the level."""
    model = network(size=(16, 16))
    images = [RNG.integers(60, 190, (16, 16, 3)).astype(np.uint8) for _ in range(4)]
    quantised = quantise_backbone(model, images)
    pair = [n for n in quantised.graph.node if n.op_type == "DequantizeLinear" and "pixel_step" in n.input]
    assert len(pair) == 1
    cut = onnx.ModelProto()
    cut.CopyFrom(quantised)
    del cut.graph.output[:]
    cut.graph.output.append(helper.make_tensor_value_info(pair[0].output[0], TensorProto.FLOAT, None))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.stack([levels, levels[::-1], levels.T], axis=2)  # 0 and 255 too, which no image above has
    with opened(cut, engine) as session:
        found = next(iter(session(image[None]).values()))
    found = found[0] if found.shape[-1] == 3 else found[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(found, image.astype(np.float32) - LEVEL)


@pytest.mark.parametrize("keep_first_float", [False, True])
def test_convolutions_run_in_int8_but_for_the_one_kept(keep_first_float):
    quantised = quantise_backbone(network(), [good_image(i) for i in range(4)], keep_first_float)
    with opened(quantised, "openvino") as session:
        assert session.execution() == ({"i8": 1, "f32": 1} if keep_first_float else {"i8": 2})
    with opened(
        quantised, "onnxruntime"
    ) as session:  # whose last convolution stays float: no quantiser after it
        assert session.execution() == ({"f32": 2} if keep_first_float else {"i8": 1, "f32": 1})


def test_nodes_that_a_backbone_names_stay_float():
    model = network()
    last = [node.name for node in model.graph.node if node.op_type == "Conv"][-1]
    quantised = quantise_backbone(model, [good_image(i) for i in range(4)], float_nodes=[last, "not in it"])
    with opened(quantised, "openvino") as session:
        assert session.execution() == {"i8": 1, "f32": 1}
    conv = next(node for node in quantised.graph.node if node.name == last)
    assert conv.input[1] in {value.name for value in quantised.graph.initializer}  # its weights are whole


def test_quantised_features_are_close():
    model, images = network(), [good_image(i) for i in range(8)]
    before = run(model, images[0])
    quantised = quantise_backbone(model, images)
    error = np.abs(run(quantised, images[0]) - before)[..., 2:-2, 2:-2].mean()
    assert error < 0.03 * before.std()


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_on_the_quantised_graph(engine):
    quantised = quantise_backbone(network(), [good_image(i) for i in range(4)])
    np.testing.assert_allclose(
        run(quantised, good_image(9), engine), run(quantised, good_image(9)), atol=0.05
    )


def test_a_backbone_that_starts_otherwise_is_left_alone():
    assert find_stem(network(extra_reader=True)) is None
    model = network()
    model.graph.node[1].op_type = "Add"
    assert find_stem(model) is None
    plain = network()
    assert exact_input(plain, find_stem(plain)) is plain  # there is no quantiser yet


def test_a_graph_that_cannot_be_quantised_is_one_clear_line():
    model = network()
    model.graph.node[3].op_type = "NoSuchOperator"
    with pytest.raises(CompileError, match="it has no int8 form"):
        quantise_backbone(model, [good_image(0)])


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200, 1000])
def test_calibration_images_are_spread_over_all(count):
    chosen = calibration_indices(count)
    assert len(chosen) == len(set(chosen)) == min(count, 64) and chosen[0] == 0
    steps = {b - a for a, b in pairwise(chosen)}
    assert max(steps, default=1) - min(steps, default=1) <= 1 and count - chosen[-1] <= count / 64 + 1
