"""Integer weights that no x86 processor saturates on, and biases that leave a layer's mean where it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgead.errors import CompileError
from edgead.runtime.exact import ExactSession
from edgead.workbench.integer_weights import round_pairs
from edgead.workbench.quantize import quantise_backbone
from edgead.workbench.saturation import PAIR, neighbour_sums, unsafe_layers, worst_pair
from edgead.workbench.stem import centre_on_level, find_stem
from tests.bundles import good_image

RNG = np.random.default_rng(0)


def saturating(activations, weights):
    """What ``vpmaddubsw`` and ``vpmaddwd`` make of unsigned activations and signed weights, both (k,)."""
    products = activations.astype(int) * weights.astype(int)
    pairs = np.clip(products.reshape(-1, 2).sum(1), -(2**15), 2**15 - 1)
    return int(pairs.sum())


@pytest.mark.parametrize("shape", [(5, 8, 3, 3), (5, 3, 3, 3), (4, 1, 3, 3), (6, 7, 1, 1)])
def test_no_neighbours_leave_sixteen_bits(shape):
    weights = RNG.standard_normal(shape).astype(np.float32) ** 3
    integers, steps = round_pairs(weights, axis=1, channels=0)
    assert steps.shape == (shape[0],) and integers.dtype == np.int8
    np.testing.assert_allclose(
        integers * steps[:, None, None, None], weights, atol=float(steps.max()) / 2 * 1.01
    )
    for row in integers.reshape(shape[0], shape[1], -1):
        # The order of a product: tap after tap, the input channels of each side by side.
        line = row.T.ravel()
        line = np.append(line, [0] * (len(line) % 2))
        for sign in (1, -1):
            worst = np.where(line * sign > 0, 255, 0)
            assert saturating(worst, line) == int((worst * line.astype(int)).sum())


def test_the_plain_rounding_would_saturate():
    weights = np.float32([[1.0, 0.9], [1.0, 0.01]])[:, :, None, None]
    plain = np.rint(weights / np.abs(weights).max((1, 2, 3), keepdims=True) * 127).astype(int)
    assert saturating(np.array([255, 255]), plain[0].ravel()) != 255 * plain[0].sum()
    integers, steps = round_pairs(weights, axis=1, channels=0)
    assert saturating(np.array([255, 255]), integers[0].ravel()) == 255 * int(integers[0].sum())
    assert steps[1] == np.float32(1 / 127), "a channel without such a pair keeps its whole range"


@pytest.mark.parametrize(("axis", "channels"), [(1, 0), (0, 1), (0, None), (1, None)])
def test_the_axes_are_the_ones_that_are_named(axis, channels):
    weights = RNG.standard_normal((6, 10)).astype(np.float32)
    integers, steps = round_pairs(weights, axis, channels)
    assert steps.shape == (() if channels is None else (weights.shape[channels],))
    assert neighbour_sums(np.moveaxis(integers.astype(int), axis, -1)).max() <= PAIR
    shape = [1, 1]
    if channels is not None:
        shape[channels] = -1
    np.testing.assert_allclose(integers * steps.reshape(shape), weights, atol=float(steps.max()))


def test_the_worst_pair_against_a_loop():
    for rows in (RNG.integers(-127, 128, (3, 4, 6)), RNG.integers(-127, 128, (3, 4, 5))):
        for row, found in zip(rows, worst_pair(rows.astype(float)), strict=True):
            flat = row.ravel().tolist()
            pairs = (
                [(a, b) for i, a in enumerate(flat) for b in flat[:i]]
                if row.shape[1] % 2
                else [(line[i], line[i + 1]) for line in row.tolist() for i in range(0, len(line), 2)]
            )
            same = [max(a, 0) + max(b, 0) for a, b in pairs] + [-min(a, 0) - min(b, 0) for a, b in pairs]
            assert found == max(same)


def network(size=(48, 32)):
    """Four convolutions with a sum and channels of very different weights; outputs ``a`` and ``b``."""

    rng = np.random.default_rng(7)

    def conv(name, source, channels, inputs, group=1, scale=1.0):
        weight = rng.normal(0, scale / np.sqrt(9 * inputs), (channels, inputs // group, 3, 3))
        arrays[f"{name}_w"] = weight * rng.uniform(0.2, 2, (channels, 1, 1, 1))
        arrays[f"{name}_b"] = rng.normal(0, 0.3, channels)
        return helper.make_node(
            "Conv", [source, f"{name}_w", f"{name}_b"], [name], name=name, pads=[1] * 4, group=group
        )

    arrays = {"mean": np.full(3, 120.0), "scale": np.full((1, 3, 1, 1), 1 / 60)}
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "mean"], ["centred"], name="sub"),
        helper.make_node("Transpose", ["centred"], ["t"], name="transpose", perm=[0, 3, 1, 2]),
        conv("c1", "t", 16, 3, scale=0.02),
        helper.make_node("Relu", ["c1"], ["r1"], name="r1"),
        conv("c2", "r1", 16, 16),
        helper.make_node("LeakyRelu", ["c2"], ["r2"], name="r2", alpha=0.1),
        conv("c3", "r2", 16, 16, group=16),
        helper.make_node("Add", ["c3", "r1"], ["a"], name="sum"),
        helper.make_node("Relu", ["a"], ["r3"], name="r3"),
        conv("b", "r3", 24, 16),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")],
        [numpy_helper.from_array(np.float32(value), name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@pytest.fixture(scope="module")
def quantised():
    plain = network()
    images = [good_image(i, (48, 32)) for i in range(8)]
    return plain, quantise_backbone(plain, images), images


def test_every_weight_of_a_quantised_backbone_is_safe(quantised):
    _, model, _ = quantised
    arrays = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    weights = [
        arrays[n.input[0]]
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in arrays
    ]
    assert sorted(w.shape for w in weights) == [(16, 1, 3, 3), (16, 3, 3, 3), (16, 16, 3, 3), (24, 16, 3, 3)]
    for weight in weights:
        rows = weight.astype(float).reshape(*weight.shape[:2], -1).transpose(0, 2, 1)
        assert worst_pair(rows).max() <= PAIR
    assert unsafe_layers(model) == {}
    used = {name for node in model.graph.node for name in node.input}
    assert set(arrays) <= used, "nothing of the former weights is left"


def test_the_mean_of_each_channel_stays_where_it_was(quantised):
    plain, model, images = quantised
    plain = centre_on_level(plain, find_stem(plain))  # the same inside the image, with INT8's own border
    before, after = (ExactSession(m.SerializeToString()) for m in (plain, model))
    for name in ("a", "b"):
        x, y = (np.stack([s(image[None])[name][0] for image in images]) for s in (before, after))
        noise = ((x - y) ** 2).sum() / ((x - x.mean((0, 2, 3), keepdims=True)) ** 2).sum()
        assert noise < 0.01, "20 dB and more: INT8's own rounding"
    shift = abs(x.mean((0, 2, 3)) - y.mean((0, 2, 3)))  # of b, which nothing follows
    assert (shift < 1e-4 * x.std((0, 2, 3))).all()


def test_a_layer_that_saturates_is_named(quantised):
    _, model, _ = quantised
    bad = onnx.ModelProto()
    bad.CopyFrom(model)
    arrays = {value.name: value for value in bad.graph.initializer}
    made_by = {name: node for node in bad.graph.node for name in node.output}
    conv = next(node for node in bad.graph.node if node.name == "c2")
    weights = arrays[made_by[conv.input[1]].input[0]]
    loud = numpy_helper.to_array(weights).copy()
    loud[3, 4:6, 1, 1] = 127, 100
    weights.CopyFrom(numpy_helper.from_array(loud, weights.name))
    assert unsafe_layers(bad) == {"c2": 227}


def test_a_bank_is_seen_through_its_transposition():
    rows = np.int8([[1, 2, 3, 4], [100, 100, -5, 0]])
    nodes = [
        helper.make_node("DequantizeLinear", ["rows", "step"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["q", "t"], ["out"], name="search"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("q", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(np.float32(1), "step")],
    )
    assert unsafe_layers(helper.make_model(graph)) == {"search": 200}


def small(nodes, arrays, outputs=("y",), size=(16, 16)):
    """A graph from ``image`` through Cast, Transpose ("t") and these nodes."""
    start = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        [*start, *nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def quantise(model):
    return quantise_backbone(model, [good_image(i, (16, 16)) for i in range(4)])


def test_layers_without_names_are_safe_too():
    nodes = [
        helper.make_node("Conv", ["t", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["y"], pads=[1] * 4),
    ]
    # Neighbours of one size and sign: rounded plainly, every pair would add up to 254.
    loud = {"w1": np.full((8, 3, 3, 3), 0.01), "w2": np.full((8, 8, 3, 3), 0.1)}
    model = small(nodes, {**loud, "b1": np.zeros(8), "b2": np.zeros(8)})
    assert unsafe_layers(quantise(model)) == {}


@pytest.mark.parametrize("turned", [0, 1])
def test_a_gemms_weights_are_safe_too(turned):
    nodes = [
        helper.make_node("GlobalAveragePool", ["t"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["q"], name="flat"),
        helper.make_node("Gemm", ["q", "w1", "b1"], ["h"], name="g1", transB=turned),
        helper.make_node("Relu", ["h"], ["r"], name="r"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="g2", transB=turned),
    ]
    w1, w2 = np.full((3, 8), 0.01), np.full((8, 6), 0.1)
    arrays = {"w1": w1.T if turned else w1, "w2": w2.T if turned else w2}
    model = quantise(small(nodes, {**arrays, "b1": np.zeros(8), "b2": np.zeros(6)}))
    assert any(n.op_type == "DequantizeLinear" and "w2" in n.input[0] for n in model.graph.node)
    assert unsafe_layers(model) == {}


def test_layers_that_share_a_bias_are_corrected_each_by_its_own():
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Conv", ["t", "w1", "b1"], ["c1"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], name="r1"),
        helper.make_node("Conv", ["r1", "w2", "b"], ["c2"], name="second", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"], name="r2"),
        helper.make_node("Conv", ["r2", "w3", "b"], ["y"], name="third", pads=[1] * 4),
    ]
    arrays = {
        "w1": rng.normal(0, 0.01, (8, 3, 3, 3)), "b1": np.zeros(8), "w2": rng.normal(0, 0.1, (8, 8, 3, 3)),
        "w3": rng.normal(0, 0.1, (8, 8, 3, 3)), "b": rng.normal(0, 0.1, 8),
    }  # fmt: skip
    plain = small(nodes, arrays)
    images = [good_image(i, (16, 16))[None] for i in range(4)]
    before, after = (ExactSession(m.SerializeToString()) for m in (plain, quantise(plain)))
    x, y = (np.concatenate([s(image)["y"] for image in images]) for s in (before, after))
    assert (abs(x.mean((0, 2, 3)) - y.mean((0, 2, 3))) < 1e-4 * x.std((0, 2, 3))).all()


def test_a_layer_of_one_dimension_is_corrected():
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Reshape", ["t", "shape"], ["line"], name="line"),
        helper.make_node("Conv", ["line", "w1", "b1"], ["c1"], name="first", pads=[1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="r1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["y"], name="second", pads=[1, 1]),
    ]
    arrays = {
        "w1": rng.normal(0, 0.01, (8, 3, 3)), "b1": np.zeros(8),
        "w2": rng.normal(0, 0.1, (8, 8, 3)), "b2": np.zeros(8),
    }  # fmt: skip
    model = small(nodes, arrays)
    model.graph.initializer.append(numpy_helper.from_array(np.int64([1, 3, -1]), "shape"))
    try:
        assert unsafe_layers(quantise(model)) == {}
    except CompileError as error:
        assert "it has no int8 form" in str(error)


def test_a_transposed_convolution_is_judged_by_its_own_channels():
    weights = np.int8(np.random.default_rng(0).integers(-60, 60, (5, 4, 3, 3)))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
        helper.make_node("ConvTranspose", ["x", "d"], ["y"], name="up"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32(1), "s")],
    )
    assert unsafe_layers(helper.make_model(graph)) == {}
    weights[0, 2, 1, 1], weights[3, 2, 0, 0] = 100, 90  # of one output channel: any two may meet
    graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    assert unsafe_layers(helper.make_model(graph)) == {"up": 190}
