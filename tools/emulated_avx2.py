"""Do INT8 bundles give the same numbers on a processor with AVX2 alone? Asked of both engines, without one.

    python tools/emulated_avx2.py BUNDLE.edgead...

BUNDLE is a reference bundle. ONNX Runtime has no switch for its kernels, so a whole Python runs in qemu's
user mode as a Haswell of 2013 (Debian's package qemu-user 7.2 or newer knows AVX2); OpenVINO's kernels are
held to AVX2 by ONEDNN_MAX_CPU_ISA. Printed is how far each is from exact arithmetic. How fast AVX2 is,
emulation can't say: see benchmarks/held.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgead.bundle import read_bundle
from edgead.device.parity import probe_images
from edgead.images import ResizeRule, read_image
from edgead.processor import cpu
from edgead.runtime.exact import ExactSession
from edgead.runtime.proof import Parity, compare

PROBES = 6
"""Held-out images, and as many changes of them: emulation takes seconds for each."""
RUN = """
import json, sys, numpy as np
from pathlib import Path
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
session = open_session(Path(sys.argv[1]), sys.argv[2], EngineOptions(threads=1))
found = [session(image[None]) for image in np.load(sys.argv[3])]
np.savez(sys.argv[4], scores=[o["score"][0] for o in found], maps=[o["anomaly_map"] for o in found])
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--form", default="int8")
    parser.add_argument("--scratch", type=Path, default=Path("emulated-avx2"))
    arguments = parser.parse_args()
    arguments.scratch.mkdir(exist_ok=True)
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    print(f"{cpu().model}, {cpu().kind}; score and map off exact arithmetic")
    print(
        "| bundle | OpenVINO | held to AVX2 | ONNX Runtime | on an emulated Haswell |\n| - | - | - | - | - |"
    )
    missed = False
    for path in arguments.bundles:
        bundle = read_bundle(path)
        file = bundle.file(bundle.manifest.reference.forms[arguments.form])
        names = sorted(f.path for f in bundle.manifest.files if f.path.startswith("probes/"))[:PROBES]
        good = [read_image(bundle.file(name)) for name in names]
        rule = ResizeRule(bundle.manifest.input.size, bundle.manifest.input.resize)
        images = np.stack(probe_images(good, rule, 0))
        np.save(arguments.scratch / "images.npy", images)
        exact = ExactSession(file)
        theirs = [exact(image[None]) for image in images]
        limits = bundle.manifest.threshold
        cells = []
        for engine, emulator, isa in (
            ("openvino", [], ""),
            ("openvino", [], "AVX2"),
            ("onnxruntime", [], ""),
            ("onnxruntime", [qemu, "-cpu", "Haswell-noTSX"] if qemu else None, ""),
        ):
            if emulator is None:
                cells.append("no qemu-x86_64 here")
                continue
            scores, maps = run(file, engine, emulator, isa, arguments.scratch)
            pairs = [
                (float(score), plane, float(o["score"][0]), o["anomaly_map"])
                for score, plane, o in zip(scores, maps, theirs, strict=True)
            ]
            found: Parity = compare(pairs, limits.score, limits.pixel, arguments.form)
            missed |= not found.passed
            cells.append(
                f"{found.score:.2%}, {found.map:.2%}" + f", {found.flips} flipped" * bool(found.flips)
            )
        print(f"| {path.name} | " + " | ".join(cells) + " |", flush=True)
    return int(missed)


def run(file: Path, engine: str, emulator: list[str], isa: str, scratch: Path):
    """Scores and maps in a process of its own."""
    out = scratch / "outputs.npz"
    python = str(Path(sys.executable).resolve())  # qemu runs programs, not links into environments
    path = os.pathsep.join(p for p in sys.path if p)
    variables = dict(os.environ) | {"PYTHONPATH": path} | ({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})
    words = [*emulator, python, "-c", RUN, str(file), engine, str(scratch / "images.npy"), str(out)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(json.dumps(done.stderr.strip().splitlines()[-1:]))
    found = np.load(out)
    return found["scores"], found["maps"]


if __name__ == "__main__":
    sys.exit(main())
