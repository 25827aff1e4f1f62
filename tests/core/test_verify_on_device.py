"""``edgead verify --on-device``: it passes a device that agrees with exact arithmetic, and no other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from edgead.cli import cli
from edgead.errors import FileSizeError, HashMismatchError, InputError, ParityError
from edgead.runtime import onnxruntime_session
from tests.bundles import good_image, write_images
from tests.sealed import change_manifest

Plain = onnxruntime_session.ONNXRuntimeSession


def verify(bundle, *words):
    return CliRunner().invoke(cli, ["verify", str(bundle), *map(str, words)])


@pytest.fixture
def jetson(compiled):
    return compiled("jetson", "int8").bundle.path


@pytest.fixture
def device(monkeypatch):
    """``device(judge)``: what stands for the device's provider yields ``judge(outputs)`` of the CPU's."""

    def stand_in(judge):
        class Device(Plain):
            def __init__(self, model, options):
                super().__init__(model, replace(options, device="CPU"))
                self.runs_on = "onnxruntime on TensorRT (a stand-in)"

            def __call__(self, image):
                outputs = {name: np.array(value) for name, value in super().__call__(image).items()}
                return judge(outputs)

        monkeypatch.setattr(onnxruntime_session, "ONNXRuntimeSession", Device)

    return stand_in


def scaled(name, factor):
    return lambda outputs: outputs | {name: outputs[name] * np.float32(factor)}


def test_it_passes_the_cpu(jetson):
    result = verify(jetson, "--on-device")
    assert result.exit_code == 0, result.output
    assert "onnxruntime on " in result.output and "0 verdicts flipped" in result.output


@pytest.mark.parametrize(("name", "factor"), [("score", 1.01), ("anomaly_map", 0.97)])
def test_it_passes_a_device_that_rounds(name, factor, jetson, device):
    device(scaled(name, factor))
    result = verify(jetson, "--on-device")
    assert result.exit_code == 0, result.output
    assert "TensorRT (a stand-in)" in result.output and f"{name.split('_')[-1]} 0.00%" not in result.output


@pytest.mark.parametrize(
    "judge",
    [
        scaled("score", 1.2),
        scaled("anomaly_map", 0.8),
        scaled("score", np.nan),
        lambda outputs: outputs | {"anomaly_map": outputs["anomaly_map"][..., ::-1]},
    ],
    ids=["score", "map", "not-finite", "mirrored"],
)
def test_it_fails_a_device_that_judges_otherwise(judge, jetson, device):
    device(judge)
    fault = verify(jetson, "--on-device").exception
    assert isinstance(fault, ParityError) and "\n" not in str(fault)
    assert "TensorRT (a stand-in)" in str(fault) and "name another --engine or --device" in str(fault)
    assert verify(jetson).exit_code == 0  # its files are whole


def test_a_tampered_model_is_never_run(jetson, device, tmp_path):
    device(lambda outputs: pytest.fail("it was run"))
    bundle = shutil.copytree(jetson, tmp_path / "other.edgead")
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    fault = verify(bundle, "--on-device").exception
    assert isinstance(fault, HashMismatchError) and "model.onnx" in str(fault)


def test_it_passes_every_target(compiled):
    for target in ("onnx", "openvino"):
        if target == "openvino":
            pytest.importorskip("openvino", reason="needs the [openvino] extra")
        result = verify(compiled(target, "int8").bundle.path, "--on-device")
        assert result.exit_code == 0 and "on 8 images" in result.output, result.output


def test_json_says_the_same_of_whole_and_of_damaged_bundles(compiled, tmp_path):
    whole = compiled("onnx", "int8").bundle.path
    broken = shutil.copytree(whole, tmp_path / "broken.edgead")
    (broken / "model.onnx").write_bytes(b"x")
    result = CliRunner().invoke(cli, ["verify", str(whole), str(broken), "--on-device", "--json"])
    good, bad = json.loads(result.stdout)
    assert good["ok"] and good["runs_on"].startswith("onnxruntime") and good["parity"][0]["flips"] == 0
    assert not bad["ok"] and bad["kind"] == "FileSizeError" and "model.onnx" in bad["error"]
    assert isinstance(result.exception, FileSizeError)


def test_it_needs_images_and_takes_the_users(compiled, tmp_path):
    bundle = shutil.copytree(compiled("onnx", "fp32").bundle.path, tmp_path / "bare.edgead")
    change_manifest(bundle, lambda manifest: manifest.update(probes=[]))
    fault = verify(bundle, "--on-device").exception
    assert isinstance(fault, InputError) and "carries no images: give some good ones with --images" in str(
        fault
    )
    images = write_images(tmp_path / "good", [good_image(i, (50, 70)) for i in range(3)])
    result = verify(bundle, "--on-device", "--images", images)
    assert result.exit_code == 0, result.output
    assert "on 8 images" in result.output  # three, a variant of each, black and white
    assert verify(bundle, "--images", images).exit_code == 2


def test_only_onnx_graphs_are_compared_on_other_images(compiled, tmp_path):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    images = write_images(tmp_path / "good", [good_image(1)])
    fault = verify(compiled("openvino", "fp32").bundle.path, "--on-device", "--images", images).exception
    assert isinstance(fault, InputError) and "compares ONNX graphs, this one is xml" in str(fault)
