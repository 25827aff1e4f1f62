"""A user's ONNX file as a backbone, and files that nobody should trust."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgead.errors import OptionError
from edgead.types import Backbone, FeatureInfo
from edgead_plugins.backbones.onnx_file import onnx_backbone
from tests.plugins.backbones_support import (
    MEAN,
    STD,
    in_onnxruntime,
    in_openvino,
    random_image,
    relative_error,
    tiny_network,
    tiny_oracle,
)

TWO_MAPS = {"fine": FeatureInfo(4, 2), "coarse": FeatureInfo(6, 4)}


@pytest.fixture
def opened(tmp_path):
    """Save a model and open it as ``onnx:PATH``."""

    def open_(model: onnx.ModelProto):
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return onnx_backbone(str(path), None)

    return open_


def imagenet(image):
    return ((image[..., ::-1] - MEAN) / STD).transpose(0, 3, 1, 2)


def metadata(model, **facts):
    for key, value in facts.items():
        model.metadata_props.add(key=f"edgead.{key}", value=value)
    return model


# ---------------------------------------------------------------- what works


@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize("size", [(64, 64), (96, 32)])
def test_a_float_network_gets_imagenet_in_front(opened, run, size):
    backbone = opened(tiny_network())
    assert isinstance(backbone, Backbone)
    assert backbone.feature_info == TWO_MAPS, "the pooled output is no map; the finest comes first"
    assert backbone.input.size is None and backbone.input.multiple == 4
    assert "assumed" in backbone.provenance["preprocessing"]
    image = random_image(size)
    found = run(backbone.onnx(["coarse", "fine"], size), image)
    right = tiny_oracle(imagenet(image))
    assert list(found) == ["coarse", "fine"]
    for name, value in found.items():
        assert relative_error(value, right[name]) < 1e-5


def test_metadata_override_the_preprocessing(opened):
    model = metadata(tiny_network(), mean="0, 0, 0", std="255 255 255", channel_order="bgr")
    backbone = opened(model)
    assert backbone.provenance["preprocessing"].startswith("as the file's metadata asks: bgr, mean 0 0 0")
    image = random_image((32, 32))
    found = in_onnxruntime(backbone.onnx(["fine"], (32, 32)), image)["fine"]
    assert relative_error(found, tiny_oracle((image / 255).transpose(0, 3, 1, 2))["fine"]) < 1e-5


@pytest.mark.parametrize("size", [("H", "W"), (32, 48)])
def test_a_network_that_takes_the_frame_is_left_alone(opened, size):
    model = tiny_network(size=size, name="prepared")
    del model.graph.input[:]
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("frame", onnx.TensorProto.UINT8, ["N", *size, 3])
    )
    steps = [
        ("Cast", ["frame"], "cast", {"to": 1}),
        ("Transpose", ["cast"], "prepared", {"perm": [0, 3, 1, 2]}),
    ]
    nodes = [onnx.helper.make_node(kind, i, [o], **a) for kind, i, o, a in steps] + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    backbone = opened(model)
    assert backbone.feature_info == TWO_MAPS
    assert backbone.input.size == (None if size[0] == "H" else (32, 48))
    image = random_image((32, 48))
    found = in_onnxruntime(backbone.onnx(["fine"], (32, 48)), image)["fine"]
    assert relative_error(found, tiny_oracle(image.astype(float).transpose(0, 3, 1, 2))["fine"]) < 1e-5


def test_one_position_is_no_map(opened):
    assert opened(tiny_network(size=(32, 32))).feature_info == TWO_MAPS, "nor is the pooled one, square"


def test_a_fixed_size_is_the_only_one(opened):
    backbone = opened(tiny_network(size=(30, 50)))
    assert backbone.input.size == (30, 50) and backbone.feature_info == TWO_MAPS
    backbone.onnx(["fine"], (30, 50))
    with pytest.raises(OptionError, match="takes 30x50 only, not 64x64: use --size 30x50"):
        backbone.onnx(["fine"], (64, 64))


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_other_opsets_are_converted(opened, opset):
    model = opened(tiny_network(opset=opset)).onnx(["fine"], (32, 32))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    image = random_image((32, 32))
    found = in_onnxruntime(model, image)["fine"]
    assert relative_error(found, tiny_oracle(imagenet(image))["fine"]) < 1e-5


def test_constants_become_initialisers(opened):
    model = tiny_network()
    weights = list(model.graph.initializer)
    del model.graph.initializer[:]
    constants = [onnx.helper.make_node("Constant", [], [w.name], value=w) for w in weights]
    nodes = constants + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph = opened(model).onnx(["coarse"], (32, 32)).graph
    assert not any(node.op_type == "Constant" for node in graph.node)
    assert {value.name for value in graph.initializer} >= {"w1.folded", "w2"}


def test_initialisers_listed_as_inputs_are_no_inputs(opened):
    model = tiny_network()
    for weight in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, 1, weight.dims))
    graph = opened(model).onnx(["coarse"], (32, 32)).graph
    assert [value.name for value in graph.input] == ["image"]


def test_weights_beside_the_file_are_read_and_hashed(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(tiny_network(), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    backbone = onnx_backbone(str(path), None)
    image = random_image((32, 32))
    found = in_onnxruntime(backbone.onnx(["fine"], (32, 32)), image)["fine"]
    assert relative_error(found, tiny_oracle(imagenet(image))["fine"]) < 1e-5
    beside = tmp_path / "net.onnx.data"
    beside.write_bytes(bytes(4) + beside.read_bytes()[4:])
    other = onnx_backbone(str(path), None).provenance["weights_sha256"]
    assert other != backbone.provenance["weights_sha256"]


# ---------------------------------------------------------------- what is refused


def external(location: str) -> onnx.ModelProto:
    model = tiny_network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "sub/secret", "absent", "", ".", "link"])
def test_weights_elsewhere_are_never_read(opened, tmp_path, location):
    (tmp_path.parent / "secret").write_bytes(b"x" * 432)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "secret").write_bytes(b"x" * 432)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OptionError, match="keeps weights in"):
        opened(external(location))


def test_weights_beside_the_file_may_be_too_short(opened, tmp_path):
    (tmp_path / "short").write_bytes(b"x" * 7)
    with pytest.raises(OptionError, match="is not a usable ONNX file"):
        opened(external("short"))


def no_nodes(model):
    del model.graph.node[:]


def cyclic(model):
    model.graph.node[0].input[0] = "coarse"


def foreign(model):
    model.graph.node[1].domain = "com.example"
    model.opset_import.add(domain="com.example", version=1)


def two_inputs(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", 1, [1]))


def grey(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1


def half_precision(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def batch_of_two(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def one_side(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def channels_last(model):
    model.graph.node.append(onnx.helper.make_node("Transpose", ["coarse"], ["last"], perm=[0, 2, 3, 1]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("last", 1, [1, None, None, 6]))


def only_pooled(model):
    del model.graph.output[:2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_nodes, "it holds no network"),
        (cyclic, "is not a usable ONNX file"),
        (foreign, "needs operators of 'com.example'"),
        (two_inputs, "must have one input, the image; it has x, mask"),
        (grey, r"takes 'x' \(1, 1, \?, \?\) float"),
        (half_precision, "float16: an input"),
        (batch_of_two, r"\(2, 3, \?, \?\)"),
        (one_side, "fix both or none"),
        (channels_last, r"no feature map \(1, C, h, w\): it has 'last' \(1, 64, 96, 6\)"),
        (only_pooled, "'pooled' "),
        (lambda model: metadata(model, mean="1, 2"), "should be three numbers"),
        (lambda model: metadata(model, mean="1, 2, nan"), "out of range"),
        (lambda model: metadata(model, std="1, 2, 0"), "above 0"),
        (lambda model: metadata(model, channel_order="gbr"), "not rgb or bgr"),
    ],
)
def test_a_network_that_cannot_be_a_backbone(opened, change, message):
    model = tiny_network()
    change(model)
    with pytest.raises(OptionError, match=message) as caught:
        opened(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["empty", "text", "half", "noise", "zeros", "json"])
def test_garbage_is_one_clear_line(tmp_path, kind):
    whole = tiny_network().SerializeToString()
    content = {
        "empty": b"",
        "text": b"just a text file, renamed\n" * 20,
        "half": whole[: len(whole) // 2],
        "noise": np.random.default_rng(0).bytes(5000),
        "zeros": bytes(5000),
        "json": b'{"not": "onnx"}',
    }[kind]
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(OptionError, match=r"net\.onnx' is (empty|not a usable ONNX file)") as caught:
        onnx_backbone(str(path), None)
    assert "\n" not in str(caught.value)


def test_what_has_to_be_given(tmp_path):
    with pytest.raises(OptionError, match="needs a file"):
        onnx_backbone("", None)
    with pytest.raises(OptionError, match="leave --weights out"):
        onnx_backbone("net.onnx", tmp_path / "weights")
    with pytest.raises(OptionError, match="no file"):
        onnx_backbone(str(tmp_path / "absent.onnx"), None)


def test_an_unknown_map_gets_near_matches(opened):
    with pytest.raises(OptionError, match="did you mean coarse"):
        opened(tiny_network()).onnx(["course"], (64, 64))


def test_a_file_over_the_limit_is_not_read(opened, monkeypatch):
    monkeypatch.setattr("edgead_plugins.backbones.weights.MAX_BYTES", 100)
    with pytest.raises(OptionError, match="more than the 100"):
        opened(tiny_network())
