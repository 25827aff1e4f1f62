"""Run a line for long, and kill its processes if wanted: does memory grow, is a verdict late or wrong?

    python tools/soak_line.py [--frames N] [--rate R] [--kills N] [--bundle PATH] [--deadline-ms MS]
        [--epsilon-ms MS] [--add FILE.TOML] [--database FILE] [--seed N]

``edgead line run`` is run as a service manager would, started again where it ends: a virtual camera over a
virtual belt, a bundle (a tiny one if none is given), a virtual PLC that takes part in the verdict, and each
registered sink that's ready with its own defaults, to be informed. ``--add`` appends tables to the line's
file: sinks with options, a log, a page. The PLC's own log is what counts; it's read as it grows.

Without ``--kills``: every part has one verdict, none later than its deadline and epsilon, and no process
takes over 4 MB more in the last fifth than in the second. With it, so many kill -9 at random moments of
random processes, the line's own among them: how long it took until a score came again, and whether any
verdict was twice, or an acceptance had no score. ``--database``: of an SQLite file no table may ever lose a
row that was committed, and at the end it has to be whole. The exit code is 1 where one of these fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import IO, Any

from edgead.plugins import registry

TINY = Path(__file__).parents[1] / "tests" / "golden" / "v3.edgead"
MOST_GROWTH = 4 << 20
LOOK, KEPT = 2.0, 20_000
ELSEWHERE = ("virtual", "file", "webhook")
"""Sinks that this tool configures itself, or that need another side."""


class Plc:
    """What the PLC's log says, line by line as it grows."""

    def __init__(self, file: Path, deadline_ms: float) -> None:
        self._file, self._deadline = file, deadline_ms
        self._stream: IO[str] | None = None
        self._half = ""
        self._recent: deque[tuple[str, int]] = deque()
        self._known: set[tuple[str, int]] = set()
        self.whys: Counter[str] = Counter()
        self.runs: dict[str, int] = {}  # the highest trigger of each
        self.twice = self.unjudged = 0
        self.latest: float | None = None
        self.last_score = 0  # when, ns
        self.parts: set[int] = set()

    def read(self) -> None:
        if self._stream is None:
            if not self._file.exists():
                return
            self._stream = self._file.open()
        *lines, self._half = (self._half + self._stream.read()).split("\n")
        for line in lines:
            with contextlib.suppress(ValueError):  # half of one, of a PLC that was killed
                self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if "verdict" not in told:
            return
        verdict, at = told["verdict"], told["at"]
        key = (verdict["run"], verdict["trigger"])
        self.twice += key in self._known
        self._known.add(key)
        self._recent.append(key)
        if len(self._recent) > KEPT:
            self._known.discard(self._recent.popleft())
        self.whys[verdict["why"]] += 1
        self.runs[key[0]] = max(key[1], self.runs.get(key[0], 0))
        scored = verdict["why"] == "score"
        good = scored and verdict["score"] is not None and verdict["score"] <= verdict["threshold"]
        self.unjudged += verdict["decision"] == "accept" and not good
        late = (at - verdict["times"]["trigger"]) / 1e6 - self._deadline
        self.latest = late if self.latest is None else max(late, self.latest)
        if scored:
            self.last_score = at


class Memory:
    """Resident memory of each process, as long as it lives."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    def look(self, own: int) -> None:
        for name, process in processes(own):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
                self.samples[name, process].append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE")))

    def rows(self, began: float, ended: float) -> list[tuple[str, float, float]]:
        """Name, MB in the second fifth of the time, MB in the last; of processes that were there in both."""
        found = []
        fifth = (ended - began) / 5
        for (name, _), samples in sorted(self.samples.items()):
            early = [size for at, size in samples if began + fifth <= at < began + 2 * fifth]
            last = [size for at, size in samples if at >= ended - fifth]
            if early and last:
                found.append((name, max(early) / 1e6, sorted(last)[len(last) // 2] / 1e6))
        return found


def processes(own: int) -> list[tuple[str, int]]:
    """The line's processes: what each does, and its number; the line's own is the first."""
    found = [("core", own)]
    with contextlib.suppress(OSError):
        for word in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            with contextlib.suppress(OSError):
                told = Path(f"/proc/{word}/cmdline").read_bytes().decode(errors="replace")
                kind = re.search(r"edgead\.line\.(\w+)_process", told)
                found.append((kind.group(1) if kind else "other", int(word)))
    return found


def rows_of(database: Path) -> dict[str, int]:
    """The highest row of each table, as another process sees what is committed."""
    found: dict[str, int] = {}
    if not database.exists():
        return found
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as reader:
        tables = [name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables:
            with contextlib.suppress(sqlite3.OperationalError):  # one without rowids
                (highest,) = reader.execute(f'SELECT max(rowid) FROM "{name}"').fetchone()
                found[name] = highest or 0
    return found


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="edgead-soak-line-") as name:
        return _soak(asked, Path(name))


def _soak(asked: argparse.Namespace, folder: Path) -> int:
    shutil.copytree(asked.bundle, folder / "bundle.edgead")
    file, sinks = _line(asked, folder)
    print(f"{asked.frames:,} parts at {asked.rate:g}/s, deadline {asked.deadline_ms:g} ms, {asked.kills} "
          f"kills; sinks: {', '.join(sinks)}\n", flush=True)  # fmt: skip
    rng = random.Random(asked.seed)
    seconds = asked.frames / asked.rate
    plc, memory = Plc(folder / "plc.jsonl", asked.deadline_ms), Memory()
    line, starts = _started(file, folder), 1
    rows: dict[str, int] = {}
    lost: list[str] = []
    waits: list[tuple[str, float]] = []
    began, due, killed, next_look = 0.0, 0.0, None, 0.0
    try:
        while True:
            time.sleep(0.05)
            plc.read()
            now = time.monotonic()
            if line.poll() is not None:
                if starts > asked.kills + 3:
                    raise SystemExit(
                        f"the line ends again and again:\n{(folder / 'said').read_text()[-2000:]}"
                    )
                line, starts = _started(file, folder), starts + 1
            if not began and plc.last_score:
                began = due = now
            if killed is not None and plc.last_score > killed[1]:
                waits.append((killed[0], (plc.last_score - killed[1]) / 1e9))
                killed = None
            if began and killed is None and len(waits) < asked.kills and now >= due:
                what, process = rng.choice(processes(line.pid))
                killed = (what, time.monotonic_ns())
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                due = now + rng.uniform(0.5, 1.5) * seconds / max(1, asked.kills)
            if now >= next_look:
                next_look = now + LOOK
                memory.look(line.pid)
                if asked.database is not None:
                    fresh = rows_of(asked.database)
                    lost += [f"{t}: {rows[t]} to {n}" for t, n in fresh.items() if n < rows.get(t, 0)]
                    rows = {**rows, **fresh}
            if began and now - began > seconds + 2 * asked.deadline_ms / 1e3 and len(waits) >= asked.kills:
                break
        ended = time.monotonic()
        line.send_signal(signal.SIGTERM)
        code = line.wait(30)
    finally:
        line.kill()
    plc.read()
    if asked.database is not None and asked.database.exists():
        with contextlib.closing(sqlite3.connect(asked.database)) as reader:
            whole = reader.execute("PRAGMA integrity_check").fetchone()[0]
            lost += [] if whole == "ok" else [str(whole)[:200]]
    return _told(asked, plc, memory.rows(began, ended), waits, lost, starts, code)


def _told(
    asked: argparse.Namespace,
    plc: Plc,
    memory: list[tuple[str, float, float]],
    waits: list[tuple[str, float]],
    lost: list[str],
    starts: int,
    code: int,
) -> int:
    print("| process | MB early | MB at the end | grown |\n| --- | --- | --- | --- |")
    for name, early, last in memory:
        print(f"| {name} | {early:.1f} | {last:.1f} | {last - early:+.1f} |")
    whys = ", ".join(f"{count} {why}" for why, count in plc.whys.most_common())
    print(f"\n{plc.whys.total()} verdicts at the PLC in {len(plc.runs)} runs of {starts} starts: {whys}")
    if plc.latest is not None:
        word = "after" if plc.latest > 0 else "before"
        print(f"the latest was there {abs(plc.latest):.1f} ms {word} its deadline")
    wrong = []
    if waits:
        by = defaultdict(list)
        for what, seconds in waits:
            by[what].append(seconds)
        for what, found in sorted(by.items()):
            found.sort()
            print(f"{what} killed {len(found)} times: a score again after {found[len(found) // 2]:.2f} s in "
                  f"half of them, {found[-1]:.2f} s at most")  # fmt: skip
    else:
        whole = sum(plc.runs.values())
        wrong += [f"{whole} triggers have {plc.whys.total()} verdicts"] if whole != plc.whys.total() else []
        wrong += [f"{name} grew by {last - early:.1f} MB" for name, early, last in memory
                  if (last - early) * 1e6 > MOST_GROWTH]  # fmt: skip
        late = plc.latest is not None and plc.latest > asked.epsilon_ms
        wrong += [f"a verdict came {plc.latest:.1f} ms after its deadline"] if late else []
        wrong += [f"it ended with {code}"] if code else []
    wrong += [f"{plc.twice} triggers have several verdicts"] if plc.twice else []
    wrong += [f"{plc.unjudged} acceptances without a score under the threshold"] if plc.unjudged else []
    wrong += [f"rows lost: {each}" for each in lost]
    print(f"wrong: {'; '.join(wrong) or 'nothing'}")
    return int(bool(wrong))


def _line(asked: argparse.Namespace, folder: Path) -> tuple[Path, list[str]]:
    """The line's file, with every sink that is ready as it is, and their names."""
    file = folder / "line.toml"
    kinds = [name for name in registry().names("sinks") if name not in ELSEWHERE]
    file.write_text(_text(asked, folder, kinds))
    words = [sys.executable, "-m", "edgead", "line", "check", str(file), "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True).stdout)["findings"]
    ready = {each["name"] for each in found if each["kind"] == "sink" and each["ready"]}
    for each in found:
        if not each["ready"] and each["name"] not in kinds:
            raise SystemExit(f"{each['kind']} {each['name']} isn't ready: {each['error']}")
        if not each["ready"]:
            print(f"left out: {each['name']}: {each['error']}", file=sys.stderr)
    kinds = [name for name in kinds if name in ready]
    file.write_text(_text(asked, folder, kinds))
    return file, ["virtual", "file", *kinds]


def _text(asked: argparse.Namespace, folder: Path, kinds: list[str]) -> str:
    more = "".join(f'[[sink]]\nkind = "{kind}"\nrole = "inform"\n' for kind in kinds)
    added = asked.add.read_text() if asked.add is not None else ""
    return f"""[line]
name = "soak"
deadline_ms = {asked.deadline_ms}
hung_ms = {max(1000.0, asked.deadline_ms)}
[[camera]]
name = "top"
source = "generated"
bundle = "bundle.edgead"
threads = 1
options = {{ belt = "{folder}/belt", rate = {asked.rate}, width = {asked.size}, height = {asked.size} }}
[[sink]]
kind = "virtual"
role = "verdict"
options = {{ belt = "{folder}/belt", rate = {asked.rate}, log = "{folder}/plc.jsonl" }}
[[sink]]
kind = "file"
role = "inform"
options = {{ path = "verdicts.jsonl" }}
{more}{added}"""


def _started(file: Path, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "said").open("ab") as said:
        words = [sys.executable, "-m", "edgead", "line", "run", str(file)]
        return subprocess.Popen(words, stdout=said, stderr=said)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=18_000)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--bundle", type=Path, default=TINY)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--deadline-ms", type=float, default=200.0)
    parser.add_argument("--epsilon-ms", type=float, default=50.0)
    parser.add_argument("--add", type=Path, help="a file whose tables are appended to the line's")
    parser.add_argument("--database", type=Path, help="an SQLite file that the line writes")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
