"""Methods and their options side by side on labelled data sets: one table, printed.

    python benchmarks/methods.py DATASET_DIR... --variant "spade gallery=exact neighbors=5" [--variant ...]
        [--backbone NAME --weights FILE] [--size 256x256] [--form fp32]... [--engine openvino]...
        [--target NAME]... [--seed N]... [--threads N] [--preset NAME] [--checkpoints DIR]

A variant is a method and its options. Each is trained and fitted on all of train/good and judged on all test
images, in memory: no bundle is written, no threshold calibrated and no gate asked, which is what
benchmarks/accuracy.py does, and what it takes minutes for. An engine runs the graph as it's fitted; a target
compiles it first, as ``edgead export`` does, and its engine runs that on the CPU. A form's bytes are those of
the whole graph, its seconds those of training and of fitting that form. Trainings that were cut off go on
where ``--checkpoints`` keeps them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from edgead.cli.progress import make_progress
from edgead.datasets import find_samples
from edgead.errors import EdgeadError, EngineError
from edgead.images import list_images, read_image
from edgead.masks import read_mask
from edgead.metrics.pixels import PixelMetrics
from edgead.metrics.scores import auroc
from edgead.plugins import registry
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.types import Arithmetic, Image, Precision, Sample
from edgead.workbench.forms import backbone_forms, fit_forms, trained
from edgead.workbench.frames import Frames
from edgead.workbench.recipe import resolve

HEAD = (
    "data, seed",
    "variant",
    "form",
    "engine",
    "image",
    "pixel",
    "PRO",
    "train s",
    "fit s",
    "MiB",
    "p50 ms",
)


def main() -> None:
    arguments = _arguments()
    height, width = (int(side) for side in arguments.size.split("x"))
    rule = ResizeRule((height, width))
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for dataset in arguments.datasets:
        frames = Frames(tuple(list_images(dataset / "train" / "good")), rule)
        samples = find_samples(dataset)
        tests = [read_image(sample.image) for sample in samples]
        masks = [read_mask(s.masks, rule, i.shape[:2]) for s, i in zip(samples, tests, strict=True)]
        images = [rule.apply(image) for image in tests]
        for seed in arguments.seed or [0]:
            for variant in arguments.variant:
                try:
                    _variant(arguments, frames, dataset.name, variant, seed, samples, images, masks)
                except EdgeadError as error:
                    print(f"| {dataset.name} {seed} | {variant} | failed: {error} |", flush=True)


def _variant(
    arguments: argparse.Namespace,
    frames: Frames,
    dataset: str,
    variant: str,
    seed: int,
    samples: Sequence[Sample],
    images: Sequence[Image],
    masks: Sequence[np.ndarray],
) -> None:
    method, *options = variant.split()
    name = f"{dataset} {seed}"
    presets = registry().get("methods", method)().presets
    preset = arguments.preset if presets else None
    recipe = resolve(method, arguments.backbone, arguments.weights, options, preset)
    wanted: list[Precision] = list(arguments.form)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        kept = (arguments.checkpoints or Path(folder)) / f"{dataset}-{seed}-{'-'.join([method, *options])}"
        recipe = trained(recipe, frames, seed, kept, make_progress())
        training_seconds = time.perf_counter() - start
        backbones, lacking = backbone_forms(recipe, frames, wanted, silent)
        for form, reason in lacking.items():
            print(f"| {name} | {variant} | {form} | not to be had: {reason} |")
        files = {form: Path(folder) / f"{form}.onnx" for form in backbones}
        start = time.perf_counter()
        facts = fit_forms(
            recipe, backbones, frames, seed, silent, lambda form, graph: onnx.save(graph, files[form])
        )
        seconds = (time.perf_counter() - start) / len(facts)
        for warning in facts["fp32"].get("warnings", ()):
            print(f"<!-- {name}, {variant}: {warning} -->")
        for form in (p for p in facts if p in wanted):
            plain = [(engine, False) for engine in arguments.engine]
            for runs_on, compiles in (*plain, *((target, True) for target in arguments.target)):
                if runs_on == "onnxruntime" and form == "bf16":
                    continue  # its CPU engine has no BF16 kernels
                head = f"| {name} | {variant} | {form} | {runs_on} |"
                try:
                    file, engine = files[form], runs_on
                    if compiles:
                        file, engine = _compiled(file, form, runs_on)
                    scores, maps, milliseconds = _run(file, form, engine, images, arguments.threads)
                except EngineError as error:
                    print(f"{head} refused: {error} |", flush=True)
                    continue
                figures = [f"{100 * value:.1f}" for value in _judge(samples, scores, maps, masks)]
                figures += [f"{training_seconds:.0f}", f"{seconds:.1f}"]
                size = file.stat().st_size / 2**20
                print(f"{head} {' | '.join([*figures, f'{size:.1f}', f'{milliseconds:.1f}'])} |", flush=True)


def _compiled(file: Path, form: Precision, target: str) -> tuple[Path, str]:
    """The model that a target's exporter makes of a form's graph, and its engine."""
    folder = file.with_name(f"{target}-{form}")
    folder.mkdir()
    artifact = registry().get("exporters", target)().compile(onnx.load(file), form, folder)
    return folder / artifact.model, artifact.engine


def _judge(
    samples: Sequence[Sample], scores: np.ndarray, maps: np.ndarray, masks: Sequence[np.ndarray]
) -> tuple[float, float, float]:
    """Image AUROC, pixel AUROC and PRO to 30 %, 0 to 1; NaN where undefined."""
    good = np.array([sample.is_good for sample in samples])
    pixels = PixelMetrics()
    for sample, anomaly_map, mask in zip(samples, maps, masks, strict=True):
        pixels.add(anomaly_map, mask, bad=not sample.is_good)
    found = pixels.metrics()
    values = (auroc(scores[good], scores[~good]), found["pixel_auroc"].value, found["aupro_30"].value)
    image, pixel, pro = (float("nan") if value is None else value for value in values)
    return image, pixel, pro


def _run(
    file: Path, form: Precision, engine: str, images: Sequence[Image], threads: int | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Image scores, maps and the median latency."""
    arithmetic: Arithmetic = "bf16" if form == "bf16" and engine == "openvino" else "f32"
    session = open_session(file, engine, EngineOptions("CPU", arithmetic, threads))
    session(images[0][None])
    scores, maps, times = [], [], []
    for image in images:
        start = time.perf_counter()
        outputs = session(image[None])
        times.append(time.perf_counter() - start)
        scores.append(float(outputs["score"][0]))
        maps.append(outputs["anomaly_map"][0, 0])
    return np.array(scores), np.stack(maps), float(np.median(times)) * 1e3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--variant", action="append", required=True, metavar='"METHOD key=value ..."')
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--form", action="append")
    parser.add_argument("--engine", action="append")
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--preset", help="of those methods that have presets")
    parser.add_argument("--checkpoints", type=Path)
    parsed = parser.parse_args()
    parsed.form = parsed.form or ["fp32"]
    parsed.engine = parsed.engine or ([] if parsed.target else ["openvino"])
    return parsed


if __name__ == "__main__":
    main()
