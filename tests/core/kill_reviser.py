"""Run by test_revisions.py: revise a bundle again and again, killed (-9) a step later each time.

A step is a line of the modules that write, or a call into the system that Python audits. After each kill the
bundle must be whole, with the old thresholds or the new ones. Prints one JSON object.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from edgead import adding, files
from edgead.bundle import Note, add_revision, read_bundle, reading, revising, revisions
from tests.core.killing import die_at

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
WATCHED = {module.__file__ for module in (adding, files, reading, revising, revisions)}


def revise(path: Path, score: float) -> None:
    bundle = read_bundle(path)
    changed = replace(bundle.manifest.threshold, score=score, rule="given")
    add_revision(bundle, {"default": changed}, Note("someone", "because"))


def revise_and_die(path: Path, score: float, step: int) -> None:
    """Revise in this process and kill it at the given step, if there are that many."""
    die_at(step, WATCHED, ("os.", "fcntl.", "ctypes."))
    revise(path, score)
    os._exit(0)


def main(path: Path, stride: int, links: bool) -> None:
    """Kill at every ``stride``-th step until a writer gets through, and count what was found afterwards.

    Without ``links`` the system is taken for one whose disks have none.
    """
    if not links:

        def none(*_: object) -> None:
            raise OSError(1, "no links here")

        adding.os.link = none  # type: ignore[assignment]
    seen = {"old": 0, "new": 0, "leftovers": 0}
    for step in itertools.count(0, stride):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(GOLDEN, path)
        if step % 2:  # every other time there is an older revision
            revise(path, 7.0)
        before = read_bundle(path)
        child = os.fork()
        if child == 0:
            revise_and_die(path, 9.0, step)
        _, status = os.waitpid(child, 0)
        after = read_bundle(path)  # raises for anything half-written
        found = after.manifest.threshold.score
        assert found in (before.manifest.threshold.score, 9.0), found
        assert len(after.revisions) - len(before.revisions) == (found == 9.0)
        seen["new" if found == 9.0 else "old"] += 1
        folder = path / "revisions"
        seen["leftovers"] += (
            any(each.name.startswith(".") for each in folder.iterdir()) if folder.is_dir() else 0
        )
        revise(path, 11.0)  # the next one isn't hindered
        assert read_bundle(path).manifest.threshold.score == 11.0
        if os.waitstatus_to_exitcode(status) == 0:
            print(json.dumps({"steps": step, **seen}))
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "links")
