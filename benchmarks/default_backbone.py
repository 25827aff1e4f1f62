"""The ``default`` backbone beside its teacher and beside random weights: accuracy, INT8 and latency.

    python benchmarks/default_backbone.py DATASET_DIR... --weights resnet18.safetensors [--keep FILE]
        [--only NAME]

PatchCore (1 %, 256 x 256 stretched) on each data set in MVTec layout, through ``edgead fit``, ``export`` and
``eval`` on OpenVINO: ResNet-18 with the given weights, ``default`` and ``default-small`` in FP32 and in INT8,
and the network of ``default`` with random weights. Then the latency of the three backbones alone, in INT8,
interleaved in one run. The last lines say by how much ``default`` is behind, and whether that is what the
project promises.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgead.errors import EdgeadError
from edgead.evaluation.cell import Cell, Making, run_cell
from edgead.files import sha256_of
from edgead.plugins import registry
from edgead.progress import silent
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.types import Precision
from edgead.workbench.quantize import quantise_backbone
from edgead_plugins.backbones.default import FILE, SMALL_FILE
from edgead_plugins.backbones.generated import generate

METHOD, SIZE = "patchcore:coreset_ratio=0.01", (256, 256)
TEACHER = "resnet18"
MAPS = {name: ("stage2", "stage3") for name in ("default", "default-small")} | {TEACHER: ("layer2", "layer3")}
PROMISED = {"image AUROC behind": 2.0, "pixel AUROC behind": 1.5, "INT8 off FP32": 0.5, "latency ratio": 0.5}
FRAMES = 200

Scores = tuple[float, float]
"""Image and pixel AUROC in percent."""


def main() -> None:
    arguments = _arguments()
    found: dict[str, float] = {}
    if arguments.datasets:
        with tempfile.TemporaryDirectory() as folder:
            random = _random_weights(Path(folder) / "random.onnx", arguments.seed)
            found = _accuracy(arguments, random)
    found["latency ratio"] = _latency(arguments.weights)
    for name, value in found.items():
        verdict = "met" if value <= PROMISED[name] else "missed"
        print(f"{name}: {value:.2f}, at most {PROMISED[name]} promised: {verdict}")


def _accuracy(arguments: argparse.Namespace, random: Path) -> dict[str, float]:
    """Print the table row by row; return the figures that are promised."""
    datasets: list[Path] = arguments.datasets
    rows: list[tuple[str, str, Path, Precision]] = [
        ("random weights", f"onnx:{random}", random, "fp32"),
        ("default", "default", FILE, "fp32"),
        ("default", "default", FILE, "int8"),
        ("default-small", "default-small", SMALL_FILE, "fp32"),
        ("default-small", "default-small", SMALL_FILE, "int8"),
        (TEACHER, TEACHER, arguments.weights, "fp32"),
    ]
    print(f"| image / pixel AUROC | form | {' | '.join(d.name for d in datasets)} | mean |")
    print("|---" * (len(datasets) + 3) + "|")
    results: dict[tuple[str, Precision], list[Scores | None]] = {}
    for name, backbone, file, precision in rows:
        if arguments.only not in (None, name):
            continue
        weights = str(file) if name == TEACHER else None
        making = Making(METHOD, backbone, weights, SIZE, arguments.seed, "openvino", precision)
        digest = sha256_of(file)
        scores = [
            _kept(
                f"{name} {precision} {digest[:16]} seed {arguments.seed} {dataset.name}",
                Cell(making, str(dataset.resolve())),
                arguments.keep,
            )
            for dataset in datasets
        ]
        results[name, precision] = scores
        shown = [_text(score) for score in [*scores, _mean(scores)]]
        print(f"| {name} | {precision.upper()} | {' | '.join(shown)} |", flush=True)
    if arguments.only is not None:
        return {}
    teacher, default, int8 = (
        _mean(results[key]) for key in ((TEACHER, "fp32"), ("default", "fp32"), ("default", "int8"))
    )
    if teacher is None or default is None:
        return {}
    behind = {"image AUROC behind": teacher[0] - default[0], "pixel AUROC behind": teacher[1] - default[1]}
    return behind if int8 is None else {**behind, "INT8 off FP32": float(max(np.subtract(default, int8)))}


def _kept(key: str, cell: Cell, file: Path | None) -> Scores | None:
    """A cell's scores, from the file of finished ones where they are in it."""
    known = json.loads(file.read_text()) if file is not None and file.exists() else {}
    if key not in known:
        known[key] = _score(cell)
        if file is not None:
            file.write_text(json.dumps(known, indent=1))
    return None if known[key] is None else (known[key][0], known[key][1])


def _score(cell: Cell) -> Scores | None:
    """None where a gate refuses the form; the reason is printed."""
    try:
        record = run_cell(cell, draws=0, timed=False, progress=silent)
    except EdgeadError as error:
        print(f"  {cell.making.backbone} {cell.making.precision} on {cell.dataset}: {error}")
        return None
    return 100 * record["image_auroc"], 100 * record["pixel_auroc"]


def _mean(scores: list[Scores | None]) -> Scores | None:
    """Of all data sets; None where one is missing."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    image, pixel = np.mean(known, axis=0)
    return float(image), float(pixel)


def _text(score: Scores | None) -> str:
    return "refused" if score is None else f"{score[0]:.1f} / {score[1]:.1f}"


def _random_weights(file: Path, seed: int) -> Path:
    """The network of ``default`` with He et al.'s random weights and no bias, as an ONNX file of its own."""
    model, rng = onnx.load(FILE), np.random.default_rng(seed)
    for value in model.graph.initializer:
        shape = tuple(value.dims)
        deviation = np.sqrt(2 / np.prod(shape[1:])) if len(shape) == 4 else 0.0
        array = (deviation * rng.standard_normal(shape)).astype(np.float16)
        value.CopyFrom(numpy_helper.from_array(array, value.name))
    del model.metadata_props[:]
    onnx.save(model, file)
    return file


def _latency(weights: Path) -> float:
    """Print the medians of the backbones in INT8, 256 x 256, one thread, in turn; return default's ratio."""
    images = [generate(1, index, SIZE) for index in range(30)]
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, maps in MAPS.items():
            file = Path(folder) / f"{name}.onnx"
            backbone = registry().get("backbones", name)("", weights if name == TEACHER else None)
            onnx.save(quantise_backbone(backbone.onnx(maps, SIZE), images), file)
            sessions[name] = open_session(file, "openvino", EngineOptions(threads=1))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for frame in range(FRAMES):
        for name, session in sessions.items():
            start = time.perf_counter()
            session(images[frame % len(images)][None])
            times[name].append(1e3 * (time.perf_counter() - start))
    for name, taken in times.items():
        median, fast = np.median(taken), np.quantile(taken, 0.1)
        print(f"{name} INT8: median {median:.2f} ms, fastest tenth {fast:.2f} ms")
    small = np.median(times["default-small"]) / np.median(times["default"])
    print(f"default-small over default: {small:.2f}")
    return float(np.median(times["default"]) / np.median(times[TEACHER]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="*", type=Path, help="none: latency alone")
    parser.add_argument("--weights", type=Path, required=True, help="of the teacher, .safetensors")
    parser.add_argument("--keep", type=Path, help="finished cells, so that a stopped run goes on")
    parser.add_argument("--only", help="this backbone's rows alone, and no verdict")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
