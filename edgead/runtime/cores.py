"""Keeping work on processor cores, so that a detector and the machine's other work don't take turns on one.

Threads inherit the cores of the one that starts them, and an engine starts its own when a graph is compiled
or first run. So both are done in ``pinned``, which puts the calling thread back afterwards: a camera script's
threads stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgead.errors import OptionError


def check_cores(cores: Sequence[int]) -> None:
    """Refuse cores that the calling thread may not use.

    Raises:
        OptionError: it may not use one of them, or the system can't pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError("cores: this system can't pin threads to cores; leave the option out")
    allowed = sorted(os.sched_getaffinity(0))
    if not set(cores) <= set(allowed):
        asked, known = (",".join(map(str, some)) for some in (cores, allowed))
        raise OptionError(f"cores {asked}: this process may use {known}; choose of them")


@contextmanager
def pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """Keep the calling thread, and the threads that it starts in the block, on these cores; None for any.

    The calling thread is put back at the end of the block, whatever moved it meanwhile.

    Raises:
        OSError: the system doesn't let this thread use any of them; see ``check_cores``.
    """
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


__all__ = ["check_cores", "pinned"]
