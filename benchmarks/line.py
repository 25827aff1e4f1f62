"""From a part's trigger to its verdict at the PLC, and how much of that isn't the detector.

    python benchmarks/line.py BUNDLE [--rates 10,30,100] [--seconds S] [--deadline-ms MS] [--size N]
        [--images DIR] [--cores 2,3] [--threads N] [--busy]

A whole line with its processes: a virtual camera whose images are N x N pixels, two judges with the bundle, a
virtual PLC in a process of its own. A part's time begins when it's at the camera on the virtual belt, holds
the virtual camera's exposure, and ends when the PLC has the verdict. What the detector takes alone is
measured at the same rate, in a process of its own with the same cores, just before; the rest is the
difference of the two medians, less the exposure. ``--busy`` has every processor computed on by something
else besides, at the same priority.

Make a bundle as a line would have it:

    edgead fit patchcore GOOD_DIR --out part.edgead
    edgead export part.edgead --target openvino --precision int8 --out part-int8.edgead
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import edgead
from edgead.line.config import line_of
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.processor import cpu
from edgead_plugins.sources.generated import EXPOSURE

ALONE = """
import json, sys, time
from pathlib import Path
import numpy as np
import edgead
from edgead.images import list_images, read_image
asked = json.loads(sys.argv[1])
detector = edgead.load(asked["bundle"], threads=asked["threads"], cores=asked["cores"] or None)
rng = np.random.default_rng(0)
side = (asked["size"], asked["size"], 3)
images = [rng.integers(60, 70, side, np.uint8) for _ in range(8)]
if asked["images"]:
    images = [read_image(file) for file in list_images(Path(asked["images"]))]
for image in images[:3]:
    detector(image)
took, due = [], time.perf_counter()
for number in range(max(20, int(asked["seconds"] * asked["rate"]))):
    due += 1 / asked["rate"]
    time.sleep(max(0.0, due - time.perf_counter()))
    began = time.perf_counter()
    detector(images[number % len(images)])
    took.append(1e3 * (time.perf_counter() - began))
print(json.dumps({"ms": took, "runs_on": detector.runs_on}))
"""
SLACK = 1.0
"""Seconds after the last part's deadline."""


def main() -> int:
    asked = _arguments()
    processor = cpu()
    print(f"{processor.model} ({processor.kind}), {processor.threads} threads, {platform.system()}, Python "
          f"{platform.python_version()}, edgead {edgead.__version__}; {_size(asked)}, deadline "
          f"{asked.deadline_ms:g} ms, cores {asked.cores or 'any'}, "
          f"{'every processor busy besides' if asked.busy else 'nothing else on purpose'}; load before: "
          f"{os.getloadavg()[0]:.1f}\n")  # fmt: skip
    columns = ("parts/s", "parts", "p50, ms", "p99, ms", "most, ms", "exposure, ms", "detector alone p50, ms",
               "the rest, ms", "the rest, share", "without a score")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|" + " --- |" * len(columns), flush=True)
    failed = False
    with _busy(asked.busy):
        for rate in asked.rates:
            alone = float(np.median(_alone(asked, rate)))
            took, whys, parts = _line(asked, rate)
            p50, p99, most = (float(np.percentile(took, q)) for q in (50, 99, 100))
            missed = ", ".join(f"{n} {why}" for why, n in whys.items() if why != "score") or "0"
            exposure = EXPOSURE / 1e6
            rest = p50 - alone - exposure
            row = (f"{rate:g}", parts, *(f"{value:.1f}" for value in (p50, p99, most, exposure, alone, rest)),
                   f"{rest / p50:.0%}", missed)  # fmt: skip
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            failed |= whys.total() != parts
    if failed:
        print("a part has no verdict, or several", file=sys.stderr)
    return int(failed)


def _alone(asked: argparse.Namespace, rate: float) -> list[float]:
    """Ms that the detector takes alone for each image, at this rate."""
    words = {name: getattr(asked, name) for name in ("threads", "cores", "size", "seconds")}
    words |= {"bundle": str(asked.bundle), "images": str(asked.images or ""), "rate": rate}
    told = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(words)], check=True, capture_output=True, text=True
    )
    return list(json.loads(told.stdout)["ms"])


def _line(asked: argparse.Namespace, rate: float) -> tuple[list[float], Counter[str], int]:
    """Ms from each part's trigger to its verdict at the PLC, verdicts by reason, and the parts."""
    parts = max(20, int(asked.seconds * rate))
    with tempfile.TemporaryDirectory(prefix="edgead-line-") as name:
        folder = Path(name)
        belt = {"belt": str(folder / "belt"), "rate": rate, "parts": parts}
        seen = {"width": asked.size, "height": asked.size, "log": str(folder / "camera")}
        if asked.images:
            seen["images"] = str(asked.images)
        document: dict[str, Any] = {
            "line": {"deadline_ms": asked.deadline_ms, "hung_ms": max(2000.0, asked.deadline_ms)},
            "camera": [{
                "name": "top", "source": "generated", "bundle": str(asked.bundle), "options": belt | seen,
                "cores": asked.cores, **({"threads": asked.threads} if asked.threads else {}),
            }],
            "sink": [{"kind": "virtual", "role": "verdict", "options": belt | {"log": str(folder / "plc")}}],
        }  # fmt: skip
        line = line_of(document, "the benchmark's line", folder)
        core = Core(Plan(line, {"top": asked.bundle.absolute()}), lambda told: None)
        over: list[float] = []

        def done() -> bool:
            if not over and (folder / "belt").exists():
                over.append(time.monotonic() + parts / rate + asked.deadline_ms / 1e3 + SLACK)
            return bool(over) and time.monotonic() > over[0] and core.arbiter.pending == 0

        core.run(done)
        triggered = {each["number"]: each["at"] for each in _lines(folder / "camera")}
        verdicts = [each for each in _lines(folder / "plc") if "verdict" in each]
    took = [(each["at"] - triggered[each["verdict"]["frame_id"]]) / 1e6 for each in verdicts]
    return took, Counter(each["verdict"]["why"] for each in verdicts), parts


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """Have every processor computed on meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_burn, daemon=True) for _ in range(os.cpu_count() or 1) if wanted]
    for each in others:
        each.start()
    try:
        yield
    finally:
        for each in others:
            each.terminate()
            each.join()


def _burn() -> None:
    values = np.random.default_rng(0).random((256, 1024))
    while True:
        np.sort(values, axis=1)


def _size(asked: argparse.Namespace) -> str:
    return f"images of {asked.images}" if asked.images else f"generated images of {asked.size} x {asked.size}"


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _rates(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rates", type=_rates, default=[10.0, 30.0, 100.0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--deadline-ms", type=float, default=1000.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cores", type=_numbers, default=[])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--busy", action="store_true", help="compute on every processor besides")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
