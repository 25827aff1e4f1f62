"""Child processes that are held to an older class of processor, so that their kernels are that class's.

ONEDNN_MAX_CPU_ISA holds OpenVINO's oneDNN alone: its other kernels ask the processor, and ONNX Runtime has no
such switch. ``held_to.c`` holds everything in a process, at full speed, where the CPUID instruction can be
made to trap. A class that this processor isn't above can't be had: nothing is emulated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgead.processor import Cpu, cpu

SOURCE = Path(__file__).with_name("held_to.c")
CLASSES: Mapping[str, str] = {"AVX2": "AVX2 without VNNI", "AVX-512": "AVX-512 without VNNI"}
"""What a process can be held to, and what ``Cpu.kind`` calls such a processor."""
SEEN = "from numpy._core._multiarray_umath import __cpu_features__ as f; print(f['AVX512F'], f['AVX512_ICL'])"


@dataclass(frozen=True)
class Held:
    """How to run a child process.

    Attributes:
        kind: the class that it sees, as ``Cpu.kind`` has it.
        environment: to run it with; empty where it can't be had.
        why: why it can't be had, in a sentence; empty where it can.
    """

    kind: str
    environment: Mapping[str, str]
    why: str = ""


def as_it_is() -> Held:
    """A child process on the processor as it is."""
    return Held(cpu().kind, dict(os.environ))


def held_to(name: str, folder: Path, processor: Cpu | None = None) -> Held:
    """Make what holds a child process to a class, and try it.

    Args:
        name: one of ``CLASSES``.
        folder: where the compiled library goes; it's needed as long as children run.
        processor: this one.
    """
    kind, units = CLASSES[name], (processor or cpu()).units or {}
    if not units.get(name):
        return Held(kind, {}, f"this processor has no {name}, so it can't be held to it")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        return Held(kind, {}, "it takes Linux and a C compiler (apt install gcc)")
    library = folder / "held_to.so"
    words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    if built.returncode:
        return Held(kind, {}, f"{SOURCE.name} doesn't compile: {built.stderr.strip().splitlines()[-1:]}")
    environment = {**os.environ, "LD_PRELOAD": str(library), "EDGEAD_HELD_TO": name}
    seen = subprocess.run([sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True)
    if seen.returncode == 97:
        return Held(
            kind, {}, "the CPUID instruction can't be made to trap here (cpuid_fault in /proc/cpuinfo)"
        )
    expected = {"AVX2": "False False", "AVX-512": "True False"}[name]
    if seen.stdout.strip() != expected:
        return Held(
            kind, {}, f"a child process sees {seen.stdout.strip() or seen.stderr.strip()[-200:]} still"
        )
    return Held(kind, environment)


__all__ = ["CLASSES", "Held", "as_it_is", "held_to"]
