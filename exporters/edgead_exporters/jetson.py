"""The ``jetson`` target: an ONNX graph as TensorRT takes it, and beside it how to build its engine.

An engine belongs to one device and one version of TensorRT, so it's built on the device, once, by ONNX
Runtime (``edgead.runtime.providers``) or by hand with the line in ``tensorrt.json``. The gates run this very
graph in ONNX Runtime on the CPU; ``edgead verify --on-device`` repeats the parity check where it will run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx

from edgead.errors import CompileError, one_line
from edgead.files import write_file
from edgead.runtime.model_bytes import SETTINGS
from edgead.types import Artifact, Precision
from edgead_exporters.half import convolutions_in_half
from edgead_exporters.tensorrt_graph import for_tensorrt
from edgead_exporters.tensorrt_operators import check_for_tensorrt, published

WORKSPACE_MIB = 1024
"""Most that TensorRT may take for scratch while it tries kernels: an Orin Nano has 4 or 8 GiB in all."""


class JetsonExporter:
    """Writes ``model.onnx`` and ``tensorrt.json``. The 16-bit form (``bf16``) is FP16 here."""

    target = "jetson"
    precisions: tuple[Precision, ...] = ("int8", "mixed", "bf16", "fp32")
    timed_here = False
    """How fast its forms are on this machine says nothing: ``auto`` takes the first that passes."""
    carries_images = True
    """Held-out images go into the bundle, for ``edgead verify --on-device``."""

    def compile(self, graph: onnx.ModelProto, precision: Precision, folder: Path) -> Artifact:
        """See ``edgead.types.Exporter``; raises CompileError with the node that TensorRT can't take."""
        try:
            lowered = for_tensorrt(graph)
            if precision == "bf16":
                lowered = onnx.shape_inference.infer_shapes(convolutions_in_half(lowered), strict_mode=True)
            check_for_tensorrt(lowered)
            onnx.checker.check_model(lowered, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise CompileError(f"jetson: this graph has no form for TensorRT: {one_line(error)}") from error
        onnx.save(lowered, folder / "model.onnx")
        text = json.dumps(engine_settings(precision), indent=2, sort_keys=True) + "\n"
        write_file(folder / SETTINGS, text.encode())
        return Artifact("model.onnx", ("model.onnx", SETTINGS), "onnxruntime")


def engine_settings(precision: Precision) -> dict[str, Any]:
    """What ``tensorrt.json`` says: ONNX Runtime's providers in order, and trtexec's command line.

    ONNX Runtime lets TensorRT use the types that it's told of, where it likes; trtexec is told to keep the
    graph's own. Neither is told of FP16 but in the form whose convolutions are in it.
    """
    half, quantised = precision == "bf16", precision != "fp32"
    tensorrt = {
        "trt_builder_optimization_level": "3",
        "trt_engine_cache_enable": "1",
        "trt_fp16_enable": str(int(half)),
        "trt_int8_enable": str(int(quantised)),
        "trt_max_workspace_size": str(WORKSPACE_MIB << 20),
        "trt_timing_cache_enable": "1",
    }
    cuda = {"cudnn_conv_algo_search": "EXHAUSTIVE", "use_tf32": "0"}
    return {
        "operators": {key: published()[key] for key in ("source", "commit", "tensorrt", "oldest")},
        "precision": "fp16" if half else precision,
        "providers": [
            {"name": "TensorrtExecutionProvider", "options": tensorrt},
            {"name": "CUDAExecutionProvider", "options": cuda},
            {"name": "CPUExecutionProvider", "options": {}},
        ],
        "trtexec": (
            "trtexec --onnx=model.onnx --saveEngine=model.engine --stronglyTyped --noTF32 "
            f"--memPoolSize=workspace:{WORKSPACE_MIB} --timingCacheFile=timing.cache --skipInference"
        ),
        "workspace_mib": WORKSPACE_MIB,
    }
