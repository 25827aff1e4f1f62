"""Frames one after another and in a row: of the model's size, larger, and from files; what makes some slow.

    python benchmarks/frames_in_a_row.py BUNDLE... [--larger 1024x1280] [--frames 60] [--rounds 5]
        [--calls 1000] [--threads N]

The first table: frames a second of ``Detector.map``, also with ``held=True``, over those of calls, in turns.
Processor time a frame tells what it costs beside; it's the whole process's, so that two busy cores make 2 ms
of it in each ms. Files are PNGs of the larger size, decoded ahead with ``held``, and one by one else.

The second: how long single calls take, p99 over p50, and of the slow ones (over 1.3 times p50) what they had
that the others hadn't. As much processor time in more time: they waited for a core that somebody else had.
More processor time: the work itself was slower, by page faults where there are more of those, by the clock or
the caches else. Read it on an idle machine alone.
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from rows import Row, markdown, of_turns, save_rows

from edgead.processor import cpu
from edgead.runtime.detector import Detector, load
from edgead.types import Image

FILES = 8
SLOW = 1.3


def main() -> None:
    arguments = _arguments()
    larger = tuple(int(side) for side in arguments.larger.split("x"))
    print(f"{cpu().model}, {cpu().kind}, {cpu().threads} threads\n")
    rates: list[Row] = []
    tails: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.bundles:
            detector = load(path, threads=arguments.threads)
            busy = load(path, threads=arguments.threads, throughput=True)
            name = f"{path.name}, {detector.bundle.manifest.precision}, {detector.runs_on}"
            images, files = _material(detector.rule.size, larger, Path(folder))
            for kind in ("exact", "larger", "files"):
                ways = _ways(detector, busy, images.get(kind, []), files if kind == "files" else [])
                rates += _rates(f"{name}: {kind}", ways, arguments.frames, arguments.rounds)
            for kind, some in images.items():
                tails.append(_tail(f"{name}: {kind}", detector, some, arguments.calls))
    for rows in (rates, tails):
        print("\n".join(markdown(rows)), end="\n\n")
    save_rows([*rates, *tails], arguments.json)


def _material(
    size: tuple[int, int], larger: tuple[int, ...], folder: Path
) -> tuple[dict[str, list[Image]], list[Path]]:
    rng = np.random.default_rng(0)
    images: dict[str, list[Image]] = {}
    for kind, (h, w) in (("exact", size), ("larger", larger)):
        light = np.linspace(60, 180, w, dtype=np.float32) + np.linspace(0, 40, h, dtype=np.float32)[:, None]
        images[kind] = [
            np.clip(light[..., None] + rng.normal(0, 4, (h, w, 3)), 0, 255).astype(np.uint8)
            for _ in range(FILES)
        ]
    files = []
    for index, image in enumerate(images["larger"]):
        files.append(folder / f"{index}.png")
        cv2.imwrite(str(files[-1]), image)
    return images, files


def _ways(
    detector: Detector, busy: Detector, images: Sequence[Image], files: Sequence[Path]
) -> dict[str, Callable[[int], None]]:
    """By name, what judges so many frames."""

    def frames(count: int) -> Iterator[Image]:
        if files:
            return (detector.read_image(path) for path in islice(cycle(files), count))
        return islice(cycle(images), count)

    def held(count: int) -> Iterator[Image]:
        return busy.read_images(islice(cycle(files), count)) if files else frames(count)

    def calls(count: int) -> None:
        for frame in frames(count):
            detector(frame)

    def exhaust(predictions: Iterator[object]) -> None:
        for _ in predictions:
            pass

    return {
        "calls": calls,
        "map": lambda count: exhaust(busy.map(frames(count))),
        "map, held": lambda count: exhaust(busy.map(held(count), held=True)),
    }


def _rates(name: str, ways: dict[str, Callable[[int], None]], frames: int, rounds: int) -> list[Row]:
    took: dict[str, list[float]] = {way: [] for way in ways}
    cost: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            run(3)
            began, worked = time.perf_counter(), time.process_time()
            run(frames)
            took[way].append((time.perf_counter() - began) / frames)
            cost[way].append((time.process_time() - worked) / frames)
    rows = []
    for way in ways:
        ratio, low, high = of_turns(took["calls"], took[way])
        shown = {
            "frames a second": f"{1 / np.median(took[way]):.0f}",
            "processor ms a frame": f"{1e3 * np.median(cost[way]):.2f}",
        }
        better = "higher" if way != "calls" else ""
        rows.append(Row("rows", f"{name}, {way}", "rate over calls'", ratio, low, high, better, shown=shown))
    return rows


def _tail(name: str, detector: Detector, images: Sequence[Image], calls: int) -> Row:
    """Time single calls; collecting garbage is left as it is for a program: on."""
    facts = np.empty((calls, 4))  # seconds, processor seconds, page faults, switches that weren't wished for
    for image in images:
        detector(image)
    gc.collect()
    for index, image in enumerate(islice(cycle(images), calls)):
        before, began, worked = _usage(), time.perf_counter(), time.process_time()
        detector(image)
        facts[index, :2] = time.perf_counter() - began, time.process_time() - worked
        facts[index, 2:] = np.subtract(_usage(), before)
    p50, p99 = np.percentile(facts[:, 0], [50, 99])
    is_slow = facts[:, 0] > SLOW * p50
    shown = {"p50 ms": f"{1e3 * p50:.2f}", "p99 ms": f"{1e3 * p99:.2f}", "slow": f"{is_slow.mean():.1%}"}
    if is_slow.any():
        slow, usual = facts[is_slow].mean(0), facts[~is_slow].mean(0)
        shown["slow: time"] = f"{slow[0] / usual[0]:.2f} x"
        shown["slow: processor time"] = f"{slow[1] / usual[1]:.2f} x"
        shown["slow: page faults"] = f"{slow[2]:.1f} for {usual[2]:.1f}"
        shown["slow: switches"] = f"{slow[3]:.1f} for {usual[3]:.1f}"
    ratio = float(p99 / p50)
    return Row("tail", name, "p99 over p50", ratio, ratio, ratio, "lower", shown=shown)


def _usage() -> tuple[int, int]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_minflt, used.ru_nivcsw


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--larger", default="1024x1280", metavar="HxW")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
