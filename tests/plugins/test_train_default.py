"""The script that trains the ``default`` backbone, run for real on a tiny budget."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from edgead.types import FeatureInfo, InputSpec, Size

pytestmark = pytest.mark.torch
pytest.importorskip("torch")
pytest.importorskip("openvino")

TOOLS = Path(__file__).resolve().parents[2] / "tools"
TINY = ["--rounds", "3", "--chunk", "4", "--uses", "2", "--batch", "4", "--side", "32"]
TINY += ["--held-out", "4", "--products", "1"]


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module, its judge content with few and small pictures."""
    sys.path.insert(0, str(TOOLS))
    module = importlib.import_module("train_default")
    from distillation import judge

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SIDE": 64, "GOOD": 4, "BANK": 2}.items():
            patch.setattr(judge, name, value)
        yield module
    sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 of random weights up to layer3, in torchvision's key names."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    tensors: dict[str, torch.Tensor] = {}

    def convolution(conv: str, norm: str, out: int, entering: int, kernel: int) -> None:
        spread = (2 / (entering * kernel**2)) ** 0.5
        tensors[f"{conv}.weight"] = spread * torch.randn(out, entering, kernel, kernel)
        for part in ("weight", "running_var"):
            tensors[f"{norm}.{part}"] = torch.ones(out)
        for part in ("bias", "running_mean"):
            tensors[f"{norm}.{part}"] = torch.zeros(out)

    convolution("conv1", "bn1", 64, 3, 7)
    entering = 64
    for layer, out in ((1, 64), (2, 128), (3, 256)):
        for block in range(2):
            key = f"layer{layer}.{block}"
            convolution(f"{key}.conv1", f"{key}.bn1", out, entering, 3)
            convolution(f"{key}.conv2", f"{key}.bn2", out, out, 3)
            if entering != out:
                convolution(f"{key}.downsample.0", f"{key}.downsample.1", out, entering, 1)
            entering = out
    file = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file(tensors, file)
    return file


@pytest.mark.parametrize("network", ["default", "default-small"])
def test_export_folds_batch_norm(script: ModuleType, network: str) -> None:
    import torch
    from distillation.student import NETWORKS, Student, to_onnx
    from onnx.reference import ReferenceEvaluator

    torch.manual_seed(0)
    student = Student((64, 128, 256), NETWORKS[network]).eval()
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2),
            ):
                torch.nn.init.uniform_(tensor, low, high)
    x = torch.randn(1, 3, 16, 32)
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in student(x)]
    got = ReferenceEvaluator(to_onnx(student, {"made_by": "a test"})).run(None, {"input": x.numpy()})
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=5e-3 * theirs.max())  # weights are stored in FP16


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    script: ModuleType,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ["--teacher-weights", str(weights), *TINY]
    script.main([*common, "--out", str(tmp_path / "whole.onnx")])
    printed = capsys.readouterr().out
    for word in ("round 3/3", "random weights", "trained", "teacher", "cosine", "image AUROC"):
        assert word in printed

    distance, calls = script.distance, iter(range(9))

    def power_cut(*args: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return distance(*args)

    resumed = [*common, "--out", str(tmp_path / "resumed.onnx"), "--checkpoint", str(tmp_path / "state")]
    monkeypatch.setattr(script, "distance", power_cut)
    with pytest.raises(KeyboardInterrupt):
        script.main(resumed)
    assert not (tmp_path / "resumed.onnx").exists()
    monkeypatch.setattr(script, "distance", distance)
    script.main(resumed)
    assert "resumed after round 2" in capsys.readouterr().out
    assert (tmp_path / "resumed.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()

    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "whole.onnx").metadata_props}
    assert json.loads(facts["training"])["steps"] == 6
    assert json.loads(facts["agreement"]).keys() == {"stage1", "stage2", "stage3"}
    assert json.loads(facts["detection"]).keys() == {"random weights", "trained", "teacher"}
    assert "BSD-3" in facts["teacher_licence"]
    assert len(facts["teacher_sha256"]) == 64

    with pytest.raises(SystemExit, match="other settings"):
        script.main([*resumed, "--seed", "5"])


@pytest.mark.parametrize("network", ["default", "default-small"])
def test_training_brings_the_student_nearer(script: ModuleType, weights: Path, network: str) -> None:
    """A few steps on one batch already lower the loss, or nothing is learnt at all."""
    import torch
    from distillation.pictures import as_input, channel_moments, make_chunk
    from distillation.teacher import Teacher

    teacher = Teacher("resnet18", weights, "f32", 1)
    chunk = make_chunk(teacher, 0, 0, 6, 64)
    moments = channel_moments(chunk)
    student = script.new_student(
        argparse.Namespace(seed=0, network=network), teacher, moments, torch.device("cpu")
    ).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=3e-3)
    targets = [torch.from_numpy(m).float() / d for m, (_, d) in zip(chunk.maps, moments, strict=True)]
    losses = []
    for _ in range(15):
        loss = script.distance(student(as_input(chunk.images)), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_each_picture_is_shown_once_a_round_and_stays_for_some(script: ModuleType, weights: Path) -> None:
    from distillation.pictures import Window
    from distillation.teacher import Teacher

    window = Window(Teacher("resnet18", weights, "f32", 1), seed=0, side=32, chunk=4, uses=2)
    rounds = [[x for x, _ in window.round(number, 3)] for number in range(3)]
    shown = [[picture.numpy().tobytes() for x in batches for picture in x] for batches in rounds]
    assert [len(set(pictures)) for pictures in shown] == [8, 8, 8]
    assert len(set(shown[0]) & set(shown[1])) == 4
    assert not set(shown[0]) & set(shown[2])
    again = Window(window.teacher, seed=0, side=32, chunk=4, uses=2)
    assert [x.numpy().tobytes() for x, _ in again.round(2, 3)] == [x.numpy().tobytes() for x in rounds[2]]


def test_any_backbone_can_teach_if_it_has_the_strides(script: ModuleType, weights: Path) -> None:
    from distillation.teacher import Teacher

    teacher = Teacher("default", None, "f32", 1)
    assert teacher.channels == [64, 128, 256]
    maps = teacher(np.zeros((32, 48, 3), np.uint8))
    assert [m.shape for m in maps] == [(64, 8, 12), (128, 4, 6), (256, 2, 3)]
    assert len(teacher.facts["teacher_sha256"]) == 64


def test_a_teacher_without_the_strides_is_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillation import teacher

    class Coarse:
        feature_info: ClassVar = {"only": FeatureInfo(8, 32)}
        input = InputSpec()

        def onnx(self, maps: Any, size: Size) -> Any:
            raise AssertionError

    monkeypatch.setattr(teacher, "registry", lambda: type("R", (), {"get": lambda *_: lambda *_: Coarse()})())
    with pytest.raises(SystemExit, match="stride 4"):
        teacher.Teacher("coarse", None, "f32", 1)
