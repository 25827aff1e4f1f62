"""The stack that signal handlers run on, kept as it was while an engine is opened.

OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own, remembers the one before, and
puts that back when the plugin is dropped. Where two plugins aren't dropped in the reverse order, the one put
back is freed memory, and the next signal that Python handles, Ctrl-C or a service manager's SIGTERM, ends the
process with a segmentation fault instead.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_DISABLED = 2  # SS_DISABLE


def keeps_signal_stack(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that opens an engine: the calling thread's signal stack is put back after it."""

    @functools.wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        with signal_stack_kept():
            return function(*args, **kwargs)

    return kept


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put the calling thread's signal stack back at the end of the block; on Linux alone."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import ctypes

    class Stack(ctypes.Structure):
        """``stack_t``, the same in every C library of Linux but on MIPS."""

        _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    sigaltstack = ctypes.CDLL(None).sigaltstack
    before, now = Stack(), Stack()
    known = sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known and sigaltstack(None, ctypes.byref(now)) == 0 and now.start != before.start:
            before.flags &= _DISABLED
            sigaltstack(ctypes.byref(before), None)


__all__ = ["keeps_signal_stack", "signal_stack_kept"]
