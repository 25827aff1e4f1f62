"""Sessions: engine choice and each engine fault as one line."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from edgead.errors import CompileError, DeviceError, MissingDependencyError, UnknownNameError
from edgead.extras import install
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session


@pytest.mark.parametrize(("engine", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_an_engine_that_is_not_installed_names_its_extra(engine, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(MissingDependencyError) as error:
        open_session(tmp_path / "model.onnx", engine)
    assert f'pip install "edgead[{extra}]"' in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("engine", "model", "other"),
    [
        ("openvino", "model.onnx", "onnxruntime"),
        ("onnxruntime", "model.onnx", "openvino"),
        ("openvino", "model.xml", "onnxruntime"),
    ],
)
@pytest.mark.parametrize("other_is_there", [True, False])
def test_another_engine_is_advised_only_where_it_would_help(
    engine, model, other, other_is_there, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, engine, None)
    if not other_is_there:
        monkeypatch.setitem(sys.modules, other, None)
    with pytest.raises(MissingDependencyError) as error:
        open_session(tmp_path / model, engine)
    helps = other_is_there and model == "model.onnx"
    assert (f"or use --engine {other}" in str(error.value)) == helps
    assert helps or "--engine" not in str(error.value)


def test_without_any_engine_auto_names_one_to_install(tmp_path, monkeypatch):
    for engine in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(MissingDependencyError) as error:
        open_session(tmp_path / "model.onnx")
    assert str(error.value) == f"openvino isn't installed: {install('openvino')}"


def test_auto_takes_the_engine_that_is_there(reference_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_session(reference_bundle.file("model.onnx")).engine == "onnxruntime"


def test_an_engine_that_cannot_read_the_model_is_refused_before_it_is_tried(
    compiled, capsys, monkeypatch, tmp_path
):
    from edgead.cli import main

    (tmp_path / "photo.png").touch()

    path = compiled("openvino").bundle.path
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # it isn't even looked for
    assert main(["run", str(path), str(tmp_path / "photo.png"), "--engine", "onnxruntime"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: onnxruntime can't read model.xml, only openvino can: leave the engine out")


@pytest.mark.parametrize("name", ["model.pb", "model.tflite", "model.pt", "model"])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "auto"])
def test_only_onnx_and_openvinos_own_files_reach_an_engine(name, engine, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CompileError, match=r"no engine reads it; models are \.onnx"):
        open_session(tmp_path / name, engine)


def test_options_that_change_nothing_are_said(compiled, caplog):
    file = compiled("onnx").bundle.file("model.onnx")
    for options in ({}, {"throughput": True}, {"cache": True}, {"throughput": True, "cache": True}):
        caplog.clear()
        open_session(file, "onnxruntime", EngineOptions(**options))
        assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
            f"onnxruntime has no {name} on CPU: the option changes nothing"
            for name in options
            if name == "cache"  # throughput is what the workbench asks of every engine: told at INFO
        ]


def test_options_that_openvino_honours_are_not_warned_of(compiled, caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    options = EngineOptions(throughput=True, cache=True)
    open_session(compiled("onnx").bundle.file("model.onnx"), "openvino", options)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_detector_for_throughput_is_the_same_where_there_is_no_such_form(compiled, caplog):
    import edgead

    detector = edgead.load(compiled("onnx").bundle.path)
    assert detector.with_throughput()._session is detector._session
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


LOADS = """
import logging, sys
import edgead
root, ours = logging.getLogger(), logging.getLogger("edgead")
edgead.load(sys.argv[1])
assert not root.handlers and not ours.handlers and ours.level == 0
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
edgead.load(sys.argv[1], threads=1, cache=True)
edgead.load(sys.argv[1], threads=1, cache=True)
"""


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_loading_tells_what_was_loaded_where_and_sets_no_handler(target, compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    path = compiled(target).bundle.path
    words = [sys.executable, "-c", LOADS, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    said = [line for line in done.stderr.splitlines() if line.startswith("edgead")]
    engine = {"openvino": "openvino", "onnx": "onnxruntime"}[target]
    assert sum(f"{path}: patchcore fp32 for {target}" in line and "threads 1" in line for line in said) == 2
    assert sum("3 warm-up runs" in line and " DEBUG " in line for line in said) == 2
    version = __import__(engine).__version__
    assert sum(f"INFO {engine} {version}" in line for line in said) == 2
    if target == "openvino":
        assert sum("model.xml compiled in" in line for line in said) == 1
        assert sum("model.xml taken from the cache in" in line for line in said) == 1


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07"])
def test_a_file_that_is_no_model(engine, content, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(CompileError) as error:
        open_session(file, engine)
    assert "\n" not in str(error.value) and str(error.value).startswith("model.onnx: ")


def test_an_engine_that_nobody_knows(tmp_path):
    with pytest.raises(UnknownNameError, match="no engine named 'tensorrt'"):
        open_session(tmp_path / "model.onnx", "tensorrt")


def test_a_device_that_is_not_there(reference_bundle):
    file = reference_bundle.file("model.onnx")
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(DeviceError, match="no device"):
            open_session(file, engine, EngineOptions(device="TPU"))


def test_auto_takes_openvino_and_both_report_float_execution(reference_bundle):
    file = reference_bundle.file("model.onnx")
    image = np.zeros((1, *reference_bundle.manifest.input.size, 3), np.uint8)
    auto, other = open_session(file), open_session(file, "onnxruntime")
    assert auto.engine == "openvino" and auto.input_shape == other.input_shape == image.shape
    assert set(auto.execution()) == set(other.execution()) == {"f32"}
    assert set(auto(image)) == set(other(image)) == {"anomaly_map", "score"}
