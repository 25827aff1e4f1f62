"""Judge frames by the million and see whether anything grows, or a score is ever another one.

    python tools/soak.py [--frames N] [--bundle PATH]... [--engine NAME]... [--threads N]

Without ``--bundle`` a small PatchCore is fitted on the demo's parts at 32 x 32 and compiled for both engines.
Each engine works in a process of its own. The frames are few and come again and again: another process has
judged each of them first, and every later score and anomaly map must be the same bits. Of a thousand frames
nine hundred are single calls and a hundred go through ``map``; one is no frame at all and must be refused.

Printed is a row each tenth of the way, resident memory, descriptors and threads. What the process takes when
1 % of the frames are judged is the start. The exit code is 1 where a result differed, memory was ever more
than 2 MB over the start, or there were more descriptors or threads.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

import edgead
from edgead.demo.product import make_product
from edgead.errors import FrameError
from edgead.evaluation.memory import resident

SIDE, KINDS, BLOCK, BY_MAP = 32, 64, 1000, 100
MOST_GROWTH = 2 << 20
Result = tuple[bytes, bytes]


def main() -> int:
    arguments = _arguments()
    logging.getLogger("edgead").setLevel(logging.ERROR)
    print(f"{_processor()}, {platform.system()}, Python {platform.python_version()}, edgead "
          f"{edgead.__version__}\n")  # fmt: skip
    print("| engine | frames | frames/s | memory, MB | grown, MB | descriptors | threads | differing |")
    print("|" + " --- |" * 8, flush=True)
    with tempfile.TemporaryDirectory(prefix="edgead-soak-") as folder:
        bundles = arguments.bundle or _bundles(Path(folder), arguments.engine or ["openvino", "onnxruntime"])
        engines = arguments.engine or [None]
        jobs = list(itertools.product(bundles, engines)) if arguments.bundle else [(b, None) for b in bundles]
        return max(_soak(path, engine, arguments.frames, arguments.threads) for path, engine in jobs)


def _soak(path: Path, engine: str | None, frames: int, threads: int) -> int:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        recorded = process.submit(record, path, engine, threads).result()
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(judge, path, engine, threads, frames, recorded).result()


def record(path: Path, engine: str | None, threads: int) -> list[Result]:
    """What each frame's results are, in a process that judges each once."""
    detector = edgead.load(path, engine=engine, threads=threads)
    return [_bits(detector(frame)) for frame in pictures(detector)]


def judge(path: Path, engine: str | None, threads: int, frames: int, recorded: list[Result]) -> int:
    """Judge all frames, print the rows and return the exit code."""
    detector = edgead.load(path, engine=engine, threads=threads)
    kinds = pictures(detector)
    cycle = itertools.cycle(range(len(kinds)))
    start: list[int] = []
    most, differing, done, began = [0, 0, 0], 0, 0, time.perf_counter()
    settled, row = max(frames // 100, 1), max(frames // 10, 1)
    next_row = row
    while done < frames:
        differing += sum(_bits(found) != recorded[kind] for kind, found in _block(detector, kinds, cycle))
        done += BLOCK
        if done < settled:
            continue
        now = [resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))]  # noqa: PTH208
        start = start or now
        most = [max(pair) for pair in zip(most, now, strict=True)]
        if done >= next_row:
            next_row += row
            rate = done / (time.perf_counter() - began)
            cells = (
                detector.runs_on,
                f"{done:,}",
                f"{rate:.0f}",
                f"{most[0] / 1e6:.1f}",
                f"{(most[0] - start[0]) / 1e6:+.1f}",
                *map(str, (*most[1:], differing)),
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    grown = [end - first for end, first in zip(most, start, strict=True)]
    return int(differing > 0 or grown[0] > MOST_GROWTH or grown[1] > 0 or grown[2] > 0)


def _block(
    detector: edgead.Detector, kinds: list[np.ndarray], cycle: Iterator[int]
) -> Iterator[tuple[int, edgead.Prediction]]:
    for kind in itertools.islice(cycle, BLOCK - BY_MAP):
        yield kind, detector(kinds[kind])
    numbers = list(itertools.islice(cycle, BY_MAP))
    yield from zip(numbers, detector.map(kinds[kind] for kind in numbers), strict=True)
    try:
        detector(np.zeros((0, 7), np.uint8))
    except FrameError:
        return
    raise AssertionError("what is no frame was judged")


def pictures(detector: edgead.Detector) -> list[np.ndarray]:
    """Frames of the demo's parts, of twice the model's size, every other one with a blot."""
    height, width = detector.rule.size
    made = []
    for index in range(KINDS):
        frame = cv2.resize(make_product(1, index % 16), (2 * width, 2 * height), interpolation=cv2.INTER_AREA)
        rng = np.random.default_rng(index)
        frame = np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
        if index % 2:
            cv2.circle(frame, (int(rng.integers(width)), int(rng.integers(height))), width // 4, 20, -1)
        made.append(frame)
    return made


def _bits(found: edgead.Prediction) -> Result:
    return np.float64(found.score).tobytes(), found.anomaly_map.tobytes()


def _bundles(folder: Path, engines: list[str]) -> list[Path]:
    targets = {"openvino": "openvino", "onnxruntime": "onnx"}
    good = folder / "good"
    good.mkdir()
    for index in range(24):
        cv2.imwrite(str(good / f"{index:03d}.png"), make_product(0, index))
    fitted = edgead.fit(
        "patchcore", good, folder / "fitted.edgead", size=SIDE, options={"coreset_ratio": 0.1}
    )
    return [
        edgead.export(fitted, targets[engine], folder / f"{engine}.edgead", precision="fp32").path
        for engine in engines
    ]


def _processor() -> str:
    """Its class, not its maker's number: what the figures depend on."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        flags = []
    known = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if name in flags]
    return f"{platform.machine()} ({', '.join(known) or 'features unknown'}), {os.cpu_count()} cores"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--bundle", type=Path, action="append", help="compiled; may be given again")
    parser.add_argument("--engine", action="append", help="openvino or onnxruntime; default: both")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
