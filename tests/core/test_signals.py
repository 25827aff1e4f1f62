"""A process that is told to end cleans up: real processes, real signals, at several moments of the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgead.cli.signals import Ended, ended_by_signals
from tests.bundles import good_image, write_images

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

FIT = ("--size", "96x64", "--holdout", "0.4", "-q", "-o", "coreset_ratio=1.0")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Run edgead in ``folder``, which is where its temporary files go too."""
    (folder / "tmp").mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-m", "edgead", *words],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGTERM, signal.SIGHUP)],
    )


def wait_until(there: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    while running.poll() is None and not there():
        time.sleep(0.02)
    assert running.poll() is None, running.communicate()


def left(folder: Path) -> set[str]:
    """What is in the folder and its ``tmp``, without what engines leave there."""
    names = {path.name for path in folder.iterdir()}
    return names | {p.name for p in (folder / "tmp").iterdir() if p.name.startswith("edgead")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("later", [0.0, 0.5])
def test_fit_that_is_ended_leaves_nothing(tmp_path: Path, number: signal.Signals, later: float) -> None:
    write_images(tmp_path / "good", [good_image(i) for i in range(12)])
    running = start(tmp_path, "fit", "patchcore", "good", *FIT)
    wait_until(lambda: any(".partial-" in p.name for p in tmp_path.iterdir()), running)
    time.sleep(later)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 128 + number, err
    assert err.splitlines() == [f"error: ended by {number.name}; nothing half-written is left"]
    assert left(tmp_path) == {"good", "tmp"}


def test_export_that_is_ended_leaves_nothing(tmp_path: Path, reference_bundle) -> None:
    running = start(tmp_path, "export", str(reference_bundle.path), "--target", "onnx", "--out", "o.edgead")
    wait_until(lambda: any(".partial-" in p.name for p in tmp_path.iterdir()), running)
    time.sleep(0.3)
    running.terminate()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert left(tmp_path) == {"tmp"}


def test_a_benchmark_that_is_ended_ends_its_cells_and_they_clean_up(tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "train" / "good", [good_image(i) for i in range(12)])
    write_images(tmp_path / "set" / "test" / "good", [good_image(i) for i in range(20, 22)])
    write_images(tmp_path / "set" / "test" / "dent", [good_image(30)])
    words = (
        "benchmark",
        "-m",
        "patchcore:coreset_ratio=1.0",
        "-d",
        "set",
        "--out",
        "r.jsonl",
        "--size",
        "96x64",
    )
    running = start(tmp_path, *words)
    wait_until(lambda: any(p.name.startswith("edgead") for p in (tmp_path / "tmp").iterdir()), running)
    time.sleep(0.3)
    running.terminate()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert left(tmp_path) == {"set", "tmp"}


def process(code: str, says: str) -> subprocess.Popen[str]:
    """A Python that runs this code, and has said a first line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    begun = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
    assert begun.stdout is not None and begun.stdout.readline() == f"{says}\n"
    return begun


def test_a_process_that_is_stuck_in_an_engine_is_ended_all_the_same() -> None:
    """A C function that lets nothing of Python run in the main thread stands for the engine."""
    code = (
        "import ctypes, sys; from edgead.cli import signals\n"
        "signals.GRACE_SECONDS = 0.5\n"
        "with signals.ended_by_signals():\n"
        "    print('stuck', flush=True)\n"
        "    lock = ctypes.CDLL(None); mutex = ctypes.create_string_buffer(256)\n"
        "    lock.pthread_mutex_lock(mutex); lock.pthread_mutex_lock(mutex)\n"
    )
    stuck = process(code, "stuck")
    time.sleep(0.2)
    stuck.terminate()
    assert stuck.wait(30) == 143
    stuck.communicate()


def test_one_that_a_command_handles_itself_ends_nothing() -> None:
    """A line looks for other bundles at a SIGHUP and goes on; a SIGTERM still ends it."""
    code = (
        "import os, signal, sys, time; from edgead.cli import signals\n"
        "signals.GRACE_SECONDS = 0.2\n"
        "try:\n"
        "    with signals.ended_by_signals():\n"
        "        signal.signal(signal.SIGHUP, lambda number, frame: os.write(1, b'looked\\n'))\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(20)\n"
        "except signals.Ended as ended: sys.exit(ended.exit_code)\n"
    )
    line = process(code, "ready")
    line.send_signal(signal.SIGHUP)
    assert line.stdout is not None and line.stdout.readline() == "looked\n"
    time.sleep(1)
    assert line.poll() is None, "five times the grace has passed"
    line.terminate()
    assert line.wait(30) == 143
    line.communicate()


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned = False
    with pytest.raises(Ended) as caught, ended_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            cleaned = True
    assert cleaned and caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signals_that_are_ignored_or_handled_stay_so() -> None:
    """As under nohup, or in a program of the user's that calls ``main``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_done() -> None:
    seen: list[object] = []

    def work() -> None:
        with ended_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
