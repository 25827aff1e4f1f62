"""Nearest neighbours in the graph: milliseconds by bank, neighbours, arithmetic and engine, in one run.

    python benchmarks/nearest.py [--queries 784] [--dim 384]... [--rows 1600]... [--k 1]... [--threads N]

The graph is that part of PatchCore's alone: ranking all rows, the k best, and their distances. Values are
random, which changes nothing. *Of the yardstick*: the share of the rate at which the machine multiplies large
matrices in that arithmetic, by the product's own multiplications and additions.
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
from yardstick import describe, yardstick

from edgead.machine import cpu
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead_plugins.nearest import LoweredBank

RUNS = 11
ENGINES = ("openvino", "onnxruntime")


def main() -> None:
    arguments = _arguments()
    threads = arguments.threads or cpu().threads
    rates = yardstick(threads)
    units = ", ".join(name for name, there in (cpu().units or {}).items() if there)
    print(f"{cpu().model} ({units}), {threads} threads; {arguments.queries} queries; {describe(rates)}\n")
    head = [f"{engine} {form}" for form in ("int8", "fp32") for engine in ENGINES]
    print(f"| bank | k | {' | '.join(f'{name}, ms (of the yardstick)' for name in head)} |")
    print(f"|{' --- |' * (2 + len(head))}")
    for dim in arguments.dim or [384, 1024]:
        for rows in arguments.rows or [1_600, 16_000, 100_000]:
            for k in arguments.k or [1, 9]:
                cells = []
                for form in ("int8", "fp32"):
                    best = 2e3 * arguments.queries * rows * dim / rates[form] / 1e12
                    for engine in ENGINES:
                        ms = milliseconds((rows, dim), arguments.queries, k, engine, form == "int8", threads)
                        cells.append(f"{ms:.1f} ({best / ms:.0%})")
                print(f"| {rows:,} x {dim} | {k} | {' | '.join(cells)} |", flush=True)


def milliseconds(
    shape: tuple[int, int],
    queries: int,
    k: int = 1,
    engine: str = "openvino",
    int8: bool = True,
    threads: int = 1,
) -> float:
    """The median time of searching a bank (rows, dim) for so many queries; values don't matter."""
    rng, (rows, dim) = np.random.default_rng(0), shape
    values = rng.integers(-127, 128, shape, np.int8)
    values = values if int8 else values.astype(np.float32)
    rows_in = spox.argument(spox.Tensor(values.dtype, shape))
    bank = LoweredBank(
        rows=rows_in,
        mean=op.const(np.zeros((1, dim), np.float32)),
        half_norms=np.zeros(rows, np.float32),
        step=np.float32(0.02) if int8 else None,
        n=rows,
        name="bank",
    )
    query = spox.argument(spox.Tensor(np.float32, (queries, dim)))
    found = bank.search(query, k).distance
    given = rng.standard_normal((queries, dim)).astype(np.float32)
    model = spox.build({"query": query, "bank": rows_in}, {"distance": found})
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "bank"))
    del model.graph.input[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "search.onnx"
        onnx.save(model, file)
        session = open_session(file, engine, EngineOptions(threads=threads))
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            session(given)
            times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=784)
    for name in ("dim", "rows", "k"):
        parser.add_argument(f"--{name}", type=int, action="append")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
