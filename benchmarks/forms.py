"""Which form on which engine is fastest on this class of processor, and on an older one.

    python benchmarks/forms.py BUNDLE... [--held-to AVX2] [--held-to AVX-512] [--turns 25]

BUNDLE is what ``edgead fit`` wrote. Each form of each target is compiled, and all of them run in turns, in
processor time on one core, as ``edgead export --target auto`` compares them; one table for each class. Bold
is what ``auto`` takes: of forms within a tenth of a target's fastest the most exact, and the faster target.
The gates are left aside: ``export`` runs them, and ``tools/emulated_avx2.py`` shows the same numbers on an
older class. A class is this processor's, or one that a child process is held to (``held.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from held import CLASSES, Held, as_it_is, held_to
from rows import Row, missing, of_turns, save_rows, spread
from yardstick import product

from edgead.bundle import Bundle, read_bundle
from edgead.errors import EdgeadError
from edgead.processor import cpu
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.model_bytes import read_model
from edgead.types import PRECISIONS, Precision
from edgead.workbench.choose import choose
from edgead.workbench.graph_bytes import load_graph
from edgead.workbench.targets import timed_targets

PART = "forms"
TURNS = 25
OF = "processor time of a frame, in FP32 products"
YARDSTICK, SIDE = "yardstick", 1024
"""Of the FP32 matrix product that is the rows' measure: it runs in turns with the forms."""
FASTEST = "times the fastest form's processor time"


def main() -> None:
    arguments = _arguments()
    rows = forms(arguments.bundles, arguments.held_to or [], arguments.turns)
    print("\n".join(tables(rows)))
    save_rows(rows, arguments.json)


def tables(rows: Sequence[Row]) -> list[str]:
    """A table in Markdown for each class: forms down, methods across."""
    lines: list[str] = []
    for kind in dict.fromkeys(row.name.partition(": ")[0] for row in rows):
        mine = {row.name.partition(": ")[2]: row for row in rows if row.name.startswith(f"{kind}: ")}
        methods = list(dict.fromkeys(name.partition(", ")[0] for name in mine))
        names = list(dict.fromkeys(name.partition(", ")[2] for name in mine if ", " in name))
        lines += ["", f"{kind}; {FASTEST} (turns), and in ms", ""]
        lines += [f"not here: {row.why}" for name, row in mine.items() if ", " not in name]
        if names:
            lines += [f"| | {' | '.join(methods)} |", f"|{' --- |' * (len(methods) + 1)}"]
        for name in names:
            cells = [_cell(mine.get(f"{method}, {name}")) for method in methods]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    if row.why:
        return f"not here: {row.why}"
    told = f"{row.shown['times']}, {row.shown['ms']}"
    return f"**{told}**" if row.shown["taken"] else told


def forms(bundles: Sequence[Path], held: Sequence[str], turns: int = TURNS) -> list[Row]:
    """The rows of all classes, methods, targets and forms: ``CLASS: METHOD, TARGET FORM``."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = [_compile(read_bundle(path), Path(folder) / str(i)) for i, path in enumerate(bundles)]
        for place in [as_it_is(), *(held_to(name, Path(folder)) for name in held)]:
            for jobs in made:
                rows += _timed(jobs, place, turns)
    return rows


def _compile(reference: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every form of every target, straight from the exporters."""
    kept, jobs = reference.manifest.reference, []
    assert kept is not None, f"{reference.path}: give what fit wrote"
    for target, exporter in timed_targets("edgead").items():
        for form in exporter.precisions:
            job: dict[str, Any] = {"method": reference.manifest.method.name, "name": f"{target} {form}"}
            job["size"] = reference.manifest.input.size
            units = cpu().units or {}
            if form not in kept.forms:
                job["why"] = f"the bundle has no {form}"
            elif form == "bf16" and not units.get("BF16"):
                job["why"] = "this processor has no BF16 unit"
            else:
                place = folder / job["name"].replace(" ", "-")
                place.mkdir(parents=True)
                try:
                    graph = load_graph(reference.read(kept.forms[form]), form)
                    artifact = exporter.compile(graph, form, place)
                except EdgeadError as error:
                    job["why"] = str(error)
                else:
                    job |= {"model": str(place / artifact.model), "engine": artifact.engine,
                            "files": artifact.files, "arithmetic": artifact.engine_precision}  # fmt: skip
            jobs.append(job)
    return jobs


def _timed(jobs: Sequence[Mapping[str, Any]], place: Held, turns: int) -> list[Row]:
    """One method's rows on one class."""
    title = f"{place.kind}: {jobs[0]['method']}"
    if place.why:
        return [missing(PART, title, place.why)]
    able = [
        job for job in jobs if "why" not in job and not (place.kind != cpu().kind and "bf16" in job["name"])
    ]
    words = [sys.executable, __file__, "--child", str(turns)]
    environment = {**place.environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(words, input=json.dumps(able), env=environment, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return [missing(PART, title, why)]
    times: dict[str, list[float]] = json.loads(done.stdout)
    measure = times.pop(YARDSTICK)
    medians = {name: float(np.median(found)) for name, found in times.items()}
    best = min(medians, key=lambda name: medians[name])
    taken = _taken(medians)
    rows = []
    for job in jobs:
        name = job["name"]
        if name not in times:
            why = job.get("why", "left out: a processor of this class has no BF16 unit")
            rows.append(missing(PART, f"{title}, {name}", why))
            continue
        beside = spread(*of_turns(times[name], times[best]))
        shown = {"ms": f"{medians[name]:.1f}", "times": beside, "taken": "yes" if name == taken else ""}
        rows.append(Row(PART, f"{title}, {name}", OF, *of_turns(times[name], measure), "lower", "", shown))
    return rows


def _taken(ms: Mapping[str, float]) -> str:
    """What ``--target auto`` would take, if all pass: of each target's choice the fastest."""
    ships = []
    for target in dict.fromkeys(name.split()[0] for name in ms):
        mine: dict[Precision, float] = {
            form: ms[f"{target} {form}"] for form in PRECISIONS if f"{target} {form}" in ms
        }
        ships.append(f"{target} {choose(list(mine), mine)}")
    return min(ships, key=lambda name: ms[name])


def child(turns: int) -> None:
    """In a process of its own: processor milliseconds of every model, a list each, in turns."""
    runs: dict[str, Callable[[], Any]] = {YARDSTICK: product("fp32", 1, SIDE)}
    for job in json.loads(sys.stdin.read()):
        model = read_model(Path(job["model"]), job["files"])
        options = EngineOptions(precision=job["arithmetic"], threads=1)
        session = open_as_honoured(model, job["engine"], options)
        image = np.random.default_rng(0).integers(0, 256, (1, *job["size"], 3), np.uint8)
        runs[job["name"]] = partial(session, image)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            began = time.process_time()
            run()
            if turn:  # the first of each isn't counted
                times[name].append((time.process_time() - began) * 1e3)
    print(json.dumps(times))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--held-to", action="append", choices=list(CLASSES))
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        main()
