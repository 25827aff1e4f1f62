"""Run by test_bundle_write.py: write a bundle again and again, killed (-9) a step later each time.

A step is a line of the writing modules or a call into the system that Python audits: open, mkdir, rename ...
After each kill the bundle must be whole, old or new. Prints one JSON object.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

from edgead import bundle, files
from edgead.bundle import listing, reading, writing
from edgead.errors import BundleNotFoundError
from tests.core.killing import die_at

MANIFEST = bundle.read_bundle(Path(__file__).parents[1] / "golden" / "v1.edgead").manifest
WATCHED = {module.__file__ for module in (listing, reading, writing, files)}


def write(path: Path, model: bytes) -> None:
    with bundle.write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(model)
        (staging.folder / "probes").mkdir()
        (staging.folder / "probes" / "0.png").write_bytes(b"probe")
        staging.finish(MANIFEST)


def write_and_die(path: Path, model: bytes, step: int) -> None:
    """Write in this process and kill it at the given step, if there are that many."""
    die_at(step, WATCHED, ("os.", "shutil.", "fcntl.", "ctypes."))
    write(path, model)
    os._exit(0)


def main(path: Path, stride: int, exchange: bool) -> None:
    """Kill at every ``stride``-th step until a writer gets through, and count what was found afterwards.

    Without ``exchange`` the system is taken for one that can't exchange two names: then the old bundle may be
    gone, never half of anything there.
    """
    if not exchange:
        files._exchange = lambda *_: False
    seen = {"none": 0, "old": 0, "new": 0, "leftovers": 0}
    for step in itertools.count(0, stride):
        old, new = f"model {step}".encode(), f"model {step} new".encode()
        if step % 2:  # every other time there is an older bundle
            write(path, old)
        elif path.exists():
            shutil.rmtree(path)
        child = os.fork()
        if child == 0:
            write_and_die(path, new, step)
        _, status = os.waitpid(child, 0)
        try:
            found = (
                bundle.read_bundle(path).file("model.onnx").read_bytes()
            )  # raises for anything half-written
        except BundleNotFoundError:
            assert not path.exists(), "a folder without a manifest"
            assert step % 2 == 0 or not exchange, "the old bundle is gone"
            seen["none"] += 1
        else:
            assert found in ((old, new) if step % 2 else (new,)), found
            seen["old" if found == old else "new"] += 1
        leftovers = [other.name for other in path.parent.iterdir() if other != path]
        assert all(name.startswith(f".{path.name}.partial-") for name in leftovers), leftovers
        seen["leftovers"] += len(leftovers)
        write(path, old)
        assert list(path.parent.iterdir()) == [path], "the next writer left something behind"
        if os.waitstatus_to_exitcode(status) == 0:
            print(json.dumps({"steps": step, **seen}))
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange")
