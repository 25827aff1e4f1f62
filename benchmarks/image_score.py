"""Which image score tells real defects apart: every method, every data set, several seeds, in one table.

    python benchmarks/image_score.py DATASET_DIR... [--method patchcore ...] [--seed 0 --seed 1 ...]
        [--preset quick] [--size 256x256] [--backbone NAME --weights FILE]

Each method is fitted once a data set in MVTec layout and seed, in FP32 on all good images, and composed once
for each image score. Each cell: image AUROC on the test images, and in brackets the recall at the threshold
that 5 % of the test's own good images exceed; means over the seeds. Methods that train need torch.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from edgead.datasets import open_dataset
from edgead.errors import EdgeadError, one_line
from edgead.image_score import CANDIDATES, MAXIMUM, PAPER, TOP_SHARE, ImageScore
from edgead.images import read_image
from edgead.metrics.scores import auroc
from edgead.plugins import registry
from edgead.progress import silent
from edgead.types import ChoosesImageScore
from edgead.workbench.features import fitting_data, opened, training_data
from edgead.workbench.forms import backbone_forms, trained
from edgead.workbench.good_images import read_good
from edgead.workbench.graph import compose
from edgead.workbench.recipe import Recipe, resolve

NAMES = {PAPER: "paper", MAXIMUM: "maximum", TOP_SHARE: "top 1 %"}
Cell = tuple[float, float]
"""AUROC and recall, percent."""


def main() -> None:
    arguments = _arguments()
    print("| method | data | " + " | ".join(NAMES.values()) + " |")
    print("|---|---|" + "---|" * len(NAMES))
    means: dict[str, list[list[float]]] = {}
    for method in arguments.methods or ["patchcore", "padim", "spade"]:
        for folder in arguments.datasets:
            try:
                found = [_cells(method, folder, seed, arguments) for seed in arguments.seeds or [0, 1, 2]]
            except EdgeadError as error:
                print(f"| {method} | {folder.name} | {one_line(error, 'message')} |", flush=True)
                continue
            mean = np.mean([[run[each] for each in CANDIDATES] for run in found], axis=0)
            means.setdefault(method, []).append([cell[0] for cell in mean])
            said = " | ".join(f"{area:.1f} ({recall:.0f})" for area, recall in mean)
            print(f"| {method} | {folder.name} | {said} |", flush=True)
    for method, rows in means.items():
        print(f"| {method} | mean | " + " | ".join(f"{value:.1f}" for value in np.mean(rows, axis=0)) + " |")


def _cells(method: str, folder: Path, seed: int, arguments: argparse.Namespace) -> dict[ImageScore, Cell]:
    """Fit once, and judge the test images by each image score."""
    data = open_dataset(folder)
    preset = arguments.preset if arguments.preset in registry().get("methods", method)().presets else None
    recipe = resolve(method, arguments.backbone, arguments.weights, preset=preset)
    reading = read_good(data.train, arguments.size, recipe.backbone.input.multiple, silent)
    images = [reading.images.rule.apply(read_image(sample.image)) for sample in data.test]
    is_good = np.array([sample.is_good for sample in data.test])
    with tempfile.TemporaryDirectory() as scratch:
        given = training_data(recipe.backbone, reading.images, seed, silent, Path(scratch) / "checkpoint")
        ready: Recipe = trained(recipe, given)
        graph = backbone_forms(ready, given, ())[0]["fp32"]
        with fitting_data(graph, ready.scorer, dataclasses.replace(given, backbone=ready.backbone)) as offer:
            fitted = ready.scorer.fit(offer)
    found = {}
    for each in CANDIDATES:
        assert isinstance(ready.postprocessor, ChoosesImageScore)
        finish = ready.postprocessor.with_image_score(each)
        model = compose(graph, ready.scorer, fitted, finish, given.size, "fp32").model
        with opened(model, throughput=True) as session:
            outputs = session.map(image[None] for image in images)
            scores = np.array([float(output["score"][0]) for output in outputs])
        good, bad = scores[is_good], scores[~is_good]
        recall = float((bad > np.quantile(good, 0.95)).mean())
        found[each] = 100 * (auroc(good, bad) or 0.0), 100 * recall
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET_DIR")
    parser.add_argument("--method", dest="methods", action="append")
    parser.add_argument("--seed", dest="seeds", type=int, action="append")
    parser.add_argument("--preset")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))))
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
