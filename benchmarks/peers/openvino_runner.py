"""A peer's OpenVINO export, run directly. ``python openvino_runner.py WORK MODEL.xml THREADS f32|bf16``

The model takes (N, 3, H, W) float32 RGB, 0 to 1, and gives ``pred_score``. One with a fixed batch above 1
gets the frame so many times, and its time is divided by that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import openvino
from serving import own_stdout, serve


def main(work: str, model: str, threads: str, precision: str) -> None:
    out = own_stdout()
    core = openvino.Core()
    config = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": int(threads),
    }
    compiled = core.compile_model(model, "CPU", config)
    first = compiled.inputs[0].partial_shape[0]
    batch = first.get_length() if first.is_static else 1
    names = [output.get_any_name() for output in compiled.outputs]
    index = names.index("pred_score")
    request = compiled.create_infer_request()

    def score(frame: np.ndarray) -> float:
        pixels = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)[None].astype(np.float32) / 255
        request.infer({0: np.repeat(pixels, batch, 0) if batch > 1 else pixels})
        return float(request.get_output_tensor(index).data.ravel()[0])

    size = sum(Path(model).with_suffix(s).stat().st_size for s in (".xml", ".bin"))
    facts = {"openvino": openvino.__version__.split("-")[0], "batch": batch, "model_bytes": size}
    serve(Path(work), score, facts, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
