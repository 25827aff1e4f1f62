"""How much of a nearest-neighbour search exact pruning could leave out, on real images.

    python benchmarks/pruning.py DATASET_DIR --backbone NAME --weights FILE [--rows 16000 --rows 100000]

The bank is a random part of the good images' patches, the queries are those of test images. A bound leaves a
row out for a query when it proves that the row is farther than the nearest one; that distance is taken as
known, which no search has for nothing, so all shares are lower limits. *Centroids*: rows in clusters; those
of a whole cluster are |q - c| - radius away at least. *Components*: distances along the first principal
components alone, and the difference of what's left of both norms. *Image*: the share that at least one of
its patches needs, which is what a product for all patches has to calculate. The product's milliseconds are
one thread's in INT8, with the search for the best row of each chunk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from nearest import milliseconds
from sklearn.cluster import MiniBatchKMeans

from edgead.datasets import find_samples
from edgead.images import list_images
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.workbench.features import fitting_data, training_data
from edgead.workbench.good_images import GoodImages
from edgead.workbench.recipe import open_backbone
from edgead_plugins.patchcore import PatchCore

SIZE = (256, 256)
GOOD, TEST = 200, 12
CLUSTERS = (250, 1000, 4000)
COMPONENTS = (64, 96, 128)


def main() -> None:
    arguments = _arguments()
    bank, queries = _patches(arguments)
    print("| bank rows | bound | rows left for a patch: mean, median, 99 % | for the image | product, ms |")
    print("| --- | --- | --- | --- | --- |")
    for rows in arguments.rows or [16_000, 100_000]:
        part = bank[np.sort(np.random.default_rng(0).permutation(len(bank))[:rows])]
        _table(part, queries)


def _table(bank: np.ndarray, queries: np.ndarray) -> None:
    best = np.stack([_squared_distances(image, bank).min(1) for image in queries])
    print(f"| {len(bank):,} | none | 100 % | 100 % | {milliseconds(bank.shape, queries.shape[1]):.0f} |")
    for count in CLUSTERS:
        clusters = MiniBatchKMeans(count, random_state=0, n_init=1, batch_size=4096, max_iter=20).fit(bank)
        centres, of = clusters.cluster_centers_, clusters.labels_
        away = np.sqrt(((bank - centres[of]) ** 2).sum(1))
        radius = np.array([away[of == c].max(initial=0) for c in range(count)])
        members = np.bincount(of, minlength=count)
        needed = [
            (np.sqrt(_squared_distances(image, centres)) - radius <= np.sqrt(nearest)[:, None])
            for image, nearest in zip(queries, best, strict=True)
        ]
        left = np.stack([n @ members for n in needed]) / len(bank)
        _row(f"{count} centroids", left, np.mean([n.any(0) @ members for n in needed]) / len(bank))
    _, axes = np.linalg.eigh(np.cov(bank[:: max(1, len(bank) // 20_000)].T))
    bank, queries = bank @ axes[:, ::-1], queries @ axes[:, ::-1]
    for count in COMPONENTS:
        rest = np.linalg.norm(bank[:, count:], axis=1)
        left, union = [], []
        for image, nearest in zip(queries, best, strict=True):
            bound = _squared_distances(image[:, :count], bank[:, :count])
            bound += (np.linalg.norm(image[:, count:], axis=1)[:, None] - rest) ** 2
            needed_rows = bound <= nearest[:, None]
            left.append(needed_rows.mean(1))
            union.append(needed_rows.any(0).mean())
        ms = milliseconds((len(bank), count), queries.shape[1])
        _row(f"{count} of {bank.shape[1]} components", np.stack(left), np.mean(union), f"{ms:.0f}")


def _row(bound: str, left: np.ndarray, image: float, milliseconds: str = "-") -> None:
    mean, median, tail = np.mean(left), np.median(left), np.percentile(left, 99)
    shares = f"{mean:.2%}, {median:.2%}, {tail:.2%}"
    print(f"| | {bound} | {shares} | {image:.1%} | {milliseconds} |", flush=True)


def _patches(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Good images' patches (n, dim), and test images' (images, patches, dim), float32, the mean taken off."""
    backbone, scorer = open_backbone(arguments.backbone, arguments.weights), PatchCore()
    plain = backbone.onnx(scorer.feature_maps(backbone), SIZE)
    samples = find_samples(arguments.dataset)
    files = list_images(arguments.dataset / "train" / "good")[:GOOD]
    found = []
    for paths in (files, [s.image for s in samples[:: max(1, len(samples) // TEST)]]):
        data = training_data(backbone, GoodImages(tuple(paths), ResizeRule(SIZE)), 0, silent, Path())
        with fitting_data(plain, scorer, data) as t:
            found.append(np.stack([m["patches"].reshape(len(m["patches"]), -1).T for m in t.features()]))
    good, tests = found
    mean = good.mean((0, 1))
    return (good - mean).reshape(-1, good.shape[2]), tests - mean


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rows", type=int, action="append", help="of the bank")
    return parser.parse_args()


if __name__ == "__main__":
    main()
