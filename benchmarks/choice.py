"""Does export take the same form on an idle machine and beside other work?

    python benchmarks/choice.py REFERENCE.edgead... [--target openvino] [--times 10]

Half of the exports run alone, half beside a busy process for every second core. Printed is which
form each took, and how far the ratio of a form's processor time to FP32's wandered.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.bundle import read_bundle
from edgead.plugins import registry
from edgead.processor import cpu
from edgead.progress import silent
from edgead.workbench.export import export


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--target", default="openvino")
    parser.add_argument("--times", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{cpu().model}, {cpu().kind}, {cpu().threads} threads")
    print("| bundle | alone | beside a busy core | processor time over FP32's |\n| - | - | - | - |")
    for path in arguments.bundles:
        reference, exporter = read_bundle(path), registry().get("exporters", arguments.target)()
        taken: dict[bool, list[str]] = {False: [], True: []}
        ratios: dict[str, list[float]] = {}
        for turn in range(arguments.times):
            busy = turn % 2 == 1
            with tempfile.TemporaryDirectory() as folder, _busy(busy):
                made = export(reference, exporter, "auto", Path(folder) / "x.edgead", silent)
            taken[busy].append(made.chosen)
            times = {r.precision: r.cpu_ms for r in made.forms if r.cpu_ms is not None}
            for form, ms in times.items():
                ratios.setdefault(form, []).append(ms / times["fp32"])
        spread = ", ".join(f"{form} {min(r):.2f} to {max(r):.2f}" for form, r in ratios.items())
        print(f"| {path.name} | {' '.join(taken[False])} | {' '.join(taken[True])} | {spread} |", flush=True)


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    count = max(1, (os.cpu_count() or 2) // 2) if wanted else 0
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
