"""What it changes that folds share their coresets' work: scores of unseen images, and processor time.

    python benchmarks/fold_coresets.py DATASET_DIR... --weights FILE [--backbone resnet18] [--size 256]
        [--ratio 0.1 --ratio 0.01] [--folds 10] [--first N]

A row a data set and ratio. Every good image is judged by PatchCore's bank of the other folds: once of a
coreset of all their patches (``fit``), once of the coreset of what each fold offers (``fit_folds``). Compared
are image scores, shared over own: their median ratio, how far single ones scatter, and the 95 % quantiles';
besides, the mean patch score's ratio and what fitting the folds takes. As much scatter comes of another seed,
which the last columns show. ``--first N`` fits and compares the first N folds alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgead.datasets import open_dataset
from edgead.processor import cpu
from edgead.progress import silent
from edgead.types import Features, FittedScorer, FittingData
from edgead.workbench.features import all_but, fitting_data, training_data
from edgead.workbench.folds import fold_of_each
from edgead.workbench.good_images import read_known
from edgead.workbench.recipe import resolve
from edgead_plugins.patchcore import PatchCore, PatchCoreOptions


def main() -> None:
    arguments = _arguments()
    print(f"{cpu().model}, {cpu().kind}\n")
    print("| data set | ratio | image score, median | scatter | 95 % quantile | patch score, mean | time |"
          " another seed: median | scatter |\n|" + " --- |" * 9)  # fmt: skip
    for folder in arguments.dataset:
        offer, maps = _features(arguments, folder)
        for ratio in arguments.ratio or [0.1, 0.01]:
            print(f"| {folder.name} | {ratio:g} | {_row(arguments, offer, maps, ratio)} |", flush=True)


def _row(arguments: argparse.Namespace, offer: FittingData, maps: list[Features], ratio: float) -> str:
    scorer = PatchCore(PatchCoreOptions(coreset_ratio=ratio, search="exact"))
    fold_of = fold_of_each(np.arange(len(maps)), arguments.folds, 0)
    count = min(arguments.first or arguments.folds, int(fold_of.max()) + 1)
    parts = [_part(offer, maps, np.flatnonzero(fold_of == fold)) for fold in range(int(fold_of.max()) + 1)]
    own = [[maps[i] for i in np.flatnonzero(fold_of == fold)] for fold in range(count)]

    def alone(seed: int) -> Iterable[FittedScorer]:
        for fold in range(count):
            yield scorer.fit(replace(all_but(parts, fold), seed=seed))

    exact, exact_seconds = _judged(alone(0), own)
    shared, seconds = _judged(scorer.fit_folds(parts), own)
    other, _ = _judged(alone(1), own)
    image, patch = shared[0] / exact[0], shared[1].mean() / exact[1].mean()
    quantiles = np.quantile(shared[0], 0.95) / np.quantile(exact[0], 0.95)
    seeds = other[0] / exact[0]
    told = [np.median(image), image.std(), quantiles, patch, seconds / exact_seconds]
    return " | ".join(f"{value:.3f}" for value in (*told, np.median(seeds), seeds.std()))


def _judged(
    fits: Iterable[FittedScorer], own: list[list[Features]]
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Image scores and mean patch scores, and the processor time of fitting alone, seconds."""
    images, patches, seconds = [], [], 0.0
    source = iter(fits)
    for maps in own:
        start = time.process_time()
        fitted = next(source)
        seconds += time.process_time() - start
        patch, image = fitted.in_bulk(maps)  # type: ignore[attr-defined]
        images.append(image)
        patches.append(patch.mean((1, 2)))
        del fitted
    return (np.concatenate(images), np.concatenate(patches)), seconds


def _part(offer: FittingData, maps: list[Features], which: np.ndarray) -> FittingData:
    some = [maps[i] for i in which]
    return replace(offer, n_images=len(some), features=lambda: iter(some), images=lambda: iter(()))


def _features(arguments: argparse.Namespace, folder: Path) -> tuple[FittingData, list[Features]]:
    recipe = resolve("patchcore", backbone=arguments.backbone, weights=arguments.weights)
    paths = list(open_dataset(folder).train)
    size = arguments.size, arguments.size
    frames, _ = read_known(paths, size, recipe.backbone.input.multiple, silent)
    with tempfile.TemporaryDirectory() as scratch:
        data = training_data(recipe.backbone, frames, 0, silent, Path(scratch))
        graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), size)
        with fitting_data(graph, recipe.scorer, data) as offer:
            maps = [{name: array.copy() for name, array in each.items()} for each in offer.features()]
    return offer, maps


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ratio", type=float, action="append")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--first", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
