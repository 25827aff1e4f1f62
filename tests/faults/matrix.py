"""Fail every write, fsync, rename, link, mkdir and open of every verb, one after the other, and look.

    python -m tests.faults.matrix [--verb NAME]... [--place NAME]... [--every K] [--json FILE]

As SQLite's tests do it: the n-th call fails, for n = 1, 2, 3 ... until a verb makes fewer. After each try the
exit code must be a documented one, nothing half-written lie about, the older outputs be as they were
and verify, and the message, no traceback, name a path and the reason. Printed are a table of counts, and each
violation on stderr; the exit code is 1 where there's one.

Needs a C compiler and the system's dynamic linker (see shim.c), so Linux. The tries are forked from a process
that has imported everything, which never starts an engine's threads itself.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import csv
import ctypes
import errno
import hashlib
import importlib
import json
import os
import pkgutil
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.faults.verbs import VERBS, WRONG, Verb

ROOT = Path(__file__).parents[2]
SHIM = "EDGEAD_FAULTS_SHIM"
SECONDS = 120
KINDS = ("write", "fsync", "rename", "link", "mkdir", "open")
FAULTS = (
    ("write", errno.ENOSPC, True),  # a full disk stays full
    ("write", errno.EIO, False),
    ("fsync", errno.EIO, False),
    ("rename", errno.EACCES, False),
    ("link", errno.EIO, False),
    ("mkdir", errno.ENOSPC, False),
    ("open", errno.EACCES, False),
)
PLACES = ("usual", "other-tmp", "read-only-home", "no-home")
"""Where TMPDIR and HOME are: in the folder; TMPDIR on another disk; HOME that takes nothing; none at all."""
DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8}
OTHER_DISK = Path("/dev/shm")
LINK = "a link to "
Tree = dict[str, str]
Fault = tuple[str, int, int, bool]
"""Kind, which call, errno, and whether all later calls fail, too."""


def compiled(folder: Path) -> Path | None:
    """The shim, built in a folder; None where there's no compiler."""
    if not sys.platform.startswith("linux") or (compiler := shutil.which("cc")) is None:
        return None
    made = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


@dataclass(frozen=True)
class Try:
    """What became of one try.

    Attributes:
        code: its exit code.
        out, err: what it printed.
        again: what it printed when run once more.
        then: how the command that must do afterwards ended: its exit code and what it said.
        calls: how many of each kind it made.
        failed: how many were failed.
        path: of the first that was.
        tree: what is there.
        other: what was left on the other disk.
    """

    code: int
    out: str
    err: str
    again: str
    then: tuple[int, str]
    calls: dict[str, int]
    failed: int
    path: str
    tree: Tree
    other: list[str]


def fill(template: Path) -> None:
    """Make the folder that's copied for each try, in a process of its own: it starts engines' threads."""
    template.mkdir()
    code = "import sys; from pathlib import Path; from tests.faults.verbs import prepare; "
    code += "prepare(Path(sys.argv[1]))"
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    words = [sys.executable, "-c", code, template]
    subprocess.run(words, cwd=ROOT, check=True, env=clean, stderr=subprocess.DEVNULL)


class Matrix:
    """All tries of all verbs in one temporary folder; a process that has the shim preloaded."""

    def __init__(self, folder: Path, template: Path | None = None) -> None:
        self.folder, self.template = folder, template or folder / "template"
        self.shim = ctypes.CDLL(os.environ[SHIM])
        self.shim.faults_path.restype = ctypes.c_char_p
        if template is None:
            fill(self.template)
        _import_everything()

    def attempt(self, verb: Verb, place: str, kind: str, n: int, error: int, on: bool) -> Try:
        """Run a verb in a fresh copy with one fault; n 0 for none."""
        work, other = self.folder / "work", OTHER_DISK / f"edgead-faults-{os.getpid()}"
        shutil.copytree(self.template, work, symlinks=True)
        if place == "other-tmp":
            other.mkdir()
        try:
            code, told, out, err = self._run(verb, place, work, other, (kind, n, error, on))
            again = self._run(verb, place, work, other, ("write", 0, 0, False))[2] if verb.again else ""
            left = sorted(str(p.relative_to(other)) for p in other.rglob("*")) if other.exists() else []
            found = tree(work)
            after = replace(verb, words=verb.then)
            ended = self._run(after, place, work, other, ("write", 0, 0, False)) if verb.then else None
            return Try(
                code,
                out,
                err,
                again,
                (ended[0], ended[3]) if ended else (0, ""),
                told.get("calls", {}),
                told.get("failed", 0),
                told.get("path", ""),
                found,
                left,
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(other, ignore_errors=True)

    def _run(
        self, verb: Verb, place: str, work: Path, other: Path, fault: Fault
    ) -> tuple[int, dict[str, Any], str, str]:
        told = self.folder / "told.json"
        told.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            self._child(verb, place, work, other, fault)
        code = _wait(child)
        printed = [(self.folder / name).read_text(errors="replace") for name in ("out.txt", "err.txt")]
        return code, json.loads(told.read_text()) if told.exists() else {}, printed[0], printed[1]

    def _child(self, verb: Verb, place: str, work: Path, other: Path, fault: Fault) -> None:
        kind, n, error, on = fault
        code = 99
        try:
            for number, name in ((1, "out.txt"), (2, "err.txt")):
                os.dup2(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(work)
            for name in ("EDGEAD_CACHE", "XDG_CACHE_HOME"):
                os.environ.pop(name, None)
            os.environ |= dict(verb.demands)
            os.environ |= {
                "HOME": str(work / "home"),
                "TMPDIR": str(other if place == "other-tmp" else work / "tmp"),
            }
            if place == "no-home":  # as a container's user has none, in the list of users neither
                del os.environ["HOME"]
                pwd.getpwuid = _nobody  # type: ignore[assignment]
            tempfile.tempdir = None
            if place == "read-only-home":
                self.shim.faults_read_only(str(work / "home").encode())
            self.shim.faults_arm(f"{work}:{other}".encode(), kind.encode(), n, error, int(on))
            from edgead.cli import main

            code = main(list(verb.words))
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            calls = {each: int(self.shim.faults_count(each.encode())) for each in KINDS}
            failed = int(self.shim.faults_failed())
            path = os.fsdecode(self.shim.faults_path()).removeprefix(f"{work}/")
            self.shim.faults_read_only(b"")
            self.shim.faults_arm(b"", b"write", 0, 0, 0)
            (self.folder / "told.json").write_text(
                json.dumps({"calls": calls, "failed": failed, "path": path})
            )
            os._exit(code)

    def verify(self, verb: Verb, tried: Try) -> list[str]:
        """What is wrong with the bundles, by the hashes in their manifests."""
        # The tree was hashed when it was there: a bundle verifies where its files' hashes are its manifest's.
        return [fault for name in verb.bundles for fault in _bundle_faults(tried.tree, name, self.manifests)]

    @property
    def manifests(self) -> dict[str, Any]:
        """By SHA-256, each manifest that was seen."""
        return _MANIFESTS


_MANIFESTS: dict[str, Any] = {}


def _bundle_faults(files: Tree, name: str, manifests: dict[str, Any]) -> list[str]:
    if (link := files.get(name, "")).startswith(LINK):
        name = os.path.normpath(f"{name}/../{link.removeprefix(LINK)}")
    digest = files.get(f"{name}/manifest.json")
    if digest is None:
        return [f"{name} is gone"]
    try:
        listed = manifests[digest]["files"]
    except (KeyError, TypeError):
        return [f"{name} has a manifest that can't be read"]
    return [f"{name}/{file['path']} isn't as listed" for file in listed
            if files.get(f"{name}/{file['path']}") != file["sha256"]]  # fmt: skip


def tree(folder: Path) -> Tree:
    """Every file with its SHA-256 and every folder with a slash; manifests are remembered."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"{LINK}{path.readlink()}"
        elif path.is_dir():
            found[f"{name}/"] = "a folder"
        else:
            content = path.read_bytes()
            found[name] = hashlib.sha256(content).hexdigest()
            if path.name == "manifest.json":
                with contextlib.suppress(ValueError):
                    _MANIFESTS[found[name]] = json.loads(content)
            if path.suffix in (".csv", ".html", ".json"):
                _CONTENTS[found[name]] = content
    return found


_CONTENTS: dict[str, bytes] = {}


def violations(
    verb: Verb, before: Tree, good: Try, tried: Try, error: int, place: str, matrix: Matrix
) -> list[str]:
    """What is wrong with a try."""
    found = []
    reason = os.strerror(error)
    if tried.code not in DOCUMENTED:
        found.append(f"exit code {tried.code}")
    if tried.failed and tried.code not in (0, 7):
        found.append(f"exit code {tried.code} for an output that can't be written")
    if "Traceback" in tried.err or "unexpected" in tried.err:
        found.append("a traceback or 'unexpected'")
    found += matrix.verify(verb, tried)
    if verb.again and tried.again != good.out:
        found.append(f"run again, it prints something else: {tried.again[:200]!r}")
    if tried.then[0]:
        found.append(
            f"afterwards `{' '.join(verb.then)}` ends with {tried.then[0]}: {tried.then[1][-300:]!r}"
        )
    if tried.code == 0:
        wanted = {name for name in good.tree if not _in(name, verb.keeps)}
        there = {name for name in tried.tree if not _in(name, verb.keeps)}
        found += [f"{name} is missing after a success" for name in sorted(_plain(wanted) - _plain(there))]
        found += [f"{name} was left after a success" for name in sorted(_plain(there) - _plain(wanted))]
        if (
            tried.failed
            and reason not in tried.err
            and not _in(tried.path, verb.keeps)
            and not overcome(verb, tried.path)
        ):
            found.append(f"in silence: {tried.path}")
    else:
        for name in sorted({*before, *tried.tree}):
            was, now = before.get(name), tried.tree.get(name)
            if was == now or _in(name, verb.keeps):
                continue
            if _in(name, verb.grows) and (
                now == good.tree.get(name) or _is_right_so_far(now, good.tree.get(name))
            ):
                continue
            found.append(
                f"{name} {'was left' if was is None else 'is gone' if now is None else 'was changed'}"
            )
        message = tried.err.strip().rpartition("\n")[2]
        if reason not in message:
            found.append(f"the message lacks the reason: {message!r}")
        if (
            not any(part in message for part in (*verb.bundles, *verb.grows, *verb.made, "home"))
            or ".partial-" in message
        ):
            found.append(f"the message names no path of the user's: {message!r}")
    new = [name for name in tried.tree if name not in before]
    found += [f"{name} was left" for name in new if ".partial-" in name]
    may = (*verb.bundles, *verb.grows, *verb.keeps, *verb.made)
    found += [f"{name} is no output" for name in new if tried.code == 0 and not _in(name, may)]
    found += [f"{name} was left on the other disk" for name in tried.other]
    return found


def overcome(verb: Verb, path: str) -> bool:
    """Whether there's a second way, which a success has taken: then there's nothing to say.

    A bundle's exchange with the older one becomes two renames; of the folders for temporary files Python
    takes the next one where its trial file can't be written; and OpenVINO, which doesn't say why it couldn't
    write, is asked once more.
    """
    if path in verb.bundles or re.fullmatch(r"tmp/[a-z0-9_]{8}", path):
        return True
    return path.endswith(("/model.xml", "/model.bin")) and ("scratch" in path or ".partial-" in path)


def _plain(names: set[str]) -> set[str]:
    """Without what has a name of its own each time, by its hash: lessons' content and signatures."""
    own = ("/taught/", "/signatures/")
    return {name for name in names if not any(part in name for part in own) or name.endswith("/0001.json")}


def _in(name: str, places: tuple[str, ...]) -> bool:
    return any(name.rstrip("/") == place or name.startswith(f"{place}/") for place in places)


def _is_right_so_far(now: str | None, whole: str | None) -> bool:
    """Whether a file that grows holds whole rows or a whole document of what a success writes.

    A verdict's row may lack its heatmap, which couldn't be written; documents have times in them.
    """
    content, wanted = _CONTENTS.get(now or ""), _CONTENTS.get(whole or "")
    if content is None or wanted is None:
        return False
    if content.startswith(b"{"):
        return isinstance(json.loads(content), dict)
    if content.startswith(b"<"):
        return content.rstrip().endswith(b"</html>")
    rows, known = (list(csv.reader(each.decode().splitlines())) for each in (content, wanted))
    column = known[0].index("heatmap") if "heatmap" in known[0] else len(known[0])
    known = [[*row[:column], *row[column + 1 :]] for row in known]
    return content.endswith(b"\n") and all([*row[:column], *row[column + 1 :]] in known for row in rows)


def _nobody(number: int) -> Any:
    raise KeyError(f"getpwuid(): uid not found: {number}")


def _wait(child: int) -> int:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGALRM


def _import_everything() -> None:
    import edgead

    for module in pkgutil.walk_packages(edgead.__path__, "edgead."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    engines = ("openvino", "onnxruntime", "nncf", "nncf.onnx", "nncf.quantization", "jinja2", "simplejpeg")
    own = ("edgead_plugins.patchcore", "edgead_plugins.backbones", "edgead_plugins.methods")
    for name in (*engines, *own, "edgead_plugins.layouts", "edgead_exporters"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from edgead.plugins import registry

    registry()


@dataclass
class Row:
    """Counts of one verb in one place: calls of a run without faults, tries and violations."""

    verb: str
    place: str
    calls: dict[str, int]
    tries: dict[str, int]
    faults: list[str]


def rows(matrix: Matrix, verbs: list[Verb], places: list[str], every: int) -> Iterator[Row]:
    """Fail every ``every``-th call of everything, or none where it's 0; yields a row a verb and place."""
    for place in places:
        for verb in verbs:
            before = tree(matrix.template)
            good = matrix.attempt(verb, place, "write", 0, 0, False)
            row = Row(verb.name, place, good.calls, {}, [])
            problems = violations(verb, before, good, good, 0, place, matrix)
            row.faults += [
                f"{verb.name}, {place}, no fault: {problem}: {good.err[-300:]}" for problem in problems
            ]
            if good.code:
                row.faults.append(f"{verb.name}, {place}, no fault: exit code {good.code}: {good.err[-500:]}")
                yield row
                continue
            for kind, error, on in FAULTS if every else ():
                name = f"{kind} {errno.errorcode[error]}"
                n, row.tries[name] = 1, 0
                while True:
                    tried = matrix.attempt(verb, place, kind, n, error, on)
                    if not tried.failed and tried.code == 0:
                        break
                    row.tries[name] += 1
                    at = f"{verb.name}, {place}, {name} at {n}"
                    row.faults += [
                        f"{at}: {p}" for p in violations(verb, before, good, tried, error, place, matrix)
                    ]
                    n += every
            yield row


def main() -> int:
    arguments = _arguments()
    folder = tempfile.mkdtemp(prefix="edgead-faults-")  # no object whose end a forked child would see, too
    try:
        if SHIM not in os.environ:
            shim = compiled(Path(folder))
            if shim is None:
                print("no C compiler (cc), or not Linux: nothing can be failed here", file=sys.stderr)
                return 2
            words = [sys.executable, "-m", "tests.faults.matrix", *sys.argv[1:]]
            return subprocess.run(
                words, env={**os.environ, "LD_PRELOAD": str(shim), SHIM: str(shim)}
            ).returncode
        os.environ.pop("LD_PRELOAD")  # it's loaded; what a verb starts needn't be slowed down
        named = arguments.verb or [verb.name for verb in VERBS]
        verbs = [verb for verb in (*VERBS, WRONG) if verb.name in named]
        matrix = Matrix(Path(folder).resolve(), arguments.template)
        print(f"| verb | place | {' | '.join(KINDS)} | tries | violations |")
        print("|" + " --- |" * (4 + len(KINDS)), flush=True)
        found = []
        for row in rows(matrix, verbs, arguments.place or [PLACES[0]], arguments.every):
            found.append(row)
            cells = [row.verb, row.place, *(str(row.calls.get(kind, 0)) for kind in KINDS)]
            print(f"| {' | '.join(cells)} | {sum(row.tries.values())} | {len(row.faults)} |", flush=True)
            for fault in row.faults:
                print(fault, file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps([vars(row) for row in found], indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(row.faults for row in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verb", action="append", choices=[verb.name for verb in (*VERBS, WRONG)])
    parser.add_argument("--place", action="append", choices=PLACES)
    parser.add_argument("--every", type=int, default=1, help="try every K-th call alone; 0: none fails")
    parser.add_argument("--template", type=Path, help="a folder that ``fill`` made, to save the fitting")
    parser.add_argument("--json", type=Path, help="write the counts here, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
