"""From a process's start to the first prediction, with and without a kept graph; what importing costs.

    python benchmarks/startup.py BUNDLE [--runs N] [--engine NAME]

Every start is a process of its own. The first start with ``cache=True`` compiles and keeps the graph, in a
folder that is thrown away afterwards; the warm starts find it there. Modules: their own time, as
``python -X importtime`` counts it while the bundle is loaded, the dearest first.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rows import Better, Row, markdown, of_turns, save_rows

FIRST = """
import time
began = time.perf_counter()
import edgead
imported = time.perf_counter()
import numpy as np
bundle, engine, kept = {bundle!r}, {engine!r}, {kept}
detector = edgead.load(bundle, engine=engine, cache=kept)
loaded = time.perf_counter()
detector(np.zeros((*detector.rule.plain_size, 3), np.uint8))
print(imported - began, loaded - imported, time.perf_counter() - loaded)
"""
BARE = "import numpy, cv2"
"""What any program of the kind starts with: the rows' measure, in turns with them."""
PART, OF = "startup", "times a process that only imports NumPy and OpenCV"
COLUMNS = ("whole process, s", "import edgead", "load", "first prediction")
DEAREST = 10


def main() -> None:
    arguments = _arguments()
    rows, told = starts(arguments)
    print("\n".join(markdown(rows)))
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", told)
    dearest = sorted(((int(own), module) for own, module in lines), reverse=True)[:DEAREST]
    print(f"\n{len(lines)} modules; " + ", ".join(f"{module} {own / 1e3:.0f} ms" for own, module in dearest))
    save_rows(rows, arguments.json)


def starts(arguments: argparse.Namespace) -> tuple[list[Row], str]:
    """The rows, and what ``-X importtime`` says; the starts of the several kinds take turns."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "EDGEAD_CACHE": folder}
        first = _start(arguments, environment, True)
        bare: list[float] = []
        seconds: dict[str, list[list[float]]] = {"without a cache": [], "cache=True, warm": []}
        for _ in range(arguments.runs):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", BARE], env=environment, check=True)
            bare.append(time.perf_counter() - began)
            for name, found in seconds.items():
                found.append(_start(arguments, environment, name != "without a cache"))
        words = [sys.executable, "-X", "importtime", "-c", _code(arguments, True)]
        told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stderr
    rows = [_row(name, found, bare, "lower") for name, found in seconds.items()]
    rows.insert(1, _row("cache=True, the first", [first], [float(np.median(bare))], ""))
    return rows, told


def _row(name: str, seconds: list[list[float]], bare: list[float], better: Better) -> Row:
    figures = (f"{value:.3f}" for value in np.median(np.array(seconds), axis=0))
    shown = dict(zip(COLUMNS, figures, strict=True))
    return Row(PART, name, OF, *of_turns([whole for whole, *_ in seconds], bare), better, "", shown)


def _start(arguments: argparse.Namespace, environment: dict[str, str], kept: bool) -> list[float]:
    """Seconds: the whole process, and its three parts."""
    began = time.perf_counter()
    words = [sys.executable, "-c", _code(arguments, kept)]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    return [time.perf_counter() - began, *map(float, told.split())]


def _code(arguments: argparse.Namespace, kept: bool) -> str:
    return FIRST.format(bundle=str(arguments.bundle), engine=arguments.engine, kept=kept)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
