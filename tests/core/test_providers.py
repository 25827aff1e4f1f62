"""A Jetson's bundle on providers that aren't there, don't load, break or lie; and its engine's cache."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from edgead.errors import CompileError, DeviceError
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.model_bytes import SETTINGS, model_of, read_model
from edgead.runtime.nvidia import device
from edgead.runtime.onnxruntime_session import ONNXRuntimeSession
from edgead.runtime.providers import available_line, read_candidates

TRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
ORIN = ("NVIDIA Jetson Orin Nano", ("R36 (release), REVISION: 4.3", "aarch64"))


class Options:
    log_severity_level = intra_op_num_threads = 0


class Value:
    def __init__(self, name, shape):
        self.name, self.shape, self.type = name, shape, "tensor(uint8)"


class Runtime:
    """Stands for the onnxruntime package: ``broken`` maps a provider to what goes wrong with it."""

    __version__ = "1.23.0"
    SessionOptions = Options

    def __init__(self, there=(TRT, CUDA, CPU), **broken):
        self.there, self.broken, self.built, self.asked = list(there), broken, 0, []

    def get_available_providers(self):
        return self.there

    def InferenceSession(self, model, options, providers, enable_fallback):
        return Session(self, providers)


class Session:
    def __init__(self, runtime, providers):
        names = [name for name, _ in providers]
        runtime.asked.append(names)
        self.names, self.fault = names, runtime.broken.get(names[0].removesuffix("ExecutionProvider"))
        self.nan = self.fault == "nan"
        if self.fault == "raises":
            raise RuntimeError("first line\n[ONNXRuntimeError] : 1 : FAIL : CUDA error cudaErrorNoDevice.")
        options = dict(providers)[names[0]]
        if names[0] == TRT and options["trt_engine_cache_enable"] == "1":
            from pathlib import Path

            engine = Path(options["trt_engine_cache_path"]) / "graph.engine"
            kept = engine.exists()
            if kept and self.fault == "stale":
                raise RuntimeError("could not deserialize engine")
            if not kept:
                runtime.built += 1
                engine.write_bytes(b"machine code")
                if self.fault == "halfway":
                    raise RuntimeError("out of memory while it was built")
            self.nan = self.fault == "nan" or (kept and self.fault == "lying")

    def get_providers(self):
        return self.names[1:] if self.fault == "silent" else self.names

    def get_inputs(self):
        return [Value("image", [1, 4, 4, 3])]

    def get_outputs(self):
        return [Value("anomaly_map", []), Value("score", [])]

    def run(self, names, inputs):
        assert inputs["image"].dtype == np.uint8
        value = np.nan if self.nan else 3.0
        return [np.full((1, 1, 4, 4), 1.0, np.float32), np.array([value], np.float32)]


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a graph")
    options = {"trt_engine_cache_enable": "1", "trt_int8_enable": "1"}
    providers = [{"name": TRT, "options": options}, {"name": CUDA, "options": {"use_tf32": "0"}},
                 {"name": CPU, "options": {}}]  # fmt: skip
    (tmp_path / SETTINGS).write_text(json.dumps({"providers": providers}))
    return file


def opened(model, runtime, device="auto", system=ORIN):
    return ONNXRuntimeSession(read_model(model), EngineOptions(device), ort=runtime, system=system)


def test_tensorrt_comes_first_and_builds_once(model, caplog):
    runtime = Runtime()
    with caplog.at_level(logging.WARNING):
        first = opened(model, runtime)
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        second = opened(model, runtime)
    assert first.device == second.device == "TensorRT"
    assert first.runs_on == "onnxruntime on TensorRT (NVIDIA Jetson Orin Nano)"
    assert runtime.built == 1 and runtime.asked[0] == [TRT, CUDA, CPU]
    assert "building the engine for NVIDIA Jetson Orin Nano" in said[0] and "built in" in said[1]
    assert not caplog.records  # a kept engine needs no words


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("raises", "[ONNXRuntimeError] : 1 : FAIL : CUDA error cudaErrorNoDevice"),
        ("silent", "its libraries can't be loaded"),
        ("nan", "it yields values that aren't finite"),
    ],
)
def test_a_provider_that_fails_is_left_with_its_reason(model, fault, why):
    session = opened(model, Runtime(Tensorrt=fault, CUDA=fault))
    assert session.device == "CPU"
    assert session.runs_on == f"onnxruntime on CPU; not TensorRT: {why}; not CUDA: {why}"
    assert float(session(np.zeros((1, 4, 4, 3), np.uint8))["score"][0]) == 3.0


def test_only_what_is_built_in_is_tried(model):
    runtime = Runtime(there=(CUDA, CPU))
    session = opened(model, runtime)
    assert session.device == "CUDA" and runtime.asked == [[CUDA, CPU]]
    assert "; not TensorRT: this onnxruntime (1.23.0) is built without it" in session.runs_on
    assert available_line(runtime, ORIN) == (
        "would run here on CUDA, else on CPU "
        "(NVIDIA Jetson Orin Nano; ONNX Runtime is built without TensorRT)"
    )


def test_a_named_device_has_no_substitute(model):
    assert opened(model, Runtime(), "cpu").device == "CPU"
    with pytest.raises(DeviceError, match="cudaErrorNoDevice"):
        opened(model, Runtime(CUDA="raises"), "CUDA")
    with pytest.raises(DeviceError, match="no device 'NPU': use auto, or TensorRT, CUDA, CPU"):
        opened(model, Runtime(), "NPU")
    with pytest.raises(CompileError, match="nothing here"):
        opened(model, Runtime(Tensorrt="raises", CUDA="raises", CPU="raises"))


def test_another_device_driver_model_or_setting_builds_another_engine(model):
    runtime = Runtime()
    opened(model, runtime)
    opened(model, runtime, system=("NVIDIA Jetson AGX Orin", ORIN[1]))
    opened(model, runtime, system=(ORIN[0], ("R38", "aarch64")))
    model.write_bytes(b"another graph")
    opened(model, runtime)
    settings = model.with_name(SETTINGS)
    settings.write_text(settings.read_text().replace('"trt_int8_enable": "1"', '"trt_int8_enable": "0"'))
    opened(model, runtime)
    assert runtime.built == 5
    opened(model, runtime)
    assert runtime.built == 5


def engine(tmp_path):
    return next((tmp_path / "cache" / "tensorrt").glob("*/graph.engine"))


def test_a_corrupted_cache_is_built_anew(model, tmp_path):
    runtime = Runtime()
    opened(model, runtime)
    engine(tmp_path).write_bytes(b"machine c0de")
    opened(model, runtime)
    assert runtime.built == 2 and engine(tmp_path).read_bytes() == b"machine code"
    engine(tmp_path).with_name("seal.json").write_text("{")
    opened(model, runtime)
    engine(tmp_path).unlink()
    opened(model, runtime)
    engine(tmp_path).with_name("planted.engine").write_bytes(b"machine code")
    opened(model, runtime)
    assert runtime.built == 5 and not engine(tmp_path).with_name("planted.engine").exists()


@pytest.mark.parametrize(
    ("fault", "why"),
    [("stale", "could not deserialize engine"), ("lying", "it yields values that aren't finite")],
)
def test_a_kept_engine_that_fails_is_built_anew(model, caplog, fault, why):
    opened(model, Runtime())
    runtime = Runtime(Tensorrt=fault)
    with caplog.at_level(logging.WARNING):
        assert opened(model, runtime).device == "TensorRT"
    assert runtime.built == 1
    assert f"can't be used ({why})" in caplog.text


def test_a_build_that_broke_off_leaves_nothing_that_is_used(model, tmp_path):
    runtime = Runtime(Tensorrt="halfway")
    session = opened(model, runtime)
    assert session.device == "CUDA" and "not TensorRT: out of memory while it was built" in session.runs_on
    assert engine(tmp_path).exists() and not engine(tmp_path).with_name("seal.json").exists()
    runtime = Runtime()
    assert opened(model, runtime).device == "TensorRT" and runtime.built == 1


def test_a_cache_that_cannot_be_written_costs_only_time(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file"))
    runtime = Runtime()
    assert opened(model, runtime).device == "TensorRT" and runtime.built == 0


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"providers": [{"name": "AzureExecutionProvider", "options": {}}]}',
     '{"providers": [{"name": "CUDAExecutionProvider", "options": {"trt_extra_plugin_lib_paths": "x.so"}}]}'],
)  # fmt: skip
def test_settings_that_export_never_writes(model, text):
    model.with_name(SETTINGS).write_text(text)
    with pytest.raises(CompileError, match="export again"):
        read_candidates(read_model(model))


def test_the_device_by_the_systems_files(tmp_path):
    assert device(tmp_path)[0] == "no NVIDIA device"
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    assert device(tmp_path)[0] == "NVIDIA Jetson Orin Nano Developer Kit"
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5\0")
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    assert device(tmp_path)[0] == "NVIDIA H200"
    (tmp_path / "etc").mkdir()
    before = device(tmp_path)[1]
    (tmp_path / "etc/nv_tegra_release").write_text("# R36\n")
    assert device(tmp_path)[1] != before


def test_the_real_runtime_falls_back_to_the_cpu_and_says_so(compiled):
    bundle = compiled("jetson", "int8").bundle
    session = ONNXRuntimeSession(model_of(bundle))
    plain = ONNXRuntimeSession(model_of(bundle), EngineOptions("CPU"))
    image = np.full((1, *bundle.manifest.input.size, 3), 90, np.uint8)
    assert session(image)["score"] == plain(image)["score"]
    assert session.runs_on.startswith("onnxruntime on ") and "not TensorRT" in session.runs_on
