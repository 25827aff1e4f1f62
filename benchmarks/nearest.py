"""Nearest neighbours in the graph: milliseconds by bank, neighbours, arithmetic and engine, in one run.

    python benchmarks/nearest.py [--queries 784] [--dim 384]... [--rows 1600]... [--k 1]... [--threads N]

The graph is that part of PatchCore's alone: ranking all rows, the k best, and their distances. Values are
random, which changes nothing. *Of the yardstick*: the share of the rate at which the machine multiplies large
matrices in that arithmetic, by the product's own multiplications and additions; both run in turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v18 as op
from rows import Row, markdown, missing, of_turns, save_rows
from yardstick import SIDE, product

from edgead.errors import EdgeadError
from edgead.machine import cpu
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead_plugins.nearest import LoweredBank

PART, OF = "nearest", "of the yardstick"
RUNS = 11
ENGINES = ("openvino", "onnxruntime")


def main() -> None:
    arguments = _arguments()
    threads = arguments.threads or cpu().threads
    units = ", ".join(name for name, there in (cpu().units or {}).items() if there)
    print(f"{cpu().model} ({units}), {threads} threads; {arguments.queries} queries\n")
    rows = [
        _row((count, dim), arguments.queries, k, engine, form, threads)
        for dim in arguments.dim or [384, 1024]
        for count in arguments.rows or [1_600, 16_000, 100_000]
        for k in arguments.k or [1, 9]
        for form in ("int8", "fp32")
        for engine in ENGINES
    ]
    print("\n".join(markdown(rows)))
    save_rows(rows, arguments.json)


def _row(shape: tuple[int, int], queries: int, k: int, engine: str, form: str, threads: int) -> Row:
    """The search's rate beside a large product's in the same arithmetic, in turns."""
    name = f"{shape[0]:,} x {shape[1]}, k {k}: {engine} {form}"
    try:
        search, yardstick = (
            searcher(shape, queries, k, engine, form == "int8", threads),
            product(form, threads),
        )
    except EdgeadError as error:
        return missing(PART, name, str(error))
    mine, theirs = in_turns(search, yardstick)
    work = queries * shape[0] * shape[1] / SIDE**3
    ratio, low, high = of_turns([ms * work for ms in theirs], mine)
    return Row(PART, name, OF, ratio, low, high, "higher", "", {"ms": f"{np.median(mine):.1f}"})


def in_turns(*runs: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of each, a list each, in turns; the first of each isn't counted."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(RUNS + 1):
        for run, mine in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            if turn:
                mine.append((time.perf_counter() - start) * 1e3)
    return times


def milliseconds(
    shape: tuple[int, int],
    queries: int,
    k: int = 1,
    engine: str = "openvino",
    int8: bool = True,
    threads: int = 1,
) -> float:
    """The median time of searching a bank (rows, dim) for so many queries; values don't matter."""
    (times,) = in_turns(searcher(shape, queries, k, engine, int8, threads))
    return float(np.median(times))


def searcher(
    shape: tuple[int, int], queries: int, k: int, engine: str, int8: bool, threads: int
) -> Callable[[], object]:
    """What searches a bank (rows, dim) once for so many queries."""
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
    return partial(session, given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=784)
    for name in ("dim", "rows", "k"):
        parser.add_argument(f"--{name}", type=int, action="append")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
