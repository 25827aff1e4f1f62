"""Accuracy of every form on labelled data sets in MVTec layout: one table, printed.

    python benchmarks/accuracy.py DATASET_DIR... [--backbone NAME --weights FILE] [--size 256x256|auto]
        [-o key=value]... [--target NAME]... [--precision FORM]... [--holdout 0.2] [--no-final-fit]
        [--seed N]...

Each row is an honest run of the commands that a user has: fit on train/good, export through both gates,
evaluate on test/. FP32 always comes along. A form that a gate refuses is printed as refused.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import edgead
from edgead.bundle import Bundle
from edgead.cli.progress import make_progress
from edgead.datasets import find_samples
from edgead.errors import EdgeadError
from edgead.evaluation.bench import bench
from edgead.evaluation.evaluate import evaluate
from edgead.plugins import registry
from edgead.progress import silent
from edgead.types import PRECISIONS
from edgead.workbench.export import export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve


def main() -> None:
    arguments = _arguments()
    size = None if arguments.size == "auto" else tuple(int(side) for side in arguments.size.split("x"))
    progress = make_progress()
    print("| data, seed | target | asked | form | image AUROC | pixel AUROC | gate AUROC | p50 ms | MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    runs = [(dataset, seed) for dataset in arguments.datasets for seed in arguments.seed or [0]]
    for dataset, seed in runs:
        samples = find_samples(dataset)
        with tempfile.TemporaryDirectory() as folder:
            recipe = resolve(arguments.method, arguments.backbone, arguments.weights, arguments.options)
            forms = PRECISIONS if "auto" in arguments.precision else arguments.precision
            settings = Settings(
                size=size,
                holdout=arguments.holdout,
                seed=seed,
                precisions=forms,
                final_fit=False if arguments.no_final_fit else None,
            )
            reference = fit(recipe, dataset / "train" / "good", settings, Path(folder) / "r.edgead", progress)
            for target in arguments.target:
                for precision in dict.fromkeys(["fp32", *arguments.precision]):
                    out = Path(folder) / f"{target}-{precision}.edgead"
                    _row(f"{dataset.name} {seed}", reference.bundle, target, precision, samples, out)


def _row(name: str, reference: Bundle, target: str, precision: str, samples: list, out: Path) -> None:
    head = f"| {name:18s} | {target:8s} | {precision:5s}"
    try:
        done = export(reference, registry().get("exporters", target)(), precision, out, silent)
    except EdgeadError as error:
        print(f"{head} | refused: {error} |", flush=True)
        return
    detector = edgead.load(out)
    metrics = evaluate(detector, samples, draws=0).metrics
    image, pixel = (100 * metrics[name].value for name in ("image_auroc", "pixel_auroc"))
    latency = bench([detector], 60, silent)[0]
    gate = next(f.auroc for f in done.forms if f.precision == done.chosen)
    size = sum(file.bytes for file in done.bundle.manifest.files) / 2**20
    print(
        f"{head} | {done.chosen:5s} | {image:11.2f} | {pixel:11.2f} "
        f"| {100 * gate:10.2f} | {latency.p50_ms:6.2f} | {size:.1f} |",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", default="auto")
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("--target", action="append")
    parser.add_argument("--precision", action="append")
    parser.add_argument("--holdout", type=float, default=0.2)
    parser.add_argument("--no-final-fit", action="store_true")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parsed = parser.parse_args()
    parsed.target = parsed.target or ["openvino", "onnx"]
    parsed.precision = parsed.precision or ["auto", "int8"]
    return parsed


if __name__ == "__main__":
    main()
