"""Farthest-point selection, ours against others: one table from one run.

    python benchmarks/coreset.py [GOOD_DIR] [--backbone resnet18 --weights FILE] [--peer-python PYTHON]
    python benchmarks/coreset.py --features FILE.npy --verify

Two data sets: 156,800 x 128 random normal values, and the patch embeddings of real images (GOOD_DIR through
the backbone at 256 x 256 as PatchCore embeds them, or an .npy file; where --features names one that isn't
there, it's written). Against: the naive loop in numpy, which defines the picks; a tight loop in torch, one
matrix-vector product a pick; and anomalib's KCenterGreedy. The latter two need an environment with torch and
anomalib, whose interpreter --peer-python names; they run there as a subprocess.

The others are timed for --seconds each and EXTRAPOLATED, their picks a second held constant; with --full they
run to the end. --streaming adds a table of what bounded memory costs. --verify checks the whole of our
selection: in float64, by other means. On a machine with other work, --processor-time with
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 tells what one idle core would take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

START = 0


@dataclass
class Timing:
    """picks timed, their seconds, seconds for all picks (extrapolated where fewer were timed)."""

    name: str
    timed: int
    seconds: float
    whole: float
    picks: list[int] = field(default_factory=list)


def clock(arguments: argparse.Namespace) -> float:
    return time.process_time() if arguments.processor_time else time.perf_counter()


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        _peer(arguments)
        return
    from edgead.machine import cpu
    from edgead_plugins.coreset import random_projection

    threads = os.environ.get("OPENBLAS_NUM_THREADS", cpu().threads)
    kind = "processor time" if arguments.processor_time else "wall time"
    print(f"{cpu().model}, {threads} threads, {kind}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.real_only:
            file = Path(folder) / "normal.npy"
            np.save(file, np.random.default_rng(0).standard_normal((156_800, 128), dtype=np.float32))
            _compare("random normal values", file, arguments)
        if arguments.images or arguments.features:
            file = arguments.features or Path(folder) / "embeddings.npy"
            if not file.exists():
                np.save(file, _embeddings(arguments))
            title = "embeddings of real images"
            if arguments.project:
                points = np.load(file)
                file, title = Path(folder) / "projected.npy", f"{title}, projected"
                np.save(file, points @ random_projection(points.shape[1], arguments.project, seed=0))
            _compare(title, file, arguments)


def _compare(title: str, file: Path, arguments: argparse.Namespace) -> None:
    from edgead_plugins.farthest_point import FarthestPointSearch

    points = np.load(file)
    n, dim = points.shape
    picks = int(n * arguments.ratio)
    loads = [os.getloadavg()[0]]
    times = []
    for _ in range(arguments.repeats):
        begin = clock(arguments)
        search = FarthestPointSearch(points, picks, START)
        search.run(lambda done: None)
        times.append(clock(arguments) - begin)
    ours = Timing("edgead", picks, min(times), min(times), search.picks.tolist())
    others = [_naive(points, picks, arguments)]
    if arguments.peer_python:
        others += _peers(file, picks, arguments)
    loads.append(os.getloadavg()[0])
    print(f"\n{title}: {n:,} x {dim}, {picks:,} picks; load average {loads[0]:.1f} to {loads[1]:.1f}")
    print("| | picks timed | s | picks/s | all picks, s | edgead is faster by | same picks |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in [ours, *others]:
        mark = "" if row.timed == picks else " extrapolated"
        pairs = zip(ours.picks, row.picks, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(row.picks))
        agree = f"the first {same:,} of {len(row.picks):,}" if row.picks else "projects and starts at random"
        print(
            f"| {row.name} | {row.timed:,} | {row.seconds:.2f} | {row.timed / row.seconds:,.1f} "
            f"| {row.whole:,.1f}{mark} | {row.whole / ours.whole:,.0f} x | {agree} |",
            flush=True,
        )
    print(f"edgead's runs: {', '.join(f'{t:.2f}' for t in times)} s")
    if arguments.streaming:
        _streaming(points, search.picks)
    if arguments.verify:
        _verify(points, search.picks, search.radii)


def _loop(name: str, step: Callable[[], int], picks: int, arguments: argparse.Namespace) -> Timing:
    """Time ``step``, which returns the next pick, for --seconds or for all picks."""
    order, begin = [START], clock(arguments)
    while len(order) < picks and (arguments.full or clock(arguments) - begin < arguments.seconds):
        order.append(step())
    passed = clock(arguments) - begin
    return Timing(name, len(order), passed, passed * (picks - 1) / (len(order) - 1), order)


def _naive(points: np.ndarray, picks: int, arguments: argparse.Namespace) -> Timing:
    exact = points.astype(np.float64)
    distance = np.full(len(exact), np.inf)
    last = START

    def step() -> int:
        nonlocal last, distance
        distance = np.minimum(distance, ((exact - exact[last]) ** 2).sum(axis=1))
        last = int(distance.argmax())
        return last

    return _loop("naive numpy, float64", step, picks, arguments)


def _verify(points: np.ndarray, picks: np.ndarray, radii: np.ndarray) -> None:
    """Replay the selection: at each step the pick was as far as we say, and nobody was farther.

    The distances come from float64 matrix products, so a rival within 1e-11 can't be told from the pick; such
    steps are counted and shown.
    """
    exact = points - points.mean(axis=0, dtype=np.float64)
    norm = np.einsum("ij,ij->i", exact, exact)
    centres = exact[picks]
    limit = radii[1:]
    tolerance = 1e-11 * norm.max()
    wrong = np.zeros(len(limit), bool)
    rivals = np.zeros(len(limit), np.int64)
    for i in range(0, len(exact), 1024):
        rows = slice(i, i + 1024)
        distance = norm[picks] - 2 * (exact[rows] @ centres.T) + norm[rows, None]
        nearest = np.minimum.accumulate(distance, axis=1, out=distance)[:, :-1]
        wrong |= (nearest > limit + tolerance).any(axis=0)
        rivals += (nearest > limit - tolerance).sum(axis=0)
        here = np.flatnonzero((picks[1:] >= i) & (picks[1:] < i + 1024))
        wrong[here] |= np.abs(nearest[picks[1:][here] - i, here] - limit[here]) > tolerance
    print(
        f"verified: right at {(~wrong).sum():,} of {len(limit):,} steps; "
        f"at {(rivals > 1).sum():,} another point came within 1e-11 of the pick's distance"
    )


def _streaming(points: np.ndarray, exact: np.ndarray) -> None:
    """Covering radius and mean distance to the nearest pick, with less and less memory."""
    from edgead_plugins import coreset
    from edgead_plugins.farthest_point import memory

    n, dim = points.shape
    picks = len(exact)
    print(f"\n| {picks:,} picks with at most | groups | s | covering radius | mean distance |")
    print("| --- | --- | --- | --- | --- |")
    whole = 4 * n * dim + memory(n, picks, dim) + 48 * picks
    base = memory(0, 0, dim)
    for share in (1, 0.6, 0.35, 0.2, 0.1):
        allowed = int(base + share * (whole - base))
        groups, _ = coreset._groups_that_fit(n, dim, picks, allowed)
        chunks = (points[i : i + 1024] for i in range(0, n, 1024))
        begin = time.perf_counter()
        found = coreset.streaming_coreset(lambda c=chunks: c, n, picks, allowed, start=START)
        seconds = time.perf_counter() - begin
        radius, mean = _cover(points, found)
        print(f"| {allowed >> 20} MiB | {groups} | {seconds:.1f} | {radius:.4f} | {mean:.4f} |", flush=True)
    radius, mean = _cover(points, np.random.default_rng(0).choice(n, picks, replace=False))
    print(f"| random picks | | | {radius:.4f} | {mean:.4f} |")


def _cover(points: np.ndarray, picks: np.ndarray) -> tuple[float, float]:
    """Largest and mean distance to the nearest pick."""
    exact = points - points.mean(axis=0, dtype=np.float64)
    norm = np.einsum("ij,ij->i", exact, exact)
    nearest = np.empty(len(exact))
    for i in range(0, len(exact), 1024):
        rows = slice(i, i + 1024)
        nearest[rows] = (norm[picks] - 2 * (exact[rows] @ exact[picks].T)).min(axis=1) + norm[rows]
    distance = np.sqrt(nearest.clip(0))
    return float(distance.max()), float(distance.mean())


def _embeddings(arguments: argparse.Namespace) -> np.ndarray:
    """(patches, dim) float32, as PatchCore sees them: FP32 backbone, no projection."""
    from edgead.progress import make_progress
    from edgead.workbench.features import fitting_data, training_data
    from edgead.workbench.good_images import read_known
    from edgead.workbench.recipe import resolve

    progress = make_progress()
    recipe = resolve("patchcore", arguments.backbone, arguments.weights)
    frames, _ = read_known(arguments.images, (256, 256), recipe.backbone.input.multiple, progress)
    graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), (256, 256))
    data = training_data(recipe.backbone, frames, 0, progress, Path())
    with fitting_data(graph, recipe.scorer, data) as training:
        maps = [next(iter(m.values())) for m in training.features()]
    return np.ascontiguousarray(np.concatenate([m.reshape(len(m), -1).T for m in maps]))


# ---------------------------------------------------------------- what runs in the peers' environment


def _peers(file: Path, picks: int, arguments: argparse.Namespace) -> list[Timing]:
    """Run this file there. Without a low mmap threshold, anomalib's memory grows with every pick."""
    command = [arguments.peer_python, __file__, "--worker", str(picks), "--features", str(file)]
    command += ["--seconds", str(arguments.seconds)] + ["--full"] * arguments.full
    command += ["--processor-time"] * arguments.processor_time
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    environment |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return [Timing(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def _peer(arguments: argparse.Namespace) -> None:
    import torch

    points = torch.from_numpy(np.load(arguments.features))
    rows = [_torch(points, arguments), _anomalib(points, arguments)]
    sys.stdout.write("\n" + json.dumps([vars(row) for row in rows]) + "\n")


def _torch(points, arguments: argparse.Namespace) -> Timing:
    import torch

    centred = points - points.mean(0)
    norm = (centred * centred).sum(1)
    distance = torch.full_like(norm, torch.inf)
    last = START

    def step() -> int:
        nonlocal last, distance
        product = torch.addmv(norm + norm[last], centred, centred[last], alpha=-2)
        distance = torch.minimum(distance, product)
        last = int(distance.argmax())
        return last

    return _loop("tight torch loop", step, arguments.worker, arguments)


def _anomalib(points, arguments: argparse.Namespace) -> Timing:
    import torch
    from anomalib.models.components.sampling import KCenterGreedy

    def select(picks: int) -> float:
        torch.manual_seed(0)
        sampler = KCenterGreedy(points, arguments.worker / len(points))
        sampler.coreset_size = picks
        begin = clock(arguments)
        sampler.select_coreset_idxs()
        return clock(arguments) - begin

    picks = arguments.worker
    if arguments.full:
        seconds = select(picks)
        return Timing("anomalib KCenterGreedy", picks, seconds, seconds)
    few = select(10)  # the projection, mostly
    guess = (select(20) - few) / 10
    more = 20 + max(10, int(arguments.seconds / max(guess, 1e-4)))
    seconds = select(min(picks, more))
    each = (seconds - few) / (more - 10)
    return Timing("anomalib KCenterGreedy", more, seconds, few + each * (picks - 10))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, nargs="?", help="a folder of good images")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--weights", type=Path)
    parser.add_argument(
        "--features", type=Path, help=".npy of (N, D) float32; made from the images if absent"
    )
    parser.add_argument(
        "--project", type=int, default=0, help="dimensions to project the features to; 0: don't"
    )
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours; the fastest counts")
    parser.add_argument("--seconds", type=float, default=30, help="how long each of the others is timed")
    parser.add_argument("--full", action="store_true", help="run the others to the end: hours")
    parser.add_argument(
        "--processor-time", action="store_true", help="time the processor's work, not the wall's"
    )
    parser.add_argument("--verify", action="store_true", help="check every pick of ours: minutes")
    parser.add_argument("--streaming", action="store_true", help="measure selection in bounded memory")
    parser.add_argument("--real-only", action="store_true", help="leave the random values out")
    parser.add_argument("--peer-python", help="an interpreter with torch and anomalib")
    parser.add_argument("--worker", type=int, metavar="PICKS", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
