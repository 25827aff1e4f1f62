"""A tiny bundle that needs no fitting: its anomaly map is the image's mean over the colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgead.bundle import write_bundle
from edgead.held_out import HeldOut, write_held_out
from edgead.manifest import ComposedMethod, InputRecord, Manifest, ThresholdRecord
from edgead.notices import Notice
from edgead.roi import Roi, RoiRule, write_roi
from edgead.types import Resize

HEIGHT, WIDTH = 32, 48


def graph() -> bytes:
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "channel"], ["mean"], keepdims=1),
        helper.make_node("Transpose", ["mean"], ["anomaly_map"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMax", ["anomaly_map", "all"], ["score"], keepdims=0),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, HEIGHT, WIDTH, 3))],
            [
                helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, (1, 1, HEIGHT, WIDTH)),
                helper.make_tensor_value_info("score", TensorProto.FLOAT, (1,)),
            ],
            [
                helper.make_tensor("channel", TensorProto.INT64, (1,), [3]),
                helper.make_tensor("all", TensorProto.INT64, (3,), [1, 2, 3]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_mean_bundle(
    path: Path,
    notices: Sequence[Notice] = (),
    resize: Resize = "stretch",
    held_out: HeldOut | None = None,
    roi: Roi | None = None,
) -> Path:
    """Write the bundle; an image is anomalous where its brightest pixel is over 100."""
    manifest = Manifest(
        edgead="0.1.0",
        kind="compiled",
        method=ComposedMethod("mean", "mean", "none", {"layers": ["layer2", "layer3"]}, 7),
        input=InputRecord((HEIGHT, WIDTH), resize),
        thresholds={"default": ThresholdRecord(100.0, 100.0, "given", 0.01, 20, "images", 20, 0.0, 1.0)},
        target="onnx",
        engine="onnxruntime",
        engine_precision="f32",
        precision="fp32",
        model="model.onnx",
        reports={"forms": [{"precision": "fp32"}]},
        provenance={"backbone": {"name": "none"}},
        facts={"bank": [1, 2]},
        notices=tuple(notices),
    )
    with write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(graph())
        if held_out is not None:
            manifest = replace(manifest, held_out=write_held_out(staging.folder, held_out))
        if roi is not None:
            rule = RoiRule((HEIGHT, WIDTH), resize, roi=roi)
            manifest = replace(manifest, roi=write_roi(staging.folder, rule))
        staging.finish(manifest)
    return path


def picture(spot: int = 0) -> np.ndarray:
    """A grey image with a square of this brightness in its middle, of twice the model's size."""
    image = np.full((2 * HEIGHT, 2 * WIDTH, 3), 50, np.uint8)
    if spot:
        image[20:40, 30:50] = spot
    return image
