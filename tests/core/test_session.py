"""Sessions: engine choice and each engine fault as one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edgead.errors import CompileError, DeviceError, MissingDependencyError, OptionError
from edgead.runtime.session import open_session


@pytest.mark.parametrize(("engine", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_an_engine_that_is_not_installed_names_its_extra(engine, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(MissingDependencyError) as error:
        open_session(tmp_path / "model.onnx", engine)
    assert f'pip install "edgead[{extra}]"' in str(error.value)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" * 40])
def test_a_file_that_is_no_model(engine, content, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(CompileError) as error:
        open_session(file, engine)
    assert "\n" not in str(error.value) and str(error.value).startswith("model.onnx: ")


def test_an_engine_that_nobody_knows(tmp_path):
    with pytest.raises(OptionError, match="no engine named 'tensorrt'"):
        open_session(tmp_path / "model.onnx", "tensorrt")


def test_a_device_that_is_not_there(reference_bundle):
    file = reference_bundle.file("model.onnx")
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(DeviceError, match="no device"):
            open_session(file, engine, device="TPU")


def test_auto_takes_openvino_and_both_report_float_execution(reference_bundle):
    file = reference_bundle.file("model.onnx")
    image = np.zeros((1, *reference_bundle.manifest.input.size, 3), np.uint8)
    auto, other = open_session(file), open_session(file, "onnxruntime")
    assert auto.engine == "openvino" and auto.input_shape == other.input_shape == image.shape
    assert set(auto.execution()) == set(other.execution()) == {"f32"}
    assert set(auto(image)) == set(other(image)) == {"anomaly_map", "score"}
