"""Which processor this is, and which of its units matter for a graph."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_UNITS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "bf16"),
    "AMX": ("amx_tile",),
    "NEON": ("neon", "asimd"),
    "dot product": ("asimddp",),
    "I8MM": ("i8mm",),
}
"""What speeds a graph up, by the flags that Linux gives it on x86 and on Arm."""


_WHICH = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        model: as the system names it.
        threads: logical processors that this process may use.
        units: those of VNNI, BF16, AMX ... that it has, by name; None where the system doesn't tell.
        identity: a hash of all that the system says of it and that may change what it calculates.
    """

    model: str
    threads: int
    units: Mapping[str, bool] | None
    identity: str = ""

    @property
    def kind(self) -> str:
        """Its class, as far as INT8's speed and rounding go: ``AVX-512 with VNNI`` for instance."""
        units = self.units or {}
        if units.get("AMX"):
            return "AMX"
        if units.get("VNNI"):
            return "AVX-512 with VNNI" if units.get("AVX-512") else "AVX2 with VNNI"
        names = ("AVX-512", "AVX2", "I8MM", "dot product", "NEON")
        best = next((name for name in names if units.get(name)), "unknown")
        return f"{best} without VNNI" if best.startswith("AVX") else best

    @property
    def lacks_bf16(self) -> bool:
        """Whether it has no BF16 unit, as far as the system tells: engines imitate one, or take FP32."""
        return bool(self.units and not self.units["BF16"])


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Describe the processor; ``cpuinfo`` is where Linux does."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))
    }
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    units = {name: any(flag in flags for flag in known) for name, known in _UNITS.items()} if flags else None
    model = facts.get("model name") or platform.processor() or platform.machine()
    threads = usable_processors()
    told = (platform.machine(), model, *(facts.get(key, "") for key in _WHICH), *sorted(flags))
    return Cpu(model, threads, units, hashlib.sha256("\n".join(told).encode()).hexdigest()[:32])


def usable_processors() -> int:
    """How many logical processors this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["Cpu", "cpu", "usable_processors"]
