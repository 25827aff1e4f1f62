"""How a process breaks where a fault script says so: for ``edgead line simulate`` and tests alone."""

from __future__ import annotations

import os
import signal
import time


def break_down(how: str) -> None:
    """Exit, crash, be stopped, or hang for ever; ``how`` is the last word of a fault."""
    if how == "exit":
        os._exit(3)
    if how == "crash":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    while how in ("hang", "crash", "stop"):
        time.sleep(3600)


__all__ = ["break_down"]
