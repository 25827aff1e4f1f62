"""Graphs in TensorRT's words: exact where promised, close elsewhere, and refused by the node's name."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgead.errors import CompileError
from edgead_exporters.half import convolutions_in_half
from edgead_exporters.jetson import JetsonExporter, engine_settings
from edgead_exporters.tensorrt_graph import for_tensorrt
from edgead_exporters.tensorrt_operators import check_for_tensorrt, published

RNG = np.random.default_rng(0)


def model(nodes, constants, inputs, outputs, opset=18):
    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "g",
        [info(*each) for each in inputs],
        [info(*each) for each in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(graph, **inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def kinds(graph):
    return [node.op_type for node in graph.graph.node]


def stem(pads):
    """Pixels, exactly quantised with zero point 116, and a convolution with INT8 weights."""
    return model(
        [
            helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["f", "level"], ["c"]),
            helper.make_node("QuantizeLinear", ["c", "one", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "one", "z"], ["d"]),
            helper.make_node("Transpose", ["d"], ["t"], perm=[0, 3, 1, 2]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
            helper.make_node("Conv", ["t", "wf", "b"], ["y"], pads=pads, strides=[2, 2]),
        ],
        {
            "level": np.full(3, 116, np.float32),
            "one": np.float32(1),
            "z": np.uint8(116),
            "w": RNG.integers(-127, 128, (4, 3, 3, 3), dtype=np.int8),
            "ws": RNG.uniform(0.01, 0.02, 4).astype(np.float32),
            "wz": np.zeros(4, np.int8),
            "b": RNG.normal(size=4).astype(np.float32),
        },
        [("image", TensorProto.UINT8, [1, 9, 11, 3])],
        [("y", TensorProto.FLOAT, [1, 4, None, None])],
    )


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 2, 0]])
def test_pixels_stay_exact_at_every_level_and_at_the_border(pads):
    before = stem(pads)
    after = for_tensorrt(before)
    check_for_tensorrt(after)
    for image in (
        RNG.integers(0, 256, (1, 9, 11, 3), dtype=np.uint8),
        np.zeros((1, 9, 11, 3), np.uint8),
        np.full((1, 9, 11, 3), 255, np.uint8),
    ):
        np.testing.assert_allclose(run(after, image=image)[0], run(before, image=image)[0], atol=2e-3)


def searched(rows, find):
    """A graph that ``find(bank, query)`` composes: distances, and a row."""
    import spox
    import spox.opset.ai.onnx.v18 as op

    from edgead.workbench.graph import _inputs, arrays_of, collected_parameters, tidy
    from edgead_plugins.nearest import Bank

    rng = np.random.default_rng(1)
    query = spox.argument(spox.Tensor(np.float32, (30, 16)))
    with collected_parameters() as parameters:
        distance, row = find(Bank(rng.normal(size=(rows, 16)).astype(np.float32)), query)
        built = spox.build(
            {"query": query} | {n: v for n, v in _inputs(query, parameters).items() if n != "image"},
            {"distance": op.identity(distance), "row": op.identity(row)},
        )
        return tidy(built, arrays_of(parameters))


def search(precision, k=1, rows=40):
    import spox.opset.ai.onnx.v18 as op

    def find(bank, query):
        found = bank.lower(precision).search(query, k)
        return found.distance, op.gather(op.gather(found.index, op.const([3]), axis=0), op.const([0]), axis=1)

    return searched(rows, find)


def finds_the_same(before):
    """The graph in TensorRT's words, once it's seen that it finds what it found."""
    after = for_tensorrt(before)
    check_for_tensorrt(after)
    query = np.random.default_rng(2).normal(size=(30, 16)).astype(np.float32)
    ours, theirs = run(after, query=query), run(before, query=query)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ours[1], theirs[1])
    return after


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(("k", "rows"), [(1, 40), (3, 40), (1, 5000)])
def test_a_search_finds_the_same(precision, k, rows):
    after = finds_the_same(search(precision, k, rows))
    assert ("TopK" in kinds(after)) == (k > 1)
    looked_up = [n for n in after.graph.node if n.op_type == "Gather" and "memory_bank" in n.input[0]]
    assert bool(looked_up) == (precision == "fp32" or k > 1 or rows > 4096)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(("k", "side"), [(1, 2), (3, 2), (1, 1)])
def test_a_ranked_search_finds_the_same(precision, k, side):
    from edgead_plugins.ranked import Ranking, lower_ranked

    def find(bank, query):
        found = lower_ranked(bank, Ranking(side, 8, 16, 16), precision).search(query, (5, 6), k)
        return found.distance, found.index

    finds_the_same(searched(1100, find))


def test_an_unsigned_activation_keeps_its_range():
    before = model(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        {"s": np.float32(0.1), "z": np.uint8(0)},
        [("x", TensorProto.FLOAT, [1, 256])],
        [("y", TensorProto.FLOAT, [1, 256])],
    )
    after = for_tensorrt(before)
    check_for_tensorrt(after)
    x = np.linspace(-3, 30, 256, dtype=np.float32)[None]
    ours = run(after, x=x)[0]
    assert np.abs(ours - np.clip(x, 0, 25.5)).max() <= 0.1 * 255 / 127 / 2 + 1e-5


def refused(nodes, constants=(), shape=(1, 4), kind=TensorProto.FLOAT, opset=18):
    graph = model(
        nodes, dict(constants), [("x", kind, shape)], [("y", TensorProto.FLOAT, [None] * len(shape))], opset
    )
    with pytest.raises(CompileError) as error:
        check_for_tensorrt(onnx.shape_inference.infer_shapes(graph))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_node_that_tensorrt_cannot_take_is_named():
    node = helper.make_node
    scale = {"s": np.float32(1), "z": np.uint8(0)}
    assert "node 'odd' (Det)" in refused([node("Det", ["x"], ["y"], name="odd")], shape=(2, 2))
    assert "isn't on its list" in refused([node("Det", ["x"], ["y"])], shape=(2, 2))
    unsigned = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], name="bad"),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    assert "node 'bad'" in refused(unsigned, scale) and "zero point" in refused(unsigned, scale)
    dynamic = [node("Relu", ["x"], ["y"], name="free")]
    assert "isn't static" in refused(dynamic, shape=("n", 4))
    winner = [node("TopK", ["x", "k"], ["y", "i"], name="top")]
    assert "k = 1" in refused(winner, {"k": np.array([1], np.int64)})
    axes = [
        node("Cast", ["x"], ["a"], to=TensorProto.INT64),
        node("ReduceMax", ["x", "a"], ["y"], name="axes", keepdims=1),
    ]
    assert "isn't constant" in refused(axes)
    assert "opset" in refused([node("Relu", ["x"], ["y"])], opset=8)
    integers = [node("Gather", ["w", "i"], ["g"], name="moved"), node("Cast", ["g"], ["y"], to=1)]
    assert "is INT8" in refused(integers, {"w": np.zeros((4, 4), np.int8), "i": np.zeros((1, 4), np.int64)})


def test_the_list_says_where_it_is_from():
    listed = published()
    assert listed["tensorrt"] == "10.6" and len(listed["commit"]) == 40
    assert {"Conv", "MatMul", "GridSample"} <= listed["operators"].keys()
    assert not {"Det", "QLinearConv", "MatMulInteger", "DynamicQuantizeLinear"} & listed["operators"].keys()


def test_half_precision_is_in_the_graph_and_only_around_convolutions():
    weights = {f"w{i}": RNG.normal(0, 0.1, (3, 3, 3, 3)).astype(np.float32) for i in range(2)}
    before = model(
        [
            helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1] * 4),
            helper.make_node("Add", ["b", "c"], ["d"]),
            helper.make_node("ReduceSumSquare", ["d", "axes"], ["y"], keepdims=0),
        ],
        weights | {"axes": np.array([1], np.int64)},
        [("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [("y", TensorProto.FLOAT, [1, 8, 8])],
    )
    after = onnx.shape_inference.infer_shapes(convolutions_in_half(before), strict_mode=True)
    check_for_tensorrt(after)
    assert kinds(after) == ["Cast", "Conv", "Relu", "Conv", "Add", "Cast", "ReduceSumSquare"]
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(after, x=x)[0], run(before, x=x)[0], rtol=2e-2, atol=1e-2)


def test_settings_say_what_the_form_needs():
    def options(precision):
        return engine_settings(precision)["providers"][0]["options"]

    assert [options(p)["trt_fp16_enable"] for p in JetsonExporter.precisions] == ["0", "0", "1", "0"]
    assert [options(p)["trt_int8_enable"] for p in JetsonExporter.precisions] == ["1", "1", "1", "0"]
    assert "--memPoolSize=workspace:1024" in engine_settings("int8")["trtexec"]


@pytest.mark.parametrize("precision", ["int8", "mixed", "bf16", "fp32"])
def test_a_real_export_passes_the_check_and_carries_what_a_device_needs(precision, compiled):
    made = compiled("jetson", precision)
    bundle = made.bundle
    assert made.chosen == precision and bundle.manifest.engine == "onnxruntime"
    listed = {file.path for file in bundle.manifest.files}
    assert {"model.onnx", "tensorrt.json", "probes/000.png"} <= listed
    graph = onnx.shape_inference.infer_shapes(onnx.load(bundle.file("model.onnx")))
    check_for_tensorrt(graph)
    onnx.checker.check_model(graph, full_check=True)
    assert "TopK" not in kinds(graph)
    assert json.loads(bundle.file("tensorrt.json").read_text())["workspace_mib"] == 1024
    assert all(form.p50_ms is None for form in made.forms)
