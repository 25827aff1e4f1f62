"""Synthetic images made ahead by processes: the same bytes, and nothing left of them whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.errors import ImageError, TrainingError  # noqa: E402
from edgead_plugins.cutpaste import CutPasteOptions  # noqa: E402
from edgead_plugins.cutpaste.fitting import Pasted  # noqa: E402
from edgead_plugins.destseg.fitting import Corrupted  # noqa: E402
from edgead_plugins.synthesis.textures import Textures  # noqa: E402
from edgead_plugins.training.supply import Supply  # noqa: E402
from tests.bundles import good_image  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIZE = (48, 64)
IMAGES = torch.from_numpy(np.stack([good_image(i, SIZE) for i in range(4)]))


def corrupted(folder: Path | None = None) -> Corrupted:
    return Corrupted(IMAGES, Textures(folder, SIZE), 3, "any", 0.5, 7, 1)


def of_steps(make, workers: int, first: int, stop: int) -> list[list[torch.Tensor]]:
    supply = Supply("s", make, workers)
    with supply.running(first, stop):
        return [[part.clone() for part in supply.take(number)] for number in range(first, stop)]


def children() -> set[str]:
    """Processes that this one began and that are there still, but for Python's own that counts semaphores."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not listed.exists():
        pytest.skip("this system doesn't list a process's children")
    alive = set()
    for pid in listed.read_text().split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words and b"resource_tracker" not in words:
            alive.add(pid)
    return alive


class Both:
    """DeSTSeg's and CutPaste's steps together: beginning processes is what takes long."""

    def __init__(self) -> None:
        self.of = corrupted(), Pasted(IMAGES, "patch", CutPasteOptions(batch_size=3), 7)

    def __call__(self, number: int) -> list[np.ndarray]:
        return [part for make in self.of for part in make(number)]


def test_processes_make_the_bytes_that_this_one_makes_from_any_step_on():
    make, before, state = Both(), children(), torch.get_rng_state()
    wanted, found = of_steps(make, 0, 2, 6), of_steps(make, 2, 2, 6)
    for mine, theirs in zip(wanted, found, strict=True):
        assert len(mine) == len(theirs)
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(mine, theirs, strict=True))
    assert torch.equal(state, torch.get_rng_state())  # a training's own draws are what they were
    assert children() == before


def test_an_image_that_cant_be_read_is_the_same_error(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((8, 8, 3), np.uint8))
    make, told = corrupted(tmp_path), []
    for file in tmp_path.glob("*.png"):
        file.write_bytes(b"no picture")
    for workers in (0, 1):
        with pytest.raises(ImageError) as caught:
            of_steps(make, workers, 0, 2)
        told.append(str(caught.value).replace("1.png", "0.png"))
    assert told[0] == told[1] and "\n" not in told[0]


class Dies:
    """Ends its process in its second step, as the kernel does where memory is short."""

    def __call__(self, number: int) -> list[np.ndarray]:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return [np.zeros(1)]


def test_a_process_that_dies_is_one_error(capfd):
    before = children()
    with pytest.raises(TrainingError, match=r"^s: a process that makes synthetic .* --workers 0") as caught:
        of_steps(Dies(), 1, 0, 3)
    assert "\n" not in str(caught.value)
    assert children() == before and "Traceback" not in capfd.readouterr().err


SCRIPT = """
import sys, time
from tests.plugins.test_training_supply import corrupted
from edgead_plugins.training.supply import Supply

print("begun", flush=True)
supply = Supply("s", corrupted(), 2)
with supply.running(0, 10**6):
    supply.take(0)
    print("running", flush=True)
    time.sleep(120)
"""


def test_ctrl_c_ends_a_script_without_a_guard_and_all_its_processes(tmp_path):
    """The script has no ``if __name__ == "__main__"``, which "spawn" usually asks for."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    child = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    assert [child.stdout.readline().strip() for _ in range(2)] == ["begun", "running"]
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to each of them
    told, errors = child.communicate(timeout=60)
    assert told == "" and child.returncode == -signal.SIGINT, errors
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    for _ in range(600):
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("processes are left")
