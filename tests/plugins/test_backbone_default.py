"""The shipped backbones keep what they promise."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edgead.errors import OptionError
from edgead.types import Backbone, Size
from edgead_plugins.backbones import default
from edgead_plugins.backbones.default import DefaultBackbone, default_backbone, default_small_backbone
from edgead_plugins.backbones.generated import generate

MAPS = ("stage1", "stage2", "stage3")
CONVOLUTIONS = {"stage1": 4, "stage2": 7, "stage3": 10}

FILES = [default.FILE, default.SMALL_FILE]
# The largest file in bytes, the least cosine and share explained, and points of detection behind the teacher.
PROMISED = {"default": (6_000_000, 0.7, 0.5, 5), "default-small": (2_500_000, 0.6, 0.35, 8)}
both = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)

# ---------------------------------------------------------------- the shipped files


def in_onnxruntime(model: onnx.ModelProto, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, {"image": image[None]}), strict=True))


def in_openvino(model: onnx.ModelProto, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    ov = pytest.importorskip("openvino")
    import io

    core = ov.Core()
    network = core.read_model(io.BytesIO(model.SerializeToString()))
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(image[None])
    return {value.name: result[value.name] for value in model.graph.output}


# stride, dilation, shortcut of each convolution, as docs/default-backbone.md has them
LAYERS = {
    "stage1": ((2, 1, False), (2, 1, False), (1, 1, True), (1, 1, False)),
    "stage2": ((2, 1, False), (1, 1, True), (1, 1, False)),
    "stage3": ((2, 1, False), (1, 2, True), (1, 1, False)),
}


def in_numpy(file: Path, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The network as its documentation describes it: RGB, ImageNet's mean and std, convolution, sum, ReLU."""
    weights = {value.name: numpy_helper.to_array(value) for value in onnx.load(file).graph.initializer}
    x = (image[..., ::-1] - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    x = x.transpose(2, 0, 1)
    maps = {}
    for name, layers in LAYERS.items():
        for i, (stride, dilation, shortcut) in enumerate(layers):
            weight = weights[f"{name}.{i}.weight.fp16"].astype(np.float64)
            kernel = weight.shape[2]
            reach = dilation * (kernel - 1) + 1
            padded = np.pad(x, ((0, 0), (reach // 2, reach // 2), (reach // 2, reach // 2)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), (1, 2))
            windows = windows[:, ::stride, ::stride, ::dilation, ::dilation]
            y = np.einsum("oikl,ihwkl->ohw", weight, windows)
            y = y + weights[f"{name}.{i}.bias.fp16"].astype(np.float64)[:, None, None]
            x = np.maximum(y + x if shortcut else y, 0)
        maps[name] = x
    return maps


@both
def test_it_is_a_backbone_with_its_history(file: Path) -> None:
    backbone = {"default": default_backbone, "default-small": default_small_backbone}[file.stem]("", None)
    assert isinstance(backbone, Backbone)
    assert backbone.name == file.stem
    assert file.stat().st_size <= PROMISED[file.stem][0]
    facts = backbone.provenance
    assert facts["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "train_default.py" in facts["made_by"]
    assert "BSD-3" in facts["teacher_licence"]
    assert len(facts["teacher_sha256"]) == 64
    assert json.loads(facts["training"]).keys() >= {"seed", "steps"}
    assert {"pictures", "agreement", "detection"} <= set(facts)


@both
def test_it_learnt_something(file: Path) -> None:
    """The figures that the script wrote into the file: near its teacher, and random weights are far."""
    facts = DefaultBackbone(file).provenance
    _, cosine, explained, behind = PROMISED[file.stem]
    for row in json.loads(facts["agreement"]).values():
        assert row["cosine"] > cosine
        assert row["explained"] > explained
    detection = json.loads(facts["detection"])
    for level in ("image", "pixel"):
        assert detection["random weights"][level] < detection["trained"][level] - 2
        assert detection["trained"][level] > detection["teacher"][level] - behind


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (224, 224), (640, 256)])
@both
def test_feature_info_is_true(file: Path, size: Size) -> None:
    backbone = DefaultBackbone(file)
    maps = in_onnxruntime(backbone.onnx(MAPS, size), generate(1, 0, size))
    assert list(maps) == list(MAPS) == list(backbone.feature_info)
    for name, info in backbone.feature_info.items():
        assert maps[name].shape == (1, info.channels, size[0] // info.stride, size[1] // info.stride)
        assert maps[name].dtype == np.float32
        assert maps[name].min() >= 0


@both
def test_both_engines_agree_with_plain_numpy(file: Path) -> None:
    image = generate(1, 4, (64, 48))
    expected = in_numpy(file, image)
    model = DefaultBackbone(file).onnx(MAPS, (64, 48))
    for run in (in_onnxruntime, in_openvino):
        maps = run(model, image)
        for name in MAPS:
            np.testing.assert_allclose(maps[name][0], expected[name], atol=2e-4 * expected[name].max())


@pytest.mark.parametrize("read", [in_onnxruntime, in_openvino])
def test_the_file_itself_loads(read: Any) -> None:
    """It's a plain ONNX file for anyone: float NCHW input, normalised RGB."""
    model = onnx.load(default.FILE)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input"]
    if read is in_onnxruntime:
        ort = pytest.importorskip("onnxruntime")
        session = ort.InferenceSession(default.FILE, providers=["CPUExecutionProvider"])
        (stage3,) = session.run(["stage3"], {"input": np.zeros((2, 3, 32, 48), np.float32)})
    else:
        ov = pytest.importorskip("openvino")
        compiled = ov.Core().compile_model(str(default.FILE), "CPU")
        stage3 = compiled(np.zeros((2, 3, 32, 48), np.float32))["stage3"]
    assert stage3.shape == (2, 256, 2, 3)


@pytest.mark.parametrize("asked", [("stage1",), ("stage2",), ("stage1", "stage2"), ("stage3",)])
def test_only_what_is_asked_is_in_the_graph(asked: tuple[str, ...]) -> None:
    model = default_backbone().onnx(asked, (64, 64))
    operators = [node.op_type for node in model.graph.node]
    assert [value.name for value in model.graph.output] == list(asked)
    assert operators.count("Conv") == CONVOLUTIONS[asked[-1]]
    assert operators.count("Cast") == 1, "the image's own; weights are FP32 already"
    assert "Constant" not in operators
    read = {name for node in model.graph.node for name in node.input}
    assert {value.name for value in model.graph.initializer} <= read
    assert all(value.data_type == onnx.TensorProto.FLOAT for value in model.graph.initializer)
    assert model.opset_import[0].version == 18
    onnx.checker.check_model(model, full_check=True)


def test_a_graph_does_not_depend_on_those_before_it() -> None:
    first = default_backbone().onnx(MAPS, (64, 64)).SerializeToString()
    default_backbone().onnx(("stage1",), (128, 32))
    assert default_backbone().onnx(MAPS, (64, 64)).SerializeToString() == first


@pytest.mark.parametrize("size", [(224, 220), (100, 224), (0, 0), (-16, 16), (8, 16), (16, 1 << 20)])
def test_a_size_that_does_not_fit_is_refused(size: Size) -> None:
    with pytest.raises(OptionError, match=f"{size[0]}x{size[1]}") as caught:
        default_backbone().onnx(("stage2",), size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", [("stage4",), ("layer2",), ()])
def test_a_map_that_does_not_exist_is_refused(asked: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="stage"):
        default_backbone().onnx(asked, (64, 64))


@pytest.mark.parametrize("make", [default_backbone, default_small_backbone])
def test_an_argument_or_weights_are_refused(make: Any) -> None:
    with pytest.raises(OptionError, match="takes no argument"):
        make("resnet18")
    with pytest.raises(OptionError, match=r"mine\.safetensors"):
        make("", Path("mine.safetensors"))


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgead_plugins.backbones.default import default_backbone as d; d().feature_info;"
        "sys.exit(bool({'onnx', 'torch', 'onnxruntime', 'openvino', 'spox'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
