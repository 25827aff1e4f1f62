"""Engines come and go in any order, and a signal is still handled, not a segmentation fault."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("openvino", reason="needs the [openvino] extra")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has such stacks")


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    """Run code that knows ``stack``, the address of the thread's signal stack or None."""
    head = """
        import ctypes, os, signal
        class Stack(ctypes.Structure):
            _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
        def stack():
            found = Stack()
            ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
            return found.at
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)


def test_sessions_dropped_in_any_order_leave_a_process_that_can_be_interrupted(reference_bundle) -> None:
    file = reference_bundle.file(reference_bundle.manifest.model)
    done = in_a_process(f"""
        from pathlib import Path
        from edgead.runtime.engines import open_session
        before = stack()
        first = open_session(Path({str(file)!r}), "openvino")
        second = open_session(Path({str(file)!r}), "openvino")
        assert stack() == before, "another stack is left"
        del first
        third = open_session(Path({str(file)!r}), "openvino")
        del second, third
        assert stack() == before, "a stack that is gone was put back"
        signal.signal(signal.SIGUSR1, lambda *words: print("handled"))
        os.kill(os.getpid(), signal.SIGUSR1)
    """)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_a_stack_of_the_programs_own_stays() -> None:
    done = in_a_process("""
        import faulthandler
        faulthandler.enable()  # it has a stack of its own for what it reports
        own = stack()
        from edgead.machine import engine_devices
        engine_devices()
        assert own and stack() == own
        print("the same")
    """)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
