"""What stands in front of every network, and the graph edits that backbones share."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgead.errors import OptionError
from edgead.types import InputSpec
from edgead_plugins.backbones import graphs
from edgead_plugins.backbones.preprocessing import check_maps, check_size, prepend_preprocessing
from tests.plugins.backbones_support import (
    in_onnxruntime,
    in_openvino,
    random_image,
    relative_error,
    tiny_network,
    tiny_oracle,
)

SPEC = InputSpec(mean=(10.0, 120.0, 200.0), std=(20.0, 60.0, 90.0))
BGR = InputSpec(mean=SPEC.mean, std=SPEC.std, channel_order="bgr")


def normalised(image, spec):
    ordered = image[..., ::-1] if spec.channel_order == "rgb" else image
    return ((ordered - np.array(spec.mean)) / np.array(spec.std)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize("spec", [SPEC, BGR], ids=["rgb", "bgr"])
@pytest.mark.parametrize("name", ["x", "image"])
def test_the_frame_is_prepared_as_the_network_was_trained(run, spec, name):
    image = random_image((64, 48))
    model = prepend_preprocessing(graphs.cut(tiny_network(name=name), ["coarse", "fine"]), (64, 48), spec)
    onnx.checker.check_model(model, full_check=True)
    right = tiny_oracle(normalised(image, spec))
    for key, value in run(model, image).items():
        assert relative_error(value, right[key]) < 1e-5


def test_the_first_convolution_takes_colour_order_and_scale():
    model = prepend_preprocessing(tiny_network(), (64, 48), SPEC)
    assert [node.op_type for node in model.graph.node][:4] == ["Cast", "Sub", "Transpose", "Conv"]
    assert {value.name for value in model.graph.initializer} >= {"w1.folded", "w2"}
    assert "w1" not in {value.name for value in model.graph.initializer}


@pytest.mark.parametrize("spec", [SPEC, BGR], ids=["rgb", "bgr"])
def test_a_network_that_starts_otherwise_gets_a_prepared_tensor(spec):
    network = tiny_network()
    network.graph.node.append(onnx.helper.make_node("Identity", ["x"], ["same"]))
    network.graph.output.append(onnx.helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, None))
    image = random_image((32, 32))
    found = in_onnxruntime(prepend_preprocessing(network, (32, 32), spec), image)
    assert relative_error(found["same"], normalised(image, spec)) < 1e-6
    assert relative_error(found["coarse"], tiny_oracle(normalised(image, spec))["coarse"]) < 1e-5


def test_a_shared_weight_keeps_its_own_values():
    network = tiny_network()
    network.graph.node.append(onnx.helper.make_node("Identity", ["w1"], ["kept"]))
    network.graph.output.append(onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.FLOAT, None))
    original = onnx.numpy_helper.to_array(network.graph.initializer[0])
    found = in_onnxruntime(prepend_preprocessing(network, (32, 32), SPEC), random_image((32, 32)))
    np.testing.assert_array_equal(found["kept"], original)


def test_the_network_given_is_left_as_it_was():
    network = tiny_network()
    before = network.SerializeToString()
    prepend_preprocessing(network, (32, 32), SPEC)
    graphs.cut(network, {"renamed": "fine"})
    assert network.SerializeToString() == before


def test_an_inner_tensor_called_image_steps_aside():
    network = tiny_network()
    graphs.rename_tensors(network.graph, {"c1": "image"})
    image = random_image((32, 32))
    found = in_onnxruntime(prepend_preprocessing(network, (32, 32), SPEC), image)
    assert relative_error(found["fine"], tiny_oracle(normalised(image, SPEC))["fine"]) < 1e-5


# ---------------------------------------------------------------- cut


def test_cut_keeps_only_what_is_asked():
    fine = graphs.cut(tiny_network(), ["fine"])
    assert [node.op_type for node in fine.graph.node] == ["Conv", "Relu"]
    assert [value.name for value in fine.graph.initializer] == ["w1"]
    assert [value.name for value in fine.graph.output] == ["fine"]


def test_cut_renames_all_at_once():
    image = random_image((32, 32))
    right = tiny_oracle(normalised(image, SPEC))
    swapped = graphs.cut(tiny_network(), {"fine": "coarse", "coarse": "fine", "twice": "fine"})
    onnx.checker.check_model(swapped)
    found = in_onnxruntime(prepend_preprocessing(swapped, (32, 32), SPEC), image)
    assert relative_error(found["coarse"], right["fine"]) < 1e-5
    assert relative_error(found["fine"], right["coarse"]) < 1e-5
    np.testing.assert_array_equal(found["twice"], found["coarse"])


def test_cut_keeps_what_a_subgraph_captures():
    helper, kind = onnx.helper, onnx.TensorProto
    then = helper.make_graph(
        [helper.make_node("Add", ["x", "captured"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", kind.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["e"])],
        "else",
        [],
        [helper.make_tensor_value_info("e", kind.FLOAT, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["five"], ["captured"]),
            helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=other),
        ],
        "g",
        [helper.make_tensor_value_info("x", kind.FLOAT, [1])],
        [helper.make_tensor_value_info("y", kind.FLOAT, [1])],
        [
            helper.make_tensor("yes", kind.BOOL, [], [True]),
            helper.make_tensor("five", kind.FLOAT, [1], [5.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    kept = graphs.cut(model, {"out": "y"})
    assert {value.name for value in kept.graph.initializer} == {"yes", "five"}
    onnx.checker.check_model(kept, full_check=True)


def test_cut_names_a_tensor_that_is_not_there():
    with pytest.raises(KeyError, match="nowhere"):
        graphs.cut(tiny_network(), ["nowhere"])


# ---------------------------------------------------------------- what the user asks for


def test_an_unknown_map_gets_near_matches():
    with pytest.raises(OptionError, match="did you mean layer2"):
        check_maps("resnet18", ["layer2", "layr2"], ["layer1", "layer2"])
    with pytest.raises(OptionError, match="it has layer1, layer2"):
        check_maps("resnet18", ["zzz"], ["layer1", "layer2"])
    with pytest.raises(OptionError, match="choose from layer1"):
        check_maps("resnet18", [], ["layer1"])
    assert check_maps("resnet18", ["b", "a", "b"], ["a", "b"]) == ("b", "a")


@pytest.mark.parametrize(
    ("size", "spec", "message"),
    [
        ((250, 256), InputSpec(), "use --size 256x256"),
        ((8, 256), InputSpec(), "out of range"),
        ((256, 100_000), InputSpec(), "out of range"),
        ((256, 256), InputSpec(size=(224, 224)), "use --size 224x224"),
    ],
)
def test_a_size_that_does_not_fit(size, spec, message):
    with pytest.raises(OptionError, match=message):
        check_size("some", size, spec)
