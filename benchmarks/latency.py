"""Latency of every form on both engines, for several bank sizes: one table from one run.

    python benchmarks/latency.py GOOD_DIR --backbone resnet18 --weights FILE [--size HxW] [--ratio 0.01]...

All bundles are timed in turn, in blocks, in one process, so that ratios hold on a machine that others use
too. The yardstick is a large matrix product in FP32, BF16 and INT8 on OpenVINO in the same run: what the
machine's arithmetic units give, and so the most that a form can gain by its arithmetic alone. Gates are
left aside here: a latency doesn't depend on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import onnx
from yardstick import describe, yardstick

from edgead.bundle import write_bundle
from edgead.evaluation.bench import Latency, bench
from edgead.machine import cpu
from edgead.plugins import registry
from edgead.progress import make_progress
from edgead.runtime.detector import Detector, load
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve


def main() -> None:
    arguments = _arguments()
    progress = make_progress()
    size = tuple(int(side) for side in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        rows: list[tuple[str, str, str]] = []
        detectors: list[Detector] = []
        for ratio in arguments.ratio or [0.01, 0.1]:
            options = [f"coreset_ratio={ratio}", *arguments.options]
            recipe = resolve("patchcore", arguments.backbone, arguments.weights, options)
            settings = Settings(size=size, final_fit=False)
            out = Path(folder) / f"{ratio}.edgead"
            reference = fit(recipe, arguments.images, settings, out, progress).bundle
            bank = reference.manifest.facts["bank"]
            for target in ("openvino", "onnx"):
                exporter = registry().get("exporters", target)()
                for form in exporter.precisions:
                    out = Path(folder) / f"{ratio}-{target}-{form}.edgead"
                    _compile(reference, exporter, form, out)
                    detectors.append(load(out))
                    rows.append((f"{bank['rows']} x {bank['dim']}", target, form))
        results = bench(detectors, arguments.frames, progress)
        _print(rows, results)
    print(describe(yardstick()))


def _compile(reference, exporter, form, out: Path) -> None:
    """A compiled bundle with the reference's threshold, straight from the exporter."""
    manifest = reference.manifest
    with write_bundle(out) as staging:
        graph = onnx.load(reference.file(manifest.reference.forms[form]))
        artifact = exporter.compile(graph, form, staging.folder)
        staging.finish(
            dataclasses.replace(
                manifest, kind="compiled", target=exporter.target, engine=artifact.engine,
                engine_precision=artifact.engine_precision, precision=form, model=artifact.model, files=(),
            )
        )  # fmt: skip


def _print(rows: list[tuple[str, str, str]], results: list[Latency]) -> None:
    fp32 = {
        (bank, target): r.p50_ms
        for (bank, target, form), r in zip(rows, results, strict=True)
        if form == "fp32"
    }
    print(f"machine: {cpu()}")
    print("| bank | engine | form | p50 ms | p99 ms | max ms | frames/s | times as fast as FP32 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (bank, target, form), r in zip(rows, results, strict=True):
        print(
            f"| {bank} | {target} | {form} | {r.p50_ms:.2f} | {r.p99_ms:.2f} | {r.max_ms:.2f} "
            f"| {r.frames_per_second:.0f} | {fp32[bank, target] / r.p50_ms:.2f} |"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--ratio", type=float, action="append")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("-o", dest="options", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
