"""The first-party targets, by name. Nothing heavy is imported until one of them is used."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_exporters(register: Register) -> None:
    register(
        "jetson", "edgead_exporters.jetson:JetsonExporter", "ONNX for TensorRT, on a Jetson or any NVIDIA GPU"
    )
    register("onnx", "edgead_exporters.onnx:OnnxExporter", "an ONNX file for ONNX Runtime")
    register(
        "openvino", "edgead_exporters.openvino:OpenVINOExporter", "OpenVINO IR for Intel and other x86 CPUs"
    )
