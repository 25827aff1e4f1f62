"""Install, go back and mark good again and again, killed (-9) at one step each time; run by test_slots.py.

A step is a line of the modules that write, or a call into the system that Python audits. After each kill
``current`` must lead to a bundle that verifies, with its signature and serial number, and that judges; after
the next whole command nothing is left over. A longer run: ``python -m tests.core.kill_installer FOLDER KILLS
[SEED]``. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import edgead  # isort: skip  (it turns engines' telemetry off before one is imported)
import numpy as np
import onnxruntime  # noqa: F401  (once, before any fork; no session is opened in this process)

from edgead import Slots, Trust, files, slots, undoing
from edgead.bundle import read_bundle
from edgead.bundle.signing import Claim, sign_bundle
from edgead.errors import EdgeadError, NoSlotError
from edgead.trust import floors
from edgead.trust.keys import make_keys
from tests.core.killing import die_at

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
MODULES = (files, undoing, floors, *map(import_module, sorted(
    f"edgead.slots.{each.name}" for each in iter_modules(slots.__path__))))  # fmt: skip
WATCHED = {module.__file__ for module in MODULES}
FRAME = np.zeros((24, 32, 3), np.uint8)
FIXED = {".lock", "slots.json", "serials.json", "current", "previous"}


class Device:
    """A folder of slots, and signed bundles to install."""

    def __init__(self, root: Path, bundles: int) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        make_keys(root / "qa.key", root / "qa.pub")
        self.bundles = []
        for serial in range(1, bundles + 1):
            path = Path(shutil.copytree(GOLDEN, root / f"{serial}.edgead"))
            sign_bundle(path, root / "qa.key", Claim(serial, "L1"))
            self.bundles.append(path)
        self.folder = root / "slots"
        self.key = root / "qa.pub"

    @property
    def slots(self) -> Slots:
        return Slots(self.folder, trust=self.key)

    def check(self) -> None:
        """What current leads to verifies and judges, in a process of its own."""
        trust = Trust(self.key, line="L1", state=self.folder / "serials.json")
        if (found := in_child(lambda: edgead.load(self.folder / "current", trust=trust)(FRAME))) != 0:
            raise AssertionError(f"current doesn't judge ({found}): {sorted(self.names())}")

    def litter(self) -> set[str]:
        """What is neither a fixed name nor a slot that is in use."""
        used = {slot.name for slot in (self.slots.current(), self.slots.previous()) if slot is not None}
        return self.names() - FIXED - used

    def names(self) -> set[str]:
        """What is in the folder."""
        return {path.name for path in self.folder.iterdir()}


def in_child(work: Callable[[], object]) -> int:
    """Run it in a child; its exit code, or minus the signal that ended it. An error of edgead's is 3."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            work()
            code = 0
        except EdgeadError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            code = 3
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying(work: Callable[[], object], step: int) -> Callable[[], None]:
    """The same, killed at the given step, if there are that many."""

    def run() -> None:
        die_at(step, WATCHED, ("os.", "fcntl.", "ctypes.", "shutil."))
        work()
        sys.settrace(None)

    return run


def steps_of(work: Callable[[], object]) -> int:
    """How many steps it takes, found by halving: a child with fewer is killed."""
    low, high = 0, 1 << 15
    while low < high:
        middle = (low + high) // 2
        if in_child(dying(work, middle)) == -signal.SIGKILL:
            low = middle + 1
        else:
            high = middle
    return low


def main(root: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill so many commands at random steps, and count what became of them."""
    chance, seen = random.Random(seed), Counter[str]()
    device = Device(root, 6)
    device.slots.folder.mkdir(parents=True)
    installed = 0
    assert in_child(lambda: device.slots.install(device.bundles[0], good_after=0)) == 0
    longest: dict[str, int] = {}
    while seen["kills"] < kills:
        bundle, good_after = chance.choice(device.bundles[installed:]), chance.choice((0, 1))
        works: dict[str, Callable[[], object]] = {
            "install": lambda: device.slots.install(bundle, good_after=good_after, most_starts=0),  # noqa: B023
            "rollback": lambda: device.slots.rollback("a test"),
            "start": lambda: device.slots.start(),
            "good": lambda: device.slots.good(),
        }
        name = chance.choices(list(works), (6, 3, 2, 1))[0]
        limit = longest.setdefault(name, 4000 if name == "install" else 1500)
        before = device.slots.current()
        late = chance.random() < 0.5  # what changes the folder comes at the end
        step = chance.randrange(limit - limit // 4 if late else 0, limit)
        code = in_child(dying(works[name], step))
        seen[f"{name} {'killed' if code == -signal.SIGKILL else 'done' if code == 0 else 'refused'}"] += 1
        if code == -signal.SIGKILL:
            seen["kills"] += 1
        else:
            longest[name] = max(50, min(limit, step + 1))
        device.check()
        now = device.slots.current()
        assert before is not None and now is not None
        seen["moved"] += before.name != now.name
        if chance.random() < 0.3:  # a whole command leaves nothing behind
            again = in_child(lambda: device.slots.install(chance.choice(device.bundles), good_after=0))
            assert again in (0, 3), again
            if again == 3:  # a replay, refused: the folder is in order all the same
                try:
                    device.slots.good()
                except NoSlotError:
                    raise AssertionError("nothing is installed any more") from None
            assert not device.litter(), device.litter()
            device.check()
            seen["litter checks"] += 1
        serial = now.serial or 1
        installed = min(serial - 1, len(device.bundles) - 1)
        if chance.random() < 0.05:  # begin anew with low numbers
            shutil.rmtree(device.folder)
            assert in_child(lambda: device.slots.install(device.bundles[0], good_after=0)) == 0
            installed = 0
    return dict(sorted(seen.items()))


def every(root: Path, stride: int) -> dict[str, int]:
    """Kill an install over an older bundle, and going back from it, at every ``stride``-th step."""
    device, seen = Device(root, 2), Counter[str]()
    assert in_child(lambda: device.slots.install(device.bundles[0], good_after=0)) == 0
    kept = root / "kept"
    works: list[tuple[str, Callable[[], object]]] = [
        ("install", lambda: device.slots.install(device.bundles[1], good_after=1, most_starts=0)),
        ("goback", lambda: device.slots.start()),
    ]
    for name, work in works:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(device.folder, kept, symlinks=True)
        total = steps_of(lambda: _afresh(device, kept, work))  # noqa: B023
        for step in range(0, total, max(1, total // stride)):
            shutil.rmtree(device.folder)
            shutil.copytree(kept, device.folder, symlinks=True)
            code = in_child(dying(work, step))
            assert code in (0, -signal.SIGKILL), code
            device.check()
            serial = (device.slots.current() or sys).serial  # type: ignore[union-attr]
            assert serial in (1, 2), serial
            seen[f"{name} {'old' if serial == (1 if name == 'install' else 2) else 'new'}"] += 1
            assert in_child(lambda: device.slots.install(device.bundles[1], good_after=0)) == 0
            assert not device.litter(), device.litter()
            read_bundle(device.folder / "current")
        shutil.rmtree(device.folder)
        shutil.copytree(kept, device.folder, symlinks=True)
        assert in_child(work) == 0
    return dict(seen)


def _afresh(device: Device, kept: Path, work: Callable[[], object]) -> None:
    tracing, _ = sys.gettrace(), sys.settrace(None)
    shutil.rmtree(device.folder)
    shutil.copytree(kept, device.folder, symlinks=True)
    sys.settrace(tracing)
    work()


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if sys.argv[2] == "every":
        print(json.dumps(every(where, int(sys.argv[3]))))
    else:
        print(json.dumps(main(where, int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)))
