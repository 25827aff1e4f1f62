"""The page of a line that runs: what is taught and set on it is what judges then, and a page that is stopped,
killed or flooded costs the line no verdict.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgead
from edgead.line.config import Line, line_of
from edgead.line.core import Core
from edgead.line.crew import Plan
from edgead.line.hearing import Told
from edgead.line.record import RecordReader
from edgead.types import Verdict
from tests.bundles import bad_image, good_image
from tests.core.line_page_support import Site, free_port, write_three

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")
pytest.importorskip("starlette", reason="starlette, of the [web] extra, isn't installed")
pytest.importorskip("uvicorn", reason="uvicorn, of the [web] extra, isn't installed")


# ---------------------------------------------------------------- a lesson and a threshold

LINE = """
[line]
deadline_ms = 10000
hung_ms = 20000
shadow = 3
trial = 3
[[camera]]
name = "top"
source = "folder"
options = {{ path = "incoming", watch = true }}
bundle = "part.edgead"
threads = 1
[[sink]]
kind = "file"
role = "verdict"
options = {{ path = "verdicts.jsonl" }}
[log]
[page]
listen = "127.0.0.1:{port}"
"""


class Running(Site):
    """`edgead line run` on a folder that good parts come into."""

    def __init__(self, folder: Path) -> None:
        super().__init__(free_port())
        self.folder, self._count = folder, 0
        (folder / "incoming").mkdir()
        write_three(folder / "users.toml")
        (folder / "line.toml").write_text(LINE.format(port=self.port))
        self._log = (folder / "log.txt").open("w")
        words = [sys.executable, "-m", "edgead", "line", "run", "line.toml"]
        self._process = subprocess.Popen(words, cwd=folder, stdout=self._log, stderr=self._log)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()
        self.wait(self._ready, "it isn't ready")

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log.txt").read_text()
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def _feed(self) -> None:
        while not self._ended.wait(0.15):
            self.show(good_image(self._count % 40))

    def show(self, image: np.ndarray) -> None:
        """A part comes by."""
        self._count += 1
        made, data = cv2.imencode(".png", image)
        assert made
        beside = self.folder / f"{self._count}-{threading.get_ident()}.tmp"
        beside.write_bytes(data.tobytes())
        beside.replace(self.folder / "incoming" / f"{self._count:06}-{threading.get_ident()}.png")

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture
def running(compiled: Any, tmp_path: Path) -> Iterator[Running]:
    shutil.copytree(compiled("onnx").bundle.path, tmp_path / "part.edgead")
    made = Running(tmp_path)
    yield made
    made.close()


def test_a_false_alarm_is_filed_and_taught_and_the_same_part_accepted_afterwards(running: Running) -> None:
    bundle, image = running.folder / "part.edgead", bad_image(1)
    judged = edgead.load(bundle)(image)
    otto, ella = running.login("otto"), running.login("ella")

    def seen(decision: str, score: float) -> Any:
        with RecordReader(running.folder / "record") as reader:
            rows = reader.verdicts(500, decision=decision)  # type: ignore[arg-type]
            return next((r for r in rows if r.score and abs(r.score - score) < 1e-3 * score), None)

    running.show(image)
    row = running.wait(lambda: seen("reject", judged.score), "it isn't rejected")
    filed = otto.post(
        "/api/file", camera="top", run=row.run, trigger=row.trigger, kind="false-alarm", reason="oil"
    )
    assert filed[0] == 200, filed
    number = filed[1]["feedback"]
    running.wait(lambda: otto.get("/api/filed")["filed"][0]["image"], "its image isn't kept")

    cost = ella.job("/api/teach", feedback=number, dry=True)
    assert cost["image"]["before"] and not cost["image"]["after"] and cost["image"]["rows"] >= 1
    assert (cost["used"], cost["capacity"], cost["lessons"]) == (0, 256, [])
    assert edgead.load(bundle)(image).is_anomalous, "the cost alone changes nothing"

    confirmed = {"feedback": number, "dry": False, "accept_changes": True}
    assert ella.post("/api/teach", **confirmed)[0] == 409, "it doesn't say whose cost was looked at"
    done = ella.job("/api/teach", **confirmed, bundle=cost["bundle"])
    assert done["lessons"] == [1] and done["reload"] == ["top"]
    assert otto.get("/api/filed")["filed"][0]["state"] == "taught"
    (lesson,) = ella.get("/api/lessons?camera=top")["lessons"]
    assert (lesson["by"], lesson["reason"], lesson["kind"]) == ("ella", "oil", "false-alarm")
    running.wait(lambda: "judges now" in str(ella.get("/api/events")), "the line doesn't take it up")
    after = edgead.load(bundle)
    expected = after(image)
    assert not expected.is_anomalous and after.threshold == judged.threshold, "no threshold has moved"
    running.show(image)
    running.wait(lambda: seen("accept", expected.score), "the same part isn't accepted")

    assert ella.post("/api/undo", camera="top", lesson=1, reason="")[0] == 400, "a reason is missing"
    undoing = {"camera": "top", "lesson": 1, "reason": "it was a defect"}
    assert ella.post("/api/undo", **undoing, bundle=cost["bundle"])[0] == 409, "it was before the lesson"
    shown = ella.get("/api/lessons?camera=top")
    ella.job("/api/undo", **undoing, bundle=shown["bundle"])
    assert edgead.load(bundle)(image).is_anomalous

    twice = 2 * judged.threshold
    setting = {"camera": "top", "threshold": twice, "reason": "line trial"}
    assert ella.post("/api/threshold", **setting, bundle=shown["bundle"])[0] == 409, "before the undoing"
    setting["bundle"] = ella.get("/api/threshold?camera=top")["bundle"]
    assert ella.job("/api/threshold", **setting)["threshold"] == twice
    shown = ella.get("/api/threshold?camera=top")
    assert shown["threshold"] == edgead.load(bundle).threshold == twice
    assert [(r["by"], r["why"]) for r in shown["revisions"]] == [("ella", "line trial")]
    audit = ella.get("/api/audit")
    told = [(r["user"], r["what"], r["old"], r["reason"]) for r in audit["audit"] if r["what"] != "login"]
    assert audit["whole"] and [each[:2] for each in told] == [
        ("ella", "threshold"), ("ella", "undo"), ("ella", "teach"), ("otto", "false-alarm")]  # fmt: skip
    assert told[0][2:] == (f"{judged.threshold:.6g}", "line trial")


# ---------------------------------------------------------------- a page that breaks


def line(folder: Path, port: int) -> Line:
    camera = {
        "name": "top",
        "source": "generated",
        "bundle": "none",
        "options": {"rate": 20, "parts": 100_000},
    }
    sink = {"kind": "file", "role": "verdict", "options": {"path": str(folder / "verdicts.jsonl")}}
    own = {"deadline_ms": 1500, "hung_ms": 3000}
    page = {"listen": f"127.0.0.1:{port}"}
    return line_of({"line": own, "camera": [camera], "sink": [sink], "page": page}, "a test", folder)


def test_a_page_that_is_stopped_or_killed_costs_no_verdict_and_comes_back(tmp_path: Path) -> None:
    write_three(tmp_path / "users.toml")
    told: list[Told] = []
    core = Core(Plan(line(tmp_path, free_port()), stand_in=True), told.append)
    running = threading.Thread(target=core.run, daemon=True)
    running.start()
    page = core._crew.page
    assert page is not None

    def wait(done: Any, why: str) -> None:
        until = time.monotonic() + 90
        while not done():
            assert time.monotonic() < until and running.is_alive(), why
            time.sleep(0.02)

    def verdicts() -> int:
        return core.tally.total

    def more(count: int) -> None:
        before = verdicts()
        wait(lambda: verdicts() >= before + count, "the line stands")

    try:
        wait(lambda: page.up and verdicts() > 5, "the page isn't up")
        first = page.process
        assert first is not None
        first.send_signal(signal.SIGSTOP)
        # More than a socket takes, at once: the page is told what it takes, and the core never waits.
        reporting, said = core._reporting, next(t for t in told if isinstance(t, Verdict))
        began = time.monotonic()
        for _ in range(5000):
            reporting._hear(said)
        took = time.monotonic() - began
        assert reporting.dropped > 1000 and len(page.channel._out) < 1 << 16  # type: ignore[union-attr]
        assert took < 30, "a core that waited would never come here"
        more(10)
        first.kill()
        more(10)
        wait(lambda: page.up and page.process is not first, "it isn't started again")
        more(5)
    finally:
        core.stop()
        running.join(30)
    found = [t for t in told if isinstance(t, Verdict)]
    assert [v.trigger for v in found] == list(range(1, len(found) + 1)), "exactly one each"
    late = [v for v in found if v.why == "deadline"]
    assert len(late) <= 1 and core.tally.by_failsafe <= len(late) + 1, core.tally.record()


def test_a_page_that_cannot_be_is_said_and_the_line_runs(tmp_path: Path) -> None:
    told: list[Told] = []
    core = Core(Plan(line(tmp_path, free_port()), stand_in=True), told.append)  # it has no users
    until = time.monotonic() + 90

    def done() -> bool:
        assert time.monotonic() < until
        started.add(core._crew.page.process)  # type: ignore[union-attr]
        return core.tally.total > 3 and len(started - {None}) > 3

    started: set[object] = set()
    core.run(done)
    (text,) = [str(t) for t in told if str(getattr(t, "code", "")) == "line-process-refused"]
    assert len([t for t in told if str(getattr(t, "code", "")) == "line-process-gone"]) == 1, "said once"
    assert (
        text.startswith("page page can't do its work: ")
        and text.count("page page") == 1
        and "edgead line users add" in text
    )
    assert core.tally.whys["score"] > 3
