"""How much memory a bundle takes, measured in a process that does nothing but run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from edgead.errors import EngineError, one_line
from edgead.runtime.detector import load

RUNS = 5


def peak_memory(
    bundle: Path, device: str = "auto", engine: str | None = None, threads: int | None = None
) -> int:
    """Return the peak resident memory in bytes of a fresh process that loads and runs the bundle.

    Interpreter, packages and engine are in it, as they are on the device.

    Raises:
        edgead.errors.EngineError: the process fails.
    """
    words = [str(bundle), device, engine or "", str(threads or "")]
    done = subprocess.run([sys.executable, "-m", __spec__.name, *words], capture_output=True, text=True)
    if done.returncode or not done.stdout.strip().isdecimal():
        reason = one_line(done.stderr or f"exit code {done.returncode}", "last")
        raise EngineError(f"{bundle}: its memory can't be measured: {reason}")
    return int(done.stdout)


def resident() -> int:
    """Return this process's resident memory in bytes, its peak where the system tells no more."""
    return _status("VmRSS") or _own_peak()


def _own_peak() -> int:
    if peak := _status("VmHWM"):  # not ru_maxrss: on Linux a process inherits that from its parent
        return peak
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    try:
        match = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return int(match.group(1)) * 1024 if match else 0


def _main(bundle: str, device: str, engine: str, threads: str) -> None:
    import numpy as np

    detector = load(bundle, device=device, engine=engine or None, threads=int(threads) if threads else None)
    frame = np.zeros((*detector.rule.plain_size, 3), np.uint8)
    for _ in range(RUNS):
        detector(frame)
    print(_own_peak())


if __name__ == "__main__":
    _main(*sys.argv[1:])


__all__ = ["peak_memory", "resident"]
