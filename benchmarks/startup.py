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

FIRST = """
import time
began = time.perf_counter()
import edgead
imported = time.perf_counter()
import numpy as np
bundle, engine, kept = {bundle!r}, {engine!r}, {kept}
detector = edgead.load(bundle, engine=engine, cache=kept)
loaded = time.perf_counter()
detector(np.zeros((*detector.rule.size, 3), np.uint8))
print(imported - began, loaded - imported, time.perf_counter() - loaded)
"""
DEAREST = 10


def main() -> None:
    arguments = _arguments()
    print("| start | whole process, s | import edgead | load | first prediction |\n|" + " --- |" * 5)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "EDGEAD_CACHE": folder}
        _print("without a cache", [_start(arguments, environment, False) for _ in range(arguments.runs)])
        _print("cache=True, the first", [_start(arguments, environment, True)])
        _print("cache=True, warm", [_start(arguments, environment, True) for _ in range(arguments.runs)])
        words = [sys.executable, "-X", "importtime", "-c", _code(arguments, True)]
        told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stderr
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", told)
    dearest = sorted(((int(own), module) for own, module in lines), reverse=True)[:DEAREST]
    print(f"\n{len(lines)} modules; " + ", ".join(f"{module} {own / 1e3:.0f} ms" for own, module in dearest))


def _start(arguments: argparse.Namespace, environment: dict[str, str], kept: bool) -> list[float]:
    """Seconds: the whole process, and its three parts."""
    began = time.perf_counter()
    words = [sys.executable, "-c", _code(arguments, kept)]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    return [time.perf_counter() - began, *map(float, told.split())]


def _code(arguments: argparse.Namespace, kept: bool) -> str:
    return FIRST.format(bundle=str(arguments.bundle), engine=arguments.engine, kept=kept)


def _print(name: str, seconds: list[list[float]]) -> None:
    figures = [f"{value:.3f}" for value in np.median(np.array(seconds), axis=0)]
    print(f"| {name} | {' | '.join(figures)} |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--engine", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
