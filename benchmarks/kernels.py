"""Which of OpenVINO's kernels bound a form, by class of processor.

    python benchmarks/kernels.py [BUNDLE...] [--form int8] [--held-to AVX2]... [--shape 1024x384x3072]

First an INT8 matrix product of queries and a bank, said as a MatMul and as a 1 x 1 convolution, beside one in
FP32: the same multiplications in other kernels, in turns, in processor time on one core. Then of each BUNDLE,
which ``edgead fit`` wrote, a frame by what the ``openvino`` target writes, products said as convolutions,
over a frame by the graph as it was composed, in turns; and the kernels that take most of the former, by
OpenVINO's own counters: shares, since those count other work on the machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v18 as op
from held import CLASSES, as_it_is, held_to
from rows import of_turns, spread
from spox import Tensor, Var

from edgead.bundle import read_bundle
from edgead.runtime.openvino_session import import_openvino
from edgead_exporters.products import as_convolutions

RUNS, TURNS = 9, 25
MOST = 3
"""Kernels named of a frame."""
HEAVY = ("Convolution", "FullyConnected", "FullyConnectedQuantizedLegacy", "MatMul")
PRODUCTS = ("INT8 MatMul", "INT8 1 x 1 convolution", "FP32 MatMul")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        for place in [as_it_is(), *(held_to(name, Path(folder)) for name in arguments.held_to or [])]:
            print(f"\n{place.kind}")
            if place.why:
                print(f"not here: {place.why}")
                continue
            asked = {
                "shape": arguments.shape,
                "form": arguments.form,
                "bundles": list(map(str, arguments.bundles)),
            }
            words = [sys.executable, __file__, "--child"]
            environment = {**place.environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
            done = subprocess.run(words, input=json.dumps(asked), env=environment, text=True, check=False)
            if done.returncode:
                sys.exit(done.returncode)


def child(asked: dict[str, Any]) -> None:
    """In a process of its own: print what the kernels take."""
    rows, dim, bank = asked["shape"]
    runs, kinds = {}, {}
    for name in PRODUCTS:
        model, shape = _product(name, rows, dim, bank)
        compiled = _compile(model.SerializeToString(), False)
        values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        runs[name] = partial(compiled.create_infer_request().infer, {0: values})
        kinds[name] = {
            str(node.get_rt_info()["primitiveType"].astype(str))
            for node in compiled.get_runtime_model().get_ops()
            if node.get_rt_info()["layerType"].astype(str) in HEAVY
        }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(TURNS + 1):
        for name, run in runs.items():
            began = time.process_time()
            run()
            if turn:
                times[name].append((time.process_time() - began) * 1e3)
    print(f"\n| {rows} x {dim} by {dim} x {bank} | kernel | times {PRODUCTS[-1]}'s time (turns) | ms |")
    print("| --- | --- | --- | --- |")
    for name, mine in times.items():
        told = spread(*of_turns(mine, times[PRODUCTS[-1]]))
        print(f"| {name} | {', '.join(sorted(kinds[name]))} | {told} | {np.median(mine):.1f} |", flush=True)
    if asked["bundles"]:
        print("\n| method | form | a frame, over the graph as composed (turns) | kernels, of its time |")
        print("| --- | --- | --- | --- |")
    for path in asked["bundles"]:
        bundle = read_bundle(Path(path))
        kept = bundle.manifest.reference
        assert kept is not None, f"{path}: give what fit wrote"
        for form in (asked["form"], "fp32"):
            composed, size = bundle.read(kept.forms[form]), bundle.manifest.input.size
            written, ratio = composed, "-"
            if form != "fp32":
                written = as_convolutions(onnx.load_model_from_string(composed)).SerializeToString()
                ratio = spread(*_frames(written, composed, size))
            told = ", ".join(f"{kernel} {share:.0%}" for kernel, share in _shares(written, size))
            print(f"| {bundle.manifest.method.name} | {form} | {ratio} | {told} |", flush=True)


def _frames(one: bytes, other: bytes, size: tuple[int, int]) -> tuple[float, float, float]:
    """A frame's processor time by one graph over that by the other, and the range of most turns."""
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    requests = [_compile(graph, False).create_infer_request() for graph in (one, other)]
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for request, mine in zip(requests, times, strict=True):
            began = time.process_time()
            request.infer({0: image})
            if turn:
                mine.append(time.process_time() - began)
    return of_turns(*times)


def _shares(graph: bytes, size: tuple[int, int]) -> list[tuple[str, float]]:
    request = _compile(graph, True).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(RUNS):
        request.infer({0: image})
        for node in request.profiling_info:
            key = (node.node_name, f"{node.node_type} {node.exec_type}")
            found.setdefault(key, []).append(node.real_time.total_seconds())
    kernels: Counter[str] = Counter()
    for (_, kernel), seconds in found.items():
        kernels[kernel] += min(seconds)  # type: ignore[assignment]
    whole = sum(kernels.values())
    return [(kernel, seconds / whole) for kernel, seconds in kernels.most_common(MOST)]


def _compile(graph: bytes, counted: bool) -> Any:
    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": counted}
    core = import_openvino().Core()
    return core.compile_model(core.read_model(graph), "CPU", config)


def _product(name: str, rows: int, dim: int, bank: int) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    weights = np.random.default_rng(0).integers(-127, 128, (bank, dim)).astype(np.int8)
    side = int(rows**0.5)
    shape = (1, dim, side, rows // side) if "convolution" in name else (rows, dim)
    x = spox.argument(Tensor(np.float32, shape))
    if "convolution" in name:
        found = op.conv(_rounded(x), _weights(weights[..., None, None]))
    elif "INT8" in name:
        found = op.matmul(_rounded(x), _weights(np.ascontiguousarray(weights.T)))
    else:
        found = op.matmul(x, op.const(np.ascontiguousarray(weights.T).astype(np.float32)))
    return spox.build({"x": x}, {"y": op.reduce_max(found, op.const([1]), keepdims=0)}), shape


def _rounded(x: Var) -> Var:
    scale, zero = op.const(np.float32(0.02)), op.const(np.int8(0))
    return op.dequantize_linear(op.quantize_linear(x, scale, zero), scale, zero)


def _weights(values: np.ndarray) -> Var:
    return op.dequantize_linear(op.const(values), op.const(np.float32(0.02)), op.const(np.int8(0)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--form", default="int8")
    parser.add_argument("--held-to", action="append", choices=list(CLASSES))
    parser.add_argument(
        "--shape", type=lambda text: [int(side) for side in text.split("x")], default=[1024, 384, 3072]
    )
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(json.load(sys.stdin))
    else:
        main()
