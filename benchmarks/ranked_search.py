"""The ranked search alone beside the exact one: time by bank, neighbours, arithmetic and engine, in one run.

    python benchmarks/ranked_search.py DATASET_DIR --weights FILE [--backbone resnet18] [--rows 16000]...
        [--k 1]... [--bound 0.01]

Real patch embeddings: a coreset of a data set's good training images, 224 x 224, is the bank; the 784 patches
of a test image are the queries. The ranking is what a fit would choose. *Faster*: processor time
of the exact search over the ranked one's, on one thread, the two taking turns. *Same row*: how many patches
find the exact search's nearest; *off*: how many distances are over 1 % too large; *mean*: by how much they
are too large on the mean: all of test images, good and defective. *Steeper*: how much more time each further
row takes, ranked over exact, from the second largest bank to the largest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray

import edgead_plugins.nearest
import edgead_plugins.ranked
from edgead.datasets import open_dataset
from edgead.images import read_image
from edgead.processor import cpu
from edgead.resize import ResizeRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.runtime.session import Session
from edgead.types import Image
from edgead.workbench.features import opened
from edgead.workbench.graph import compose_features
from edgead.workbench.recipe import resolve
from edgead_plugins.coreset import greedy_coreset, random_projection
from edgead_plugins.nearest import Bank
from edgead_plugins.ranking import EXACT, Search, best_search

Floats = NDArray[np.float32]
SIZE, GRID = (224, 224), (28, 28)
RUNS = 12
TEST_IMAGES = 8


def main() -> None:
    arguments = _arguments()
    good, mirrored, tested = _features(arguments)
    print(f"{cpu().model}, {cpu().kind}; {GRID[0] * GRID[1]} queries of {good.shape[1]}\n")
    head = [f"{engine} {form}" for engine in ("openvino", "onnxruntime") for form in ("int8", "fp32")]
    print(
        f"| bank | k | ranking | {' | '.join(f'{name}, faster' for name in head)} | same row | off | mean |"
    )
    print(f"|{' --- |' * (6 + len(head))}")
    times: dict[tuple[str, int], list[tuple[int, float, float]]] = {}
    sizes = sorted(arguments.rows or [1_600, 16_000, 100_000])
    short = good @ random_projection(good.shape[1], 128, 0)
    order = greedy_coreset(short, min(sizes[-1], len(good)), start=0)  # each a prefix of the larger ones
    for rows in sizes:
        if rows > len(good):
            print(f"| {rows:,} | not here: the data set's good images have {len(good):,} patches |")
            continue
        bank = good[order[:rows]]
        for k in arguments.k or [1, 9]:
            search = best_search(bank, mirrored, GRID, arguments.bound, k, ranked=True)
            cells, found = [], []
            for name in head:
                engine, form = name.split()
                sessions = [_session(bank, each, k, engine, form) for each in (EXACT, search)]
                exact, ranked = _times(sessions, tested[0])
                cells.append(f"{exact / ranked:.2f}")
                times.setdefault((name, k), []).append((rows, exact, ranked))
                if form == "fp32" and engine == "openvino":
                    found = [[session(patches) for patches in tested] for session in sessions]
            print(f"| {rows:,} | {k} | {_said(search)} | {' | '.join(cells + _errors(found))} |", flush=True)
    print("\n| | k | steeper |\n| --- | --- | --- |")
    for (name, k), measured in times.items():
        if len(measured) > 1:
            (few, exact, ranked), (many, exact_more, ranked_more) = measured[-2:]
            assert many > few
            print(f"| {name} | {k} | {(ranked_more - ranked) / (exact_more - exact):.2f} |")


def _features(arguments: argparse.Namespace) -> tuple[Floats, Floats, Floats]:
    """All good patches (n, dim), a few mirrored images' and some test images' (images, patches, dim)."""
    recipe = resolve("patchcore", arguments.backbone, arguments.weights)
    backbone = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), SIZE)
    split, rule = open_dataset(arguments.dataset), ResizeRule(SIZE)
    good = [rule.apply(read_image(path)) for path in split.train]
    step = max(1, len(split.test) // TEST_IMAGES)
    test = [rule.apply(read_image(sample.image)) for sample in split.test[::step]]
    with opened(compose_features(backbone, recipe.scorer, SIZE)) as session:
        return (
            np.concatenate([_patches(session, image) for image in good]),
            np.stack([_patches(session, np.ascontiguousarray(image[:, ::-1])) for image in good[:8]]),
            np.stack([_patches(session, image) for image in test]),
        )


def _patches(session: Session, image: Image) -> Floats:
    (found,) = session(image[None]).values()
    return np.ascontiguousarray(found[0].reshape(found.shape[1], -1).T)


def _session(bank: Floats, search: Search, k: int, engine: str, form: str) -> Session:
    query = spox.argument(spox.Tensor(np.float32, (GRID[0] * GRID[1], bank.shape[1])))
    arrays: dict[str, NDArray] = {}
    arguments = {}

    def parameter(name: str, value: NDArray) -> spox.Var:
        arrays[name], arguments[name] = value, spox.argument(spox.Tensor(value.dtype, value.shape))
        return arguments[name]

    for module in (edgead_plugins.nearest, edgead_plugins.ranked):  # outside of a whole graph's composing
        module.parameter = parameter
    _, found = search.find(Bank(bank), query, GRID, k, "int8" if form == "int8" else "fp32")
    outputs = {"distance": found.distance, "index": op.identity(found.index)}
    model = spox.build({"query": query, **arguments}, outputs)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, name) for name, v in arrays.items())
    del model.graph.input[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "search.onnx"
        onnx.save(model, file)
        return open_session(file, engine, EngineOptions(threads=1))


def _times(sessions: list[Session], queries: Floats) -> list[float]:
    """The shortest processor time of each: what other processes do hardly matters to it."""
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(RUNS):
        for session, taken in zip(sessions, times, strict=True):
            start = time.process_time()
            session(queries)
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def _errors(found: list[list[dict[str, NDArray]]]) -> list[str]:
    def of(which: int, name: str) -> NDArray:
        return np.stack([each[name] for each in found[which]])

    exact, ranked = of(0, "distance").mean(2), of(1, "distance").mean(2)
    same = (of(0, "index")[..., 0] == of(1, "index")[..., 0]).mean()
    ratio = ranked / np.maximum(exact, 1e-6 * exact.max())
    return [f"{same:.1%}", f"{(ratio > 1.01).mean():.2%}", f"{ratio.mean() - 1:.2%}"]


def _said(search: Search) -> str:
    ranking = search.ranking
    if ranking is None:
        return "exact"
    return f"{ranking.side} x {ranking.side}, {ranking.dimensions} dims, {ranking.candidates} candidates"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--bound", type=float, default=0.01)
    for name in ("rows", "k"):
        parser.add_argument(f"--{name}", type=int, action="append")
    return parser.parse_args()


if __name__ == "__main__":
    main()
