"""ResNets from a .safetensors file: the numbers, and every way in which the file may be wrong."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgead.errors import OptionError
from edgead.types import Backbone, FeatureInfo
from edgead_plugins.backbones import resnet_layers
from edgead_plugins.backbones.resnet import ARCHITECTURES, Architecture, ResNet, resnet_backbone
from tests.plugins.backbones_support import (
    in_onnxruntime,
    in_openvino,
    random_image,
    random_tensors,
    relative_error,
    resnet_oracle,
    save_safetensors,
)

BASIC = Architecture("basic", (2, 1, 1), width=8)
BOTTLENECK = Architecture("bottleneck", (1, 2), width=4, inner=2)


def tensors_of(arch: Architecture, layers: int, seed: int = 0):
    return random_tensors(resnet_layers.expected_shapes(resnet_layers.convolutions(arch, layers)), seed)


@pytest.fixture
def tiny(tmp_path: Path):
    """Save a whole tiny ResNet after ``change`` had its way with the tensors, and open it."""

    def open_(change=lambda tensors: None) -> ResNet:
        tensors = tensors_of(BASIC, 3)
        change(tensors)
        return ResNet("tiny", BASIC, save_safetensors(tensors, tmp_path / "tiny.safetensors"))

    return open_


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("arch", [BASIC, BOTTLENECK], ids=["basic", "bottleneck"])
@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize("size", [(64, 64), (96, 32)])
def test_every_map_is_what_plain_numpy_computes(arch, run, size, tmp_path):
    depth = len(arch.depths)
    tensors = tensors_of(arch, depth)
    backbone = ResNet("tiny", arch, save_safetensors(tensors, tmp_path / "tiny.safetensors"))
    model = backbone.onnx(list(backbone.feature_info), size)
    onnx.checker.check_model(model, full_check=True)
    image = random_image(size)
    right = resnet_oracle(image, tensors, arch.depths)
    found = run(model, image)
    assert list(found) == [f"layer{n}" for n in range(1, depth + 1)]
    for name, value in found.items():
        assert relative_error(value, right[name]) < 1e-5
        info = backbone.feature_info[name]
        assert value.shape == (1, info.channels, size[0] // info.stride, size[1] // info.stride)


@pytest.mark.parametrize("size", [(256, 256), (640, 256)])
def test_both_engines_agree_on_real_weights(size, resnet18_weights):
    backbone = resnet_backbone("resnet18", "", resnet18_weights)
    model = backbone.onnx(["layer1", "layer2", "layer3"], size)
    image = random_image(size)
    one, other = in_onnxruntime(model, image), in_openvino(model, image)
    for name, value in one.items():
        info = backbone.feature_info[name]
        assert value.shape == (1, info.channels, size[0] // info.stride, size[1] // info.stride)
        assert relative_error(other[name], value) < 1e-5


def test_it_describes_itself(resnet18_weights):
    backbone = resnet_backbone("resnet18", "", resnet18_weights)
    assert isinstance(backbone, Backbone)
    assert backbone.feature_info == {
        "layer1": FeatureInfo(64, 4),
        "layer2": FeatureInfo(128, 8),
        "layer3": FeatureInfo(256, 16),
    }
    assert backbone.input.multiple == 16
    assert len(backbone.provenance["weights_sha256"]) == 64


def test_the_graph_ends_at_the_deepest_asked_map(resnet18_weights):
    backbone = resnet_backbone("resnet18", "", resnet18_weights)
    model = backbone.onnx(["layer2"], (64, 64))
    assert [value.name for value in model.graph.output] == ["layer2"]
    assert not any("layer3" in node.name for node in model.graph.node)
    assert not any(node.op_type in ("BatchNormalization", "Constant") for node in model.graph.node)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_published_architectures_have_their_published_size(name):
    # torchvision's parameter counts less the fully connected layer, and less running statistics
    published = {
        "resnet18": 11_689_512 - 513_000,
        "resnet34": 21_797_672 - 513_000,
        "resnet50": 25_557_032 - 2_049_000,
        "resnet101": 44_549_160 - 2_049_000,
        "wide_resnet50_2": 68_883_240 - 2_049_000,
    }
    arch = ARCHITECTURES[name]
    shapes = resnet_layers.expected_shapes(resnet_layers.convolutions(arch, 4))
    assert published[name] == sum(int(np.prod(s)) for key, s in shapes.items() if "running" not in key)


def test_fc_and_batch_counters_do_no_harm(tiny):
    def add(tensors):
        tensors["fc.weight"] = np.zeros((10, 32), np.float32)
        tensors["layer1.0.bn1.num_batches_tracked"] = np.array(7)

    assert list(tiny(add).feature_info) == ["layer1", "layer2", "layer3"]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_float_types_are_read(tiny, dtype):
    def cast(tensors):
        for key in tensors:
            tensors[key] = tensors[key].astype(dtype)

    image = random_image((32, 32))
    right = in_onnxruntime(tiny().onnx(["layer2"], (32, 32)), image)["layer2"]
    found = in_onnxruntime(tiny(cast).onnx(["layer2"], (32, 32)), image)["layer2"]
    assert relative_error(found, right) < (1e-2 if dtype == "float16" else 1e-6)


# ---------------------------------------------------------------- files that can't be used


def drop_layer3_bn(tensors):
    del tensors["layer3.0.bn2.running_var"]


def drop_stem(tensors):
    del tensors["conv1.weight"]


def wrong_shape(tensors):
    tensors["layer2.0.conv1.weight"] = np.zeros((16, 8, 1, 1), np.float32)


def a_block_too_many(tensors):
    for key in [key for key in tensors if key.startswith("layer2.0.bn1")]:
        tensors[key.replace("layer2.0", "layer2.1")] = tensors[key]


def not_a_number(tensors):
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] = np.nan


def negative_variance(tensors):
    tensors["bn1.running_var"][:] = -1.0


def integers(tensors):
    tensors["conv1.weight"] = tensors["conv1.weight"].astype(np.int8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_layer3_bn, "missing, first 'layer3.0.bn2.running_var'"),
        (drop_stem, "missing, first 'conv1.weight'"),
        (wrong_shape, "'layer2.0.conv1.weight' is 16x8x1x1 where 16x8x3x3"),
        (a_block_too_many, "also holds 4 other tensors, first 'layer2.1.bn1"),
        (not_a_number, "'layer1.0.conv1.weight' holds values that aren't finite"),
        (negative_variance, "BatchNorm of 'conv1' has a negative variance"),
        (integers, "'conv1.weight' is I8, a float type is needed"),
        (dict.clear, "tensors are missing"),
    ],
)
def test_tensors_that_do_not_fit(tiny, change, message):
    with pytest.raises(OptionError, match=message) as caught:
        tiny(change)
    assert "\n" not in str(caught.value)


def broken(path: Path, kind: str, whole: bytes) -> Path:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    content = {
        "empty": b"",
        "text": b"just a text file, renamed\n" * 20,
        "half": whole[: len(whole) // 2],
        "short by one": whole[:-1],
        "longer": whole + b"\0",
        "huge header": struct.pack("<Q", 2**60) + b"{}",
        "huge tensor": struct.pack("<Q", len(header)) + header,
        "header only": whole[:8],
    }[kind]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "half", "short by one", "longer", "huge header", "huge tensor", "header only"],
)
def test_a_damaged_file_is_one_clear_line(kind, tmp_path):
    whole = save_safetensors(tensors_of(BASIC, 1), tmp_path / "whole.safetensors").read_bytes()
    with pytest.raises(OptionError, match=r"broken\.safetensors' (is|has)") as caught:
        ResNet("tiny", BASIC, broken(tmp_path / "broken.safetensors", kind, whole))
    assert "\n" not in str(caught.value)


def test_the_wrong_resnet_is_told_by_name(resnet18_weights):
    with pytest.raises(OptionError, match="holds a resnet18, not a resnet34: use --backbone resnet18"):
        resnet_backbone("resnet34", "", resnet18_weights)


def test_a_pickle_is_never_opened(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(tmp_path))
    with pytest.raises(OptionError, match="use --backbone timm:resnet18"):
        resnet_backbone("resnet18", "", file)


def test_what_has_to_be_given(tmp_path):
    with pytest.raises(OptionError, match="needs --weights FILE"):
        resnet_backbone("resnet50", "", None)
    with pytest.raises(OptionError, match="takes no argument"):
        resnet_backbone("resnet50", "x", tmp_path / "x.safetensors")
    with pytest.raises(OptionError, match="no file"):
        resnet_backbone("resnet50", "", tmp_path / "absent.safetensors")
    with pytest.raises(OptionError, match="is not a file"):
        resnet_backbone("resnet50", "", tmp_path)


def test_unknown_maps_and_sizes(tiny):
    with pytest.raises(OptionError, match="did you mean layer3 or"):
        tiny().onnx(["layer4"], (64, 64))
    with pytest.raises(OptionError, match="multiples of 16, not 64x60: use --size 64x64"):
        tiny().onnx(["layer1"], (64, 60))


def test_a_file_over_the_limit_is_not_read(tiny, monkeypatch):
    monkeypatch.setattr("edgead_plugins.backbones.weights.MAX_BYTES", 1000)
    with pytest.raises(OptionError, match="more than the 1,000"):
        tiny()
