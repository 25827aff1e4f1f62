"""What the ranked search costs in accuracy and saves in time: PatchCore fitted twice, exact and ranked.

    python benchmarks/ranked.py DATASET_DIR... --weights FILE [--backbone resnet18] [--size 256]
        [--ratio 0.1] [--seed 0 --seed 1 ...] [--target openvino] [--precision int8]

A row a data set: image and pixel AUROC in percent on the test images, means over the seeds and the largest
difference between the two of one seed; how the bank was searched; processor time of a frame over the exact
search's, the two taking turns on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgead
from edgead.datasets import open_dataset
from edgead.images import read_image
from edgead.processor import cpu

RUNS = 20


@dataclass(frozen=True)
class Run:
    """One bundle: AUROCs in percent, how its bank is searched, and where it lies."""

    image: float
    pixel: float
    search: dict
    rows: int
    path: Path


def main() -> None:
    arguments = _arguments()
    print(f"{cpu().model}, {cpu().kind}; {arguments.target} {arguments.precision}\n")
    print("| data set | rows | image AUROC exact, ranked | largest difference | pixel AUROC exact, ranked |"
          " largest difference | ranking | time, ranked over exact |\n|" + " --- |" * 8)  # fmt: skip
    for folder in arguments.dataset:
        with tempfile.TemporaryDirectory() as scratch:
            pairs = [
                [_run(arguments, folder, seed, search, Path(scratch)) for search in ("exact", "ranked")]
                for seed in arguments.seed or [0, 1, 2]
            ]
            frame = read_image(open_dataset(folder).test[0].image)
            ratio = _time_ratio(pairs[0], frame)
        cells = [folder.name, f"{pairs[0][1].rows:,}"]
        for metric in ("image", "pixel"):
            found = np.array([[getattr(run, metric) for run in pair] for pair in pairs])
            means = ", ".join(f"{mean:.2f}" for mean in found.mean(0))
            cells += [means, f"{np.abs(found[:, 1] - found[:, 0]).max():.2f}"]
        cells += ["; ".join(_said(pair[1].search) for pair in pairs), f"{ratio:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def _run(arguments: argparse.Namespace, folder: Path, seed: int, search: str, scratch: Path) -> Run:
    fitted = edgead.fit(
        "patchcore",
        folder,
        scratch / f"{seed}-{search}.edgead",
        backbone=arguments.backbone,
        weights=arguments.weights,
        size=arguments.size,
        options={"coreset_ratio": arguments.ratio, "search": search},
        seed=seed,
        folds=0,
    )
    out = scratch / f"{seed}-{search}-compiled.edgead"
    made = edgead.export(fitted, arguments.target, out, precision=arguments.precision, max_loss=1.0)
    found = edgead.evaluate(made, folder, draws=0)
    facts = made.bundle.manifest.facts
    image, pixel = (100 * found.metrics[name].value for name in ("image_auroc", "pixel_auroc"))
    return Run(image, pixel, facts["search"], facts["bank"]["rows"], out)


def _time_ratio(pair: list[Run], frame: np.ndarray) -> float:
    """Processor time: what other processes do hardly matters to it."""
    detectors = [edgead.load(run.path, threads=1) for run in pair]
    times: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for detector, taken in zip(detectors, times, strict=True):
            start = time.process_time()
            detector(frame)
            taken.append(time.process_time() - start)
    return float(np.min(times[1]) / np.min(times[0]))


def _said(search: dict) -> str:
    if search["kind"] == "exact":
        return "exact"
    return (
        f"{search['side']} x {search['side']}, {search['dimensions']} dims, {search['candidates']} "
        f"candidates, {100 * search['off']:.1f} % off"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="+", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--target", default="openvino")
    parser.add_argument("--precision", default="int8")
    return parser.parse_args()


if __name__ == "__main__":
    main()
