"""A bundle's model, opened and run once in a process of its own, with limits.

A model is a program: it may loop for ever, ask for all of the memory, or meet a fault of the engine's. None
of that can be seen without running it, nor stopped in the process that runs it, so this is where a stranger's
bundle is looked at first. Linux holds the child to its memory, and ends all that came of it; elsewhere time
alone is limited.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead import errors
from edgead.bundle import Bundle
from edgead.bundle.reading import subject_of
from edgead.errors import BundleError, EngineError, TrialError, one_line
from edgead.trust.demand import KEYS, LINE, STATE

SECONDS = 120.0
"""How long opening and running may take, and as much of one processor's time; TensorRT builds for minutes."""
MEMORY = 4 << 30
"""Bytes of address space that the child may have besides Python's own: an engine takes a GiB of it."""
MEMORY_PER_BYTE = 8
"""What is added for each byte of the bundle's files: an engine packs weights while it still has the old."""
WRITTEN = 1 << 30
"""Bytes that the child may write into a file; a cache's entry is one."""

_START = "import sys; sys.path[:] = sys.argv[2:]; from edgead.device import trial; trial.child(sys.argv[1])"
_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Each thread that's never used takes of the address space too, and a server has many."""
_LONGEST_ANSWER = 4000  # characters: less than a pipe holds, so that nobody waits for it to be read
_AS_THEY_ARE = (BundleError, errors.ParityError, errors.MissingDependencyError, errors.DeviceError,
                errors.PluginError, errors.InputError)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """How a trial went.

    Attributes:
        runs_on: engine and device.
        seconds: from the child's start to its end.
    """

    runs_on: str
    seconds: float

    def __str__(self) -> str:
        return f"opened and ran in a process of its own: {self.runs_on}, {self.seconds:.1f} s"


def try_bundle(
    bundle: Bundle, engine: str | None = None, seconds: float = SECONDS, memory: int = MEMORY
) -> Trial:
    """Load a bundle in a child process and judge a black frame; this returns, or raises, whatever it does.

    Args:
        engine: another engine than the bundle's own, or None.
        seconds: limit on the time, and on one processor's time.
        memory: limit on the child's address space in bytes, besides Python's own and what the bundle's size
            allows it.

    Raises:
        TrialError: the model doesn't open, doesn't run, takes too long or too much, or breaks the child.
        EdgeadError: what ``edgead.load`` raises of a bundle, engine or device that isn't the model's fault.
    """
    room = memory + MEMORY_PER_BYTE * sum(file.bytes for file in bundle.manifest.files)
    asked = {"bundle": str(bundle.path.absolute()), "engine": engine, "seconds": seconds, "memory": room}
    began = time.monotonic()
    command = [sys.executable, "-c", _START, json.dumps(asked), *sys.path]
    # Its signature was looked at where it was read; the child is told nothing of it, so as to keep no number.
    variables = {name: value for name, value in os.environ.items() if name not in (KEYS, LINE, STATE)}
    code, answer, gone = _run(command, {**variables, **_FEW_THREADS}, seconds)
    if not gone:
        raise _failed(bundle, "processes that came of it can't be ended")
    if code is None or code in (-getattr(signal, "SIGALRM", 0), -getattr(signal, "SIGXCPU", 0)):
        raise _failed(bundle, f"it wasn't done after {seconds:g} s")
    told = _read(answer)
    if told is None:
        raise _failed(bundle, f"its process {_ended(code)}")
    if "error" in told:
        raise _as_told(bundle, told)
    if told.get("what") != _what(bundle):
        raise _failed(bundle, "another bundle lay there than was checked before")
    return Trial(str(told["runs_on"]), time.monotonic() - began)


def _run(command: list[str], environment: dict[str, str], seconds: float) -> tuple[int | None, bytes, bool]:
    """How a command ended, None where it didn't in time; what it printed; and whether all of it is gone."""
    if sys.platform == "win32":
        return _run_alone(command, environment, seconds)
    from edgead.device import guard

    ours, theirs = os.pipe()  # the guard reads one end, and is told by the other's closing that we are gone
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(seconds), *command],
            stdin=ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    except BaseException:
        os.close(theirs)
        raise
    finally:
        os.close(ours)
    out = b""
    try:
        with suppress(subprocess.TimeoutExpired):  # where the guard itself was stopped
            out, _ = process.communicate(timeout=seconds + 2 * guard.ENDING)
    finally:
        os.close(theirs)
        with suppress(subprocess.TimeoutExpired):
            process.wait(guard.ENDING + 1)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    try:
        told = json.loads(out)
        return told["code"], told["answer"].encode(), told["gone"]
    except (ValueError, KeyError, TypeError, AttributeError):  # it was killed, or another answered
        return process.returncode, b"", True


def _run_alone(
    command: list[str], environment: dict[str, str], seconds: float
) -> tuple[int | None, bytes, bool]:
    """As ``_run``, of the one process."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    code: int | None = None
    answer = b""
    try:
        answer, _ = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
    return code, answer[: 4 * _LONGEST_ANSWER], True


def _what(bundle: Bundle) -> list[str]:
    """Which bundle it is, with its thresholds and lessons."""
    subject = subject_of(bundle)
    return [subject.bundle, subject.revision, subject.lessons]


def _failed(bundle: Bundle, why: str) -> TrialError:
    return TrialError(
        f"{bundle.path}: tried in a process of its own, and {why}; don't load it, and ask whoever made it"
    )


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code} and no answer"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"broke down ({name}{', perhaps for want of memory' if name == 'SIGKILL' else ''})"


def _read(answer: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(answer)
    except ValueError:
        return None
    return told if isinstance(told, dict) and ("runs_on" in told or "error" in told) else None


def _as_told(bundle: Bundle, told: dict[str, Any]) -> Exception:
    """The child's error; what an engine made of the model is the bundle's fault."""
    kind, text = getattr(errors, str(told.get("kind")), None), str(told["error"])
    if isinstance(kind, type) and issubclass(kind, _AS_THEY_ARE):
        if kind is errors.UnknownNameError:  # which makes its message by itself
            kind = errors.InputError
        return kind(text)
    text = text.removeprefix(f"{bundle.path}: ").rstrip(".")
    return _failed(bundle, f"it can't be opened and run ({text})")


# ---------------------------------------------------------------- the child


def child(request: str) -> None:
    """Do what ``try_bundle`` asks for, answer on stdout, and end the process."""
    asked = json.loads(request)
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):  # whatever an engine prints, the answer stays one line
        os.dup2(nothing, each)
    _limit(asked["seconds"], asked["memory"])
    told = _tried(asked["bundle"], asked["engine"])
    os.write(answer, json.dumps(told).encode())
    os._exit(0)  # an engine that is broken may hang where it's taken down


def _limit(seconds: float, memory: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # where the parent is killed before it
    whole = max(1, int(seconds + 1))
    limits = [
        (resource.RLIMIT_CPU, whole),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, WRITTEN),
        (resource.RLIMIT_AS, _address_space() + memory),
    ]
    for which, most in limits:
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):  # macOS refuses some
            resource.setrlimit(which, (most, most))


def _address_space() -> int:
    """Bytes that this process has reserved by now; 0 where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _tried(path: str, engine: str | None) -> dict[str, Any]:
    import numpy as np

    from edgead.runtime.detector import load

    try:
        detector = load(Path(path), engine=engine, threads=1)
        detector(np.zeros((*detector.bundle.manifest.input.size, 3), np.uint8))
    except EngineError as error:
        return {"kind": type(error).__name__, "error": one_line(error, "message", _LONGEST_ANSWER // 2)}
    except MemoryError:
        return {"kind": "MemoryError", "error": "it needs more memory than it may have"}
    except Exception as error:
        known = isinstance(error, errors.EdgeadError)
        text = one_line(error, "message" if known else "named", _LONGEST_ANSWER // 2)
        return {"kind": type(error).__name__, "error": text}
    return {"runs_on": detector.runs_on, "what": _what(detector.bundle)}


__all__ = ["MEMORY", "SECONDS", "Trial", "child", "try_bundle"]
