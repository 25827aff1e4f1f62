"""Run by test_teach.py: teach the same lesson again and again, killed (-9) a step later each time.

A step is a line of the writing modules or a call into the system that Python audits. After each kill the
bundle must be readable, with the lesson or without. Prints one JSON object.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

from edgead import files
from edgead.bundle import read_bundle
from edgead.bundle import taught as writing
from edgead.errors import BundleError
from tests.core.killing import die_at

WATCHED = {writing.__file__, files.__file__}


def teach(bundle: Path) -> None:
    lessons = read_bundle(bundle, verify=False).lessons
    array = writing.write_content(bundle, b"\0" * 8, ".f32")
    picture = writing.write_content(bundle, b"picture", ".png")
    lesson = lessons.next(kind="false-alarm", time="", rows=1, dim=2, array=array, picture=picture)
    assert writing.write_lesson(bundle, lesson)


def teach_and_die(bundle: Path, step: int) -> None:
    die_at(step, WATCHED, ("os.", "shutil."))
    teach(bundle)
    os._exit(0)


def main(source: Path, folder: Path) -> None:
    faults, with_lesson, without, kills = [], 0, 0, 0
    for step in itertools.count():
        bundle = folder / "b.edgead"
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(source, bundle)
        child = os.fork()
        if child == 0:
            teach_and_die(bundle, step)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status)
        kills += died
        try:
            count = len(read_bundle(bundle).lessons.all)
            with_lesson, without = with_lesson + (count == 2), without + (count == 1)
            if died:
                teach(bundle)  # the next teacher isn't in the way of what was left
                assert len(read_bundle(bundle).lessons.all) == count + 1
        except (BundleError, AssertionError) as error:
            faults.append(f"step {step}: {error}")
        if not died:
            break
    print(json.dumps({"kills": kills, "with": with_lesson, "without": without, "faults": faults}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
