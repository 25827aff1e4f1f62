"""The ``onnx`` target: the graph as it is, in one file, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgead.types import Artifact, Precision


class OnnxExporter:
    """Writes ``model.onnx``. INT8 is QuantizeLinear/DequantizeLinear, which ONNX Runtime fuses."""

    target = "onnx"
    precisions: tuple[Precision, ...] = ("int8", "mixed", "fp32")  # its CPU engine has no BF16 kernels

    def compile(self, graph: onnx.ModelProto, precision: Precision, folder: Path) -> Artifact:
        """See ``edgead.types.Exporter``."""
        onnx.save(graph, folder / "model.onnx")
        return Artifact("model.onnx", ("model.onnx",), "onnxruntime")
