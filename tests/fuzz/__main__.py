"""Fuzz every parser for a while: ``make fuzz``, or

    python -m tests.fuzz [--seconds N] [--target NAME]...

The seconds are of all targets together. Each runs in a process of its own with a limit on its memory, so that
a crash ends nothing else. The input that did it is kept in ``crashes/``, as small as it could be made, and is
a test from then on. Exit code 1 where there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.examine import Tally, examine, keep, seeds_of, try_one
from tests.fuzz.targets import TARGETS

ROUND = 100
MEMORY = 2 << 30
"""What a target's process may take beyond what it has when it begins."""


def main() -> int:
    arguments = _arguments()
    if arguments.only:
        return _fuzz(arguments.only, arguments.seconds, Path(arguments.last))
    names = arguments.target or list(TARGETS)
    print(
        "| parser | inputs | refused | slowest, ms | memory grown, MB | faults |\n|" + " --- |" * 6,
        flush=True,
    )
    faults = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-edgead-") as folder:
        for name in names:
            last = Path(folder) / name
            words = ["--only", name, "--seconds", str(arguments.seconds / len(names)), "--last", str(last)]
            code = subprocess.run([sys.executable, "-m", "tests.fuzz", *words]).returncode
            if code < 0:
                file = keep(name, last.read_bytes() if last.exists() else b"")
                print(f"| {name} | - | - | - | - | ended by signal {-code}: {file} |", flush=True)
            faults += code != 0
    return int(faults > 0)


def _fuzz(name: str, seconds: float, last: Path) -> int:
    """Fuzz one target in this process, and print its row."""
    faulthandler.enable()
    logging.getLogger("edgead").setLevel(logging.ERROR)  # an old seed's notice, thousands of times
    try:
        for data in seeds_of(name):
            try_one(TARGETS[name], data)
    except ImportError as error:
        print(f"| {name} | skipped: {error} | | | | |", flush=True)
        return 0
    start = _resident()
    _limit(MEMORY)
    ends, whole, fault = time.monotonic() + seconds, Tally(), ""
    while time.monotonic() < ends and not fault:
        try:
            tally = examine(name, ROUND, before=last.write_bytes)
        except Exception as error:
            fault = f"{type(error).__name__}: {str(error)[:120]}".replace("\n", " ")
            traceback.print_exc()
            continue
        whole.inputs += tally.inputs
        whole.refused += tally.refused
        whole.slowest = max(whole.slowest, tally.slowest)
    grown = (_resident() - start) / 1e6
    share = f"{whole.refused / max(whole.inputs, 1):.0%}"
    cells = (name, f"{whole.inputs:,}", share, f"{whole.slowest * 1e3:.0f}", f"{grown:+.0f}", fault or "0")
    print(f"| {' | '.join(cells)} |", flush=True)
    return int(bool(fault))


def _resident() -> int:
    from edgead.evaluation.memory import resident

    return resident()


def _limit(more: int) -> None:
    """Let this process's address space grow by so much at most, where the system knows how."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--only", choices=list(TARGETS), help=argparse.SUPPRESS)
    parser.add_argument("--last", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
