"""timm's networks, converted: against torch itself, and with files that don't fit or aren't safe."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgead.errors import OptionError, UnknownNameError
from edgead.types import Backbone, FeatureInfo
from edgead_plugins.backbones import cache, timm_convert
from edgead_plugins.backbones.resnet import resnet_backbone
from edgead_plugins.backbones.timm import timm_backbone
from tests.plugins.backbones_support import (
    MEAN,
    STD,
    in_onnxruntime,
    in_openvino,
    random_image,
    relative_error,
)

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))


def random_state(network: str, seed: int = 0, **options) -> dict[str, torch.Tensor]:
    """Return a network's tensors with BatchNorm statistics that do something."""
    torch.manual_seed(seed)
    state = timm.create_model(network, **options).state_dict()
    for key, value in state.items():
        if key.endswith("running_mean"):
            value.uniform_(-0.5, 0.5)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 2.0)
    return state


def save(state, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def in_torch(network: str, state, image) -> dict[str, np.ndarray]:
    """Run timm's feature network as timm's own documentation does."""
    model = timm.create_model(
        network,
        features_only=True,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(state)},
        out_indices=tuple(range(len(timm.create_model(network).feature_info))),
    ).eval()
    mean, std = (255 * np.array(model.pretrained_cfg[key]) for key in ("mean", "std"))
    x = ((image[..., ::-1] - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        return dict(zip(model.feature_info.module_name(), model(torch.from_numpy(x)), strict=True))


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("size", [(256, 256), (640, 256)])
def test_the_torch_free_resnet_is_timms(size, resnet18_weights):
    from safetensors.torch import load_file

    model = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).eval()
    model.load_state_dict(load_file(resnet18_weights), strict=False)
    image = random_image(size)
    x = ((image[..., ::-1] - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        right = dict(zip(("layer1", "layer2", "layer3"), model(torch.from_numpy(x)), strict=True))
    graph = resnet_backbone("resnet18", "", resnet18_weights).onnx(list(right), size)
    for name, value in in_onnxruntime(graph, image).items():
        assert relative_error(value, right[name].numpy()) < 1e-5
        assert np.abs(value - right[name].numpy()).max() < 1e-4


@pytest.mark.parametrize("network", ["resnet50", "resnet34"])
def test_the_other_torch_free_resnets_are_timms(network, tmp_path):
    state = random_state(network)
    image = random_image((64, 64))
    right = in_torch(network, state, image)
    backbone = resnet_backbone(network, "", save(state, tmp_path / "w.safetensors"))
    assert list(backbone.feature_info) == ["layer1", "layer2", "layer3", "layer4"]
    for name, value in in_onnxruntime(backbone.onnx(["layer1", "layer4"], (64, 64)), image).items():
        assert relative_error(value, right[name].numpy()) < 1e-4


@pytest.mark.parametrize(
    ("network", "size", "maps"),
    [
        ("resnet18", (96, 64), ["layer1", "layer3"]),
        ("test_efficientnet", (64, 96), ["blocks.1"]),
        ("test_mambaout", (96, 64), ["stages.1"]),
        ("test_vit", (160, 160), ["blocks.3"]),
    ],
)
def test_the_converted_graph_is_timms(network, size, maps, tmp_path):
    state = random_state(network)
    backbone = timm_backbone(network, save(state, tmp_path / "w.safetensors"))
    assert isinstance(backbone, Backbone)
    model = backbone.onnx(maps, size)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert not any(node.op_type == "Constant" for node in model.graph.node)
    assert str(Path(timm.__file__).parent).encode() not in model.SerializeToString(), (
        "no paths of this machine"
    )
    image = random_image(size)
    right = in_torch(network, state, image)
    for run in (in_onnxruntime, in_openvino):
        for name, value in run(model, image).items():
            wanted = right[name].numpy()
            info = backbone.feature_info[name]
            if network == "test_mambaout":  # timm gives its maps channels last
                wanted = wanted.transpose(0, 3, 1, 2)
            assert value.shape == (1, info.channels, size[0] // info.stride, size[1] // info.stride)
            assert relative_error(value, wanted) < 1e-4


def test_a_part_of_the_network_feeds_a_part_of_the_maps(resnet18_weights):
    backbone = timm_backbone("resnet18", resnet18_weights)
    assert list(backbone.feature_info) == ["act1", "layer1", "layer2", "layer3"]
    assert backbone.feature_info["layer3"] == FeatureInfo(256, 16)
    assert backbone.input.multiple == 16
    with pytest.raises(OptionError, match=r"lacks weights that 'layer4' .* first 'layer4\.0\.conv1\.weight'"):
        backbone.onnx(["layer4"], (64, 64))
    with pytest.raises(OptionError, match="did you mean layer3"):
        backbone.onnx(["layr3"], (64, 64))


def test_a_transformer_has_one_size(tmp_path):
    weights = save(random_state("test_vit"), tmp_path / "w.safetensors")
    backbone = timm_backbone("test_vit", weights)
    assert backbone.input.size == (160, 160)
    with pytest.raises(OptionError, match="takes 160x160 only"):
        backbone.onnx(["blocks.3"], (256, 256))


# ---------------------------------------------------------------- weights files


def test_a_pth_of_tensors_is_read_and_a_new_head_ignored(tmp_path):
    state = random_state("test_efficientnet", num_classes=3)
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "w.pth")
    one = timm_backbone("test_efficientnet", tmp_path / "w.pth")
    other = timm_backbone("test_efficientnet", save(state, tmp_path / "w.safetensors"))
    image = random_image((64, 64))
    found = [in_onnxruntime(each.onnx(["blocks.1"], (64, 64)), image)["blocks.1"] for each in (one, other)]
    np.testing.assert_array_equal(*found)


class Malicious:
    def __reduce__(self):
        return (os.mkdir, (str(Path(os.environ["EDGEAD_CACHE"]).parent / "executed"),))


@pytest.mark.parametrize("how", ["pickle", "torch", "zip"])
def test_a_malicious_pickle_is_refused(how, tmp_path):
    file = tmp_path / "w.pth"
    if how == "torch":
        torch.save({"conv1.weight": Malicious()}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps({"conv1.weight": Malicious()}))
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("w/data.pkl", pickle.dumps(Malicious()))
    with pytest.raises(OptionError, match=r"w\.pth' holds more than tensors") as caught:
        timm_backbone("resnet18", file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
    if how == "pickle":  # the file would have done it
        pickle.loads(file.read_bytes())
        assert (tmp_path / "executed").exists()


def test_files_that_do_not_fit(tmp_path, resnet18_weights):
    with pytest.raises(OptionError, match="' is 64x64x3x3, 64x64x1x1 is needed"):
        timm_backbone("resnet50", resnet18_weights)
    with pytest.raises(OptionError, match="have no place in it, first"):
        timm_backbone("test_efficientnet", resnet18_weights)
    half = tmp_path / "half.safetensors"
    half.write_bytes(resnet18_weights.read_bytes()[:100_000])
    with pytest.raises(OptionError, match="not a whole"):
        timm_backbone("resnet18", half)
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(OptionError, match="isn't a state dictionary"):
        timm_backbone("resnet18", tmp_path / "list.pth")
    with pytest.raises(OptionError, match="no file"):
        timm_backbone("resnet18", tmp_path / "absent.pth")
    only_head = save({"fc.weight": torch.zeros(1000, 512)}, tmp_path / "head.safetensors")
    with pytest.raises(OptionError, match="feed no feature map"):
        timm_backbone("resnet18", only_head)


# ---------------------------------------------------------------- names and the hub


def test_names_that_timm_does_not_know():
    with pytest.raises(UnknownNameError, match="did you mean resnet18"):
        timm_backbone("resnt18", None)
    with pytest.raises(OptionError, match="Invalid pretrained tag"):
        timm_backbone("resnet18.nobody", None)
    with pytest.raises(UnknownNameError):
        timm_backbone("hf-hub:someone/something", None)


def test_a_network_without_feature_maps(tmp_path, monkeypatch):
    create = timm.create_model

    def refuses(network, features_only=False, **options):
        if features_only:
            raise RuntimeError("features_only not implemented for this one.")
        return create(network, **options)

    weights = save(random_state("test_efficientnet"), tmp_path / "w.safetensors")
    monkeypatch.setattr(timm, "create_model", refuses)
    with pytest.raises(OptionError, match="yields no feature maps: features_only not implemented"):
        timm_backbone("test_efficientnet", weights)


def test_an_unreachable_hub_is_one_clear_line(monkeypatch, tmp_path, capfd):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OptionError, match="can't get timm's weights for 'resnet18'") as caught:
        timm_backbone("resnet18", None)
    assert "\n" not in str(caught.value) and "give --weights FILE" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_timms_own_weights_are_described_by_their_values(monkeypatch, tmp_path):
    """What a download leads to, with the download itself replaced."""
    state = random_state("test_efficientnet")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *a, **k: dict(state))
    backbone = timm_backbone("test_efficientnet", None)
    digest = backbone.provenance["weights_sha256"]
    assert len(digest) == 64 and backbone.provenance["weights_file"] == "timm's download"
    backbone.onnx(["blocks.0"], (64, 64))

    state = random_state("test_efficientnet", seed=1)
    with pytest.raises(OptionError, match="are others than when it was first used"):
        timm_backbone("test_efficientnet", None).onnx(["blocks.0"], (96, 96))


# ---------------------------------------------------------------- the cache


def test_the_second_time_nothing_is_converted(tmp_path, monkeypatch):
    weights = save(random_state("test_efficientnet"), tmp_path / "w.safetensors")
    first = timm_backbone("test_efficientnet", weights)
    graph = first.onnx(["blocks.0", "blocks.1"], (64, 64)).SerializeToString()

    def never(*_):
        raise AssertionError("torch was asked for")

    with monkeypatch.context() as patched:
        patched.setattr(timm_convert, "_import_torch", never)
        second = timm_backbone("test_efficientnet", weights)
        assert second.provenance == first.provenance and second.feature_info == first.feature_info
        assert second.onnx(["blocks.0", "blocks.1"], (64, 64)).SerializeToString() == graph
        for maps, size in ((["blocks.0"], (64, 64)), (["blocks.0", "blocks.1"], (64, 96))):
            with pytest.raises(AssertionError, match="torch was asked for"):
                second.onnx(maps, size)

    for entry in Path(cache.place()).iterdir():  # every one of them damaged
        entry.write_bytes(entry.read_bytes()[:-1])
    third = timm_backbone("test_efficientnet", weights)
    assert third.onnx(["blocks.0", "blocks.1"], (64, 64)).SerializeToString() == graph


def test_other_weights_are_another_entry(tmp_path):
    image = random_image((64, 64))
    found = []
    for seed in (0, 1):
        save(random_state("test_efficientnet", seed), tmp_path / "w.safetensors")
        backbone = timm_backbone("test_efficientnet", tmp_path / "w.safetensors")
        found.append(in_onnxruntime(backbone.onnx(["blocks.0"], (64, 64)), image)["blocks.0"])
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_converting_says_nothing(tmp_path, capfd):
    weights = save(random_state("test_efficientnet"), tmp_path / "w.safetensors")
    timm_backbone("test_efficientnet", weights).onnx(["blocks.0"], (64, 64))
    assert capfd.readouterr() == ("", "")
    assert "onnxscript" in sys.modules
