"""Pinning to processor cores, so that a detector and the machine's other work don't take turns on one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgead.errors import OptionError


def pin(cores: Sequence[int]) -> None:
    """Keep the calling thread, and the threads that it starts from now on, on these cores.

    An engine starts its threads when a graph is compiled, so this comes first. A camera script's other
    threads stay where they are.

    Args:
        cores: numbers of logical processors, as ``taskset`` and ``lscpu`` count them.

    Raises:
        OptionError: this process may not use one of them, none is given, or the system can't pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError("cores: this system can't pin threads to cores; leave the option out")
    allowed = sorted(os.sched_getaffinity(0))
    if not cores or not set(cores) <= set(allowed):
        asked = ",".join(map(str, cores)) or "none"
        raise OptionError(
            f"cores {asked}: this process may use {','.join(map(str, allowed))}; choose of them"
        )
    os.sched_setaffinity(0, cores)
