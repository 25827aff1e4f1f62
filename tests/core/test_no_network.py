"""Nothing phones home: fit, export, run, bench and doctor as a user types them, and the Python API.

Each is a process with an empty home, looked at from outside, since engines are native code: what it leaves in
that home, and with strace each socket that it or a child opens. An audit hook listens to Python's sockets
besides, for where there's no strace.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from edgead.machine import installed

ROOT = Path(__file__).resolve().parents[2]
LISTENER = Path(__file__).parent / "listener"
NOT_OURS = ("CI", "PYTEST_CURRENT_TEST", "ORT_DISABLE_TELEMETRY", "EDGEAD_CACHE")
"""What silences telemetry by itself, or isn't a user's; edgead set the third in this very process."""
LOCAL = ("AF_UNIX", "AF_LOCAL", "AF_NETLINK", "AF_UNSPEC")
"""Families that reach no other machine: sockets between this machine's processes, and questions to its kernel
(libraries ask for its network interfaces by netlink, say); AF_UNSPEC names no address."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at a Linux home and its system calls"),
    pytest.mark.skipif(find_spec("nncf") is None, reason="needs the [fit] extra"),
    pytest.mark.skipif(find_spec("openvino") is None, reason="needs the [openvino] extra"),
]

API = """
import sys, time
start = time.monotonic()
import edgead, numpy
for bundle in sys.argv[1:]:
    edgead.load(bundle, cache=True)(numpy.zeros((64, 64, 3), numpy.uint8))
# ONNX Runtime 1.32 asks for its server nine seconds after its import.
time.sleep(max(0, 12 - (time.monotonic() - start)))
"""
WITHOUT_THE_VARIABLE = """
import os, sys
import edgead
from edgead import telemetry
telemetry.turn_off = lambda: os.environ.pop(telemetry.VARIABLE, None)
import numpy
edgead.load(sys.argv[1], engine="onnxruntime")(numpy.zeros((64, 64, 3), numpy.uint8))
"""
A_SOCKET = """
import ctypes
libc = ctypes.CDLL(None)  # as native code does, past Python's own module
libc.socket(2, 2, 0)
"""


class Used(NamedTuple):
    """What was seen of all processes.

    Attributes:
        left: files in the home, below it.
        opened: sockets that aren't local, a line of the trace each; None without strace.
        heard: what the listener heard of Python's sockets.
        bundle: what was exported for ONNX Runtime.
    """

    left: list[str]
    opened: list[str] | None
    heard: list[str]
    bundle: Path


@functools.cache
def no_strace() -> str | None:
    """Why system calls can't be traced here, or None."""
    if shutil.which("strace") is None:
        return "strace isn't installed"
    tried = subprocess.run(["strace", "-f", "-e", "trace=network", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace isn't allowed to trace here"


class Home:
    """An empty home in which Python is run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outside = folder / "home", folder
        (self.folder / "tmp").mkdir(parents=True)
        self.environment = {k: v for k, v in os.environ.items() if k not in NOT_OURS} | {
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "NETWORK_ATTEMPTS": str(folder / "attempts.txt"),
            "PYTHONPATH": os.pathsep.join([str(LISTENER), str(ROOT), *sys.path]),
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start ``python WORDS``, traced where that can be."""
        trace = self.outside / f"trace-{len(list(self.outside.glob('trace-*')))}.txt"
        trace.touch()
        strace = ["strace", "-f", "-e", "trace=network", "-o", str(trace)] if no_strace() is None else []
        return subprocess.Popen(
            [*strace, sys.executable, *words], text=True, cwd=self.outside, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        return finish(self.start(*words))

    def left(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if not p.is_dir())

    def opened(self) -> list[str] | None:
        if no_strace() is not None:
            return None
        lines = [line for file in self.outside.glob("trace-*.txt") for line in file.read_text().splitlines()]
        assert any("exited with 0" in line for line in lines), "nothing was traced"
        return [line for line in lines if set(re.findall(r"\bAF_[A-Z0-9]+", line)) - set(LOCAL)]

    def heard(self) -> list[str]:
        attempts = Path(self.environment["NETWORK_ATTEMPTS"])
        return attempts.read_text().splitlines() if attempts.exists() else []


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Used:
    from tests.bundles import good_image, write_images

    home = Home(tmp_path_factory.mktemp("used"))
    write_images(home.outside / "good", [good_image(i, (64, 64)) for i in range(8)])
    home.run("-m", "edgead", "fit", "patchcore", "good", "--size", "64x64")
    bundles = {}
    for target in ("openvino", "onnx"):
        bundles[target] = home.outside / f"{target}.edgead"
        words = ["--precision", "fp32", "--out", str(bundles[target])]
        home.run("-m", "edgead", "export", "patchcore.edgead", "--target", target, *words)
    api = home.start("-c", API, *map(str, bundles.values()))
    for bundle in map(str, bundles.values()):
        home.run("-m", "edgead", "run", bundle, "good", "--cache", "--out", str(home.outside / "maps"))
    home.run("-m", "edgead", "bench", *map(str, bundles.values()), "--frames", "20")
    assert "telemetry      off" in re.sub(" +", " " * 6, home.run("-m", "edgead", "doctor"))
    finish(api)
    return Used(home.left(), home.opened(), home.heard(), bundles["onnx"])


def test_a_home_holds_nothing_afterwards_but_edgeads_own_cache(used: Used) -> None:
    assert any(name.startswith(".cache/edgead/") for name in used.left), "the cache was asked for"
    assert [name for name in used.left if not name.startswith(".cache/edgead/")] == []


def test_no_socket_is_opened_but_local_ones(used: Used) -> None:
    if used.opened is None:
        pytest.skip(f"system calls can't be traced: {no_strace()}")
    assert used.opened == []


def test_nothing_written_in_python_tries_the_network(used: Used) -> None:
    assert used.heard == []


def test_onnx_runtimes_files_would_be_seen(used: Used, tmp_path: Path) -> None:
    package = find_spec("onnxruntime")
    assert package is not None and package.origin is not None
    libraries = Path(package.origin).parent.glob("capi/*.so*")
    if not any(b"ORT_DISABLE_TELEMETRY" in file.read_bytes() for file in libraries):
        pytest.skip("this onnxruntime has no telemetry that starts at import")
    home = Home(tmp_path)
    home.run("-c", WITHOUT_THE_VARIABLE, str(used.bundle))
    assert [name for name in home.left() if "onnxruntime.db" in name]


def test_the_trace_would_see_a_socket_that_python_does_not(tmp_path: Path) -> None:
    if no_strace() is not None:
        pytest.skip(f"system calls can't be traced: {no_strace()}")
    home = Home(tmp_path)
    child = f"[sys.executable, '-c', {A_SOCKET!r}]"
    home.run("-c", f"import subprocess, sys; subprocess.run({child}, check=True)")
    (line,) = home.opened() or [""]
    assert "AF_INET" in line and home.heard() == []


PROVOKED = """
import sys, time
import openvino_telemetry
telemetry = openvino_telemetry.Telemetry(
    app_name="x", app_version="1", tid="G-X", backend="ga4", enable_opt_in_dialog=False
)
telemetry.consent = True
telemetry.send_event("x", "y", "z", force_send=True)
time.sleep(3)
"""
"""What nncf would do if nothing stopped it, in the process of its own that the package starts."""


def test_the_listener_would_hear_telemetry_written_in_python(tmp_path: Path) -> None:
    if installed("openvino-telemetry") is None:  # find_spec finds none: edgead keeps it out of this process
        pytest.skip("openvino_telemetry isn't installed")
    home = Home(tmp_path)
    home.start("-c", PROVOKED).communicate(timeout=60)
    assert home.heard()


def test_with_edgead_it_is_not_even_to_be_had(tmp_path: Path) -> None:
    home = Home(tmp_path)
    words = "try:\n import openvino_telemetry\n print('there')\nexcept ImportError: print('kept out')"
    for name in ("edgead", "edgead_plugins.methods", "edgead_exporters"):
        assert home.run("-c", f"import {name}\n{words}").split() == ["kept", "out"]
