"""aravis' virtual GigE camera in a network namespace of its own, where nothing but the loopback is.

Run as a module it's inside: it does what its arguments name, and prints what came of it as JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgead.errors import DeviceError, MissingDependencyError
from edgead.line.config import line_of
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.hearing import Told
from edgead.line.records import record_of
from edgead.notices import Notice
from edgead.testing import checks
from edgead.types import Grab, Source, Verdict
from edgead_plugins.sources.aravis import AravisCamera, AravisOptions
from edgead_plugins.sources.aravis_library import library

CAMERA = "arv-fake-gv-camera-0.8"
ADDRESS = "127.0.0.1"
ROOT = Path(__file__).parents[2]


def lacking() -> str | None:
    """Why there's no such camera here, or None."""
    for tool, package in ((CAMERA, "aravis-tools"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} isn't installed: it's in the package {package}"
    try:
        library()
    except MissingDependencyError as error:
        return str(error)
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        return "this system makes no network namespace"
    return None


def inside(*words: str, seconds: float = 120) -> dict[str, Any]:
    """Run this module in a namespace, and return what it prints."""
    command = ["unshare", "-rn", sys.executable, "-m", "tests.plugins.gige", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def loopback_up() -> None:
    """Switch the namespace's one interface on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


class Camera:
    """The virtual camera. It loses so many of a thousand packets."""

    def __init__(self, lost: int = 0) -> None:
        command = [CAMERA, "-i", ADDRESS, "-s", "GV01", "-r", str(lost)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._answers()

    def _answers(self) -> None:
        """Wait until it listens on GigE Vision's port."""
        until = time.monotonic() + 20
        while f":{3956:04X} " not in Path("/proc/net/udp").read_text():
            assert time.monotonic() < until and self.process.poll() is None, "it doesn't start"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def camera(lost: int = 0) -> Iterator[Camera]:
    made = Camera(lost)
    try:
        yield made
    finally:
        made.kill()


# ---------------------------------------------------------------- a source


def grabs(source: Source, count: int, seconds: float = 20) -> list[Grab]:
    until, found = time.monotonic() + seconds, list[Grab]()
    while len(found) < count and time.monotonic() < until:
        if (grab := source.read(0.1)) is not None:
            found.append(grab)
    return found


@contextlib.contextmanager
def opened(**options: Any) -> Iterator[Any]:
    source = AravisCamera(AravisOptions(**{"camera": ADDRESS, **options}))
    try:
        source.open()
        yield source
    finally:
        source.close()


def refused(**options: Any) -> str:
    try:
        with opened(**options):
            return "it opens"
    except DeviceError as error:
        return str(error)


def formats() -> dict[str, Any]:
    """An image of each format that the camera offers, and the bytes that it was made of."""
    found = {}
    with opened() as source:
        offered = source._driver.features.choices("PixelFormat")
    for name in offered:
        with opened(pixel_format=name, width=20, height=10, rate=100.0) as source:
            taken = []
            take = source._driver.take

            def recorded(timeout: float, take: Any = take, taken: list[Any] = taken) -> Any:
                raw = take(timeout)
                if raw is not None:
                    taken.append(np.array(raw.data, np.uint8).tolist())
                return raw

            source._driver.take = recorded
            grab = grabs(source, 2)[1]
            image = grab.image
            assert image is not None
            found[name] = {"data": taken[1], "image": image.tolist(), "dtype": image.dtype.name,
                           "depth": grab.depth, "ns": grab.camera_ns}  # fmt: skip
    return found


def counts() -> list[int | None]:
    """Numbers of images over the end of the camera's 16 bits."""
    with opened(width=20, height=10, rate=500.0, exposure_us=1000.0) as source:
        return [grab.frame_id for grab in grabs(source, 160)]


def lossy() -> list[list[Any]]:
    """Numbers, and problems, of small images of which packets are lost."""
    with (
        camera(lost=60),
        opened(width=128, height=96, rate=200.0, frame_ms=20.0, exposure_us=1000.0) as source,
    ):
        return [[grab.frame_id, grab.image is not None, grab.problem] for grab in grabs(source, 60)]


def restarted() -> dict[str, Any]:
    """What a source says of a camera that was switched off and on, and whether it opens again."""
    with camera() as first, opened() as source:
        assert grabs(source, 1)
        first.kill()
        with camera():
            until, error = time.monotonic() + 20, "nothing"
            while error == "nothing" and time.monotonic() < until:
                try:
                    source.read(0.1)
                except DeviceError as lost:
                    error = str(lost)
            source.close()
            source.open()
            again = len(grabs(source, 2))
            source.close()  # while the camera is there: else it's waited for
            return {"error": error, "again": again}


def source() -> dict[str, Any]:
    """All that is looked at of the source alone."""
    found: dict[str, Any] = {"lossy": lossy(), "restarted": restarted()}
    with camera():
        kit = checks("aravis", options={"aravis": [f"camera={ADDRESS}"]})
        found["kit"] = {check.name: list(vars(check.run()).values()) for check in kit}
        found["counts"] = counts()
    with camera():
        found["formats"] = formats()
        found["seen"] = [vars(each) for each in AravisCamera().cameras()]
        found["refused"] = {
            "camera": refused(camera="X9"),
            "format": refused(pixel_format="Mono12p"),
            "trigger": refused(trigger="hardware"),
            "feature": refused(features=("Nope=1",)),
            "kind": refused(features=("Width=wide",)),
        }
        with opened(trigger="software", rate=20.0, width=20, height=10) as made:
            began = time.monotonic()
            found["software"] = [len(grabs(made, 10)), time.monotonic() - began]
    return found


# ---------------------------------------------------------------- a line


def line(ratio: str, seconds: str) -> dict[str, Any]:
    """A line with the camera, which loses packets, is switched off after a while, and on again."""
    own = {"width": 128, "height": 96, "rate": 50.0, "frame_ms": 30.0, "camera": ADDRESS}
    told: list[tuple[float, Told]] = []
    with tempfile.TemporaryDirectory() as folder:
        table = {
            "line": {"deadline_ms": 2000, "hung_ms": 4000},
            "camera": [{"name": "top", "source": "aravis", "bundle": "none", "options": own}],
            "sink": [{"kind": "file", "role": "verdict", "options": {"path": f"{folder}/verdicts.jsonl"}}],
        }
        plan = Plan(line_of(table, "a test", Path(folder)), stand_in=True)
        core = Core(plan, lambda each: told.append((time.monotonic(), each)))
        ended = threading.Event()
        first = Camera(int(ratio))

        def opened_so_far() -> int:
            return sum(isinstance(t, Notice) and t.code == "line-camera-open" for _, t in told)

        def wait(holds: Callable[[], bool], most: float) -> None:
            until = time.monotonic() + most
            while not holds() and time.monotonic() < until:
                time.sleep(0.05)

        def go() -> None:
            second = None
            wait(lambda: opened_so_far() >= 1, 60)
            time.sleep(float(seconds))
            first.kill()
            second = Camera(int(ratio))
            wait(lambda: opened_so_far() >= 2, 60)
            time.sleep(float(seconds) / 2)
            ended.set()
            time.sleep(0.3)
            second.kill()

        working = threading.Thread(target=go)
        working.start()
        core.run(ended.is_set)
        working.join()
        said = [json.loads(text) for text in (Path(folder) / "verdicts.jsonl").read_text().splitlines()]
    marks = [i for i, (_, t) in enumerate(told) if isinstance(t, Notice) and t.code == "line-camera-open"]
    openings: list[list[dict[str, Any]]] = [[] for _ in marks]
    for at, (_, each) in enumerate(told):
        if isinstance(each, Verdict):
            openings[sum(mark < at for mark in marks) - 1].append(record_of(each))
    lost_notes = [
        str(t.values["why"]) for _, t in told if isinstance(t, Notice) and t.code == "line-camera-lost"
    ]
    return {"openings": openings, "at_the_sink": said, "lost": lost_notes}


def main() -> None:
    loopback_up()
    what, *words = sys.argv[1:]
    found = {"source": source, "line": line}[what](*words)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
