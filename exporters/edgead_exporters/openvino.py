"""The ``openvino`` target: OpenVINO's intermediate representation, ``model.xml`` and ``model.bin``."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from edgead.errors import CompileError, one_line
from edgead.runtime.openvino_session import import_openvino
from edgead.types import Artifact, Precision
from edgead_exporters.coordinates import keep_coordinates_precise
from edgead_exporters.products import as_convolutions

FILES = ("model.xml", "model.bin")


class OpenVINOExporter:
    """Converts the ONNX graph as it is, but for integer products; see ``edgead_exporters.products``.

    OpenVINO reads its QuantizeLinear/DequantizeLinear as INT8.
    """

    target = "openvino"
    precisions: tuple[Precision, ...] = ("int8", "mixed", "bf16", "fp32")

    def compile(self, graph: onnx.ModelProto, precision: Precision, folder: Path) -> Artifact:
        """See ``edgead.types.Exporter``. BF16 stores its weights in FP16, all others as they are."""
        ov = import_openvino()
        source = folder / "source.onnx"
        onnx.save(as_convolutions(graph) if precision in ("int8", "mixed") else graph, source)
        try:
            model = ov.Core().read_model(source)
        except RuntimeError as error:
            raise CompileError(f"openvino can't convert this graph: {one_line(error)}") from error
        finally:
            source.unlink()
        _number_nodes(model)
        save = partial(ov.save_model, model, folder / "model.xml", compress_to_fp16=precision == "bf16")
        try:
            save()
        except RuntimeError:  # which says nothing of why
            for name in FILES:  # a disk that takes nothing, or a right that is missing, says so itself
                (folder / name).write_bytes(bytes(1 << 16))
            try:
                save()  # whatever it was has passed
            except RuntimeError as error:
                told = one_line(error).replace(f"{folder}/", "")
                why = f"{os.strerror(errno.EIO)}, openvino: {told}"
                raise OSError(errno.EIO, why, str(folder)) from error
        if precision == "bf16":
            keep_coordinates_precise(folder / "model.xml")
        return Artifact(
            "model.xml",
            FILES,
            "openvino",
            engine_precision="bf16" if precision == "bf16" else "f32",
        )


def _number_nodes(model: Any) -> None:
    """Name nodes by their place: OpenVINO's own names count up within a process, so files would differ."""
    for index, node in enumerate(model.get_ordered_ops()):
        if node.get_type_name() not in ("Parameter", "Result"):  # these two carry the interface's names
            node.set_friendly_name(f"{node.get_type_name()}_{index}")
