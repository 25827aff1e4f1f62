"""Where a running line's bundles come from: folders, and folders of slots, looked at in a thread of its own.

A disk may be waited for there. What a bundle from slots has judged is counted here too, so that it's good
after as many frames as its folder says.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgead.bundle import read_bundle
from edgead.errors import EdgeadError, NoSlotError
from edgead.line.config import Line
from edgead.line.hearing import Told
from edgead.line.hold import Hold
from edgead.line.identity import identity_of
from edgead.line.swapping import Found
from edgead.names import shown
from edgead.notices import Notice
from edgead.slots import Slots
from edgead.slots.state import digest_of
from edgead.types import Verdict

EVERY = 20
"""Scores between two words to a folder of slots that frames were judged."""
LOOK = 1.0
"""Seconds between two looks at which slot is current, where a line follows that."""


class BundleSupply:
    """Looks, counts, and goes back.

    Args:
        line: what is run.
        slots: by camera, the folders of slots.
        begun: by camera, the bundle's folder that it begins with; those on trial have counted a start.
        told: takes what is to be logged; it must not wait.
        hold: where others see how the bundles are, if anywhere.
    """

    def __init__(
        self,
        line: Line,
        slots: Mapping[str, Slots],
        begun: Mapping[str, Path],
        told: Callable[[Told], None],
        hold: Hold | None = None,
    ) -> None:
        self._line, self._slots, self._told, self._hold = line, slots, told, hold
        self._started = {its: begun[name] for name, its in slots.items()}
        self._seen = dict(self._started)
        self._counts: dict[str, int] = dict.fromkeys(slots, 0)
        self._found: deque[tuple[Found, ...]] = deque()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._follows = line.table.follow_slots and bool(slots)
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="edgead-bundles", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ what the line asks; nothing waits

    def ask(self, camera: str | None) -> None:
        """Look which bundle a camera should have, or all of them."""
        names = [each.table.name for each in self._line.cameras if camera in (None, each.table.name)]
        self._jobs.put(partial(self._look_at, names))

    def take(self) -> list[tuple[Found, ...]]:
        """What was found since, for each asking."""
        found = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def flipped(self, found: Found) -> None:
        """It judges now: a slot on trial counts a start, and frames from now on."""
        if found.camera in self._slots:
            self._jobs.put(partial(self._start, found))

    def back(self, found: Found, why: str) -> None:
        """It was refused or given up: its slot is gone back from."""
        if found.camera in self._slots:
            self._jobs.put(partial(self._roll_back, found, why))

    def show(self, status: dict[str, Any]) -> None:
        """Show whoever asks."""
        if self._hold is not None:
            self._jobs.put(partial(self._hold.show, status))

    def hear(self, told: Told) -> None:
        """Count a score, where it's by the bundle whose start was counted."""
        if not isinstance(told, Verdict) or told.why != "score" or told.camera not in self._slots:
            return
        slots = self._slots[told.camera]
        if told.bundle != digest_of(self._started[slots].name):
            return
        self._counts[told.camera] += 1
        if self._counts[told.camera] % EVERY == 0:
            self._jobs.put(partial(slots.frame_judged, EVERY))

    def close(self, seconds: float = 5.0) -> None:
        """Do what is still to be done, as far as that goes in so many seconds."""
        self._jobs.put(None)
        self._thread.join(seconds)

    # ------------------------------------------------------------ in the thread

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=LOOK if self._follows else None)
            except queue.Empty:
                job = self._follow
            if job is None:
                return
            try:
                job()
            except (EdgeadError, OSError) as error:
                self._told(Notice("line-slots-trouble", {"why": str(error)}))
            if self._follows and time.monotonic() - self._looked >= LOOK:
                self._jobs.put(self._follow)
                self._looked = time.monotonic()

    def _follow(self) -> None:
        """Look whether another slot is current than the last time."""
        self._looked = time.monotonic()
        for slots in dict.fromkeys(self._slots.values()):
            now = slots.current()
            if now is not None and now.path != self._seen[slots]:
                self._look_at([name for name, its in self._slots.items() if its is slots])

    def _look_at(self, names: list[str]) -> None:
        self._found.append(tuple(map(self._find, names)))

    def _find(self, camera: str) -> Found:
        (table,) = [each.table for each in self._line.cameras if each.table.name == camera]
        path = self._line.path(table.bundle)
        try:
            if (slots := self._slots.get(camera)) is not None:
                if (slot := slots.current()) is None:
                    raise NoSlotError(
                        f"{shown(slots.folder)}: nothing is installed here any more; install it"
                    )
                path = self._seen[slots] = slot.path
            return Found(camera, path, identity_of(read_bundle(path, verify=False)))
        except (EdgeadError, OSError) as error:
            return Found(camera, path, trouble=str(error))

    def _start(self, found: Found) -> None:
        slots = self._slots[found.camera]
        if self._started[slots] == found.path:
            return
        slot = slots.start()
        self._started[slots] = self._seen[slots] = slot.path
        if slot.path != found.path:  # it went back by itself, or yet another was installed
            self._look_at([name for name, its in self._slots.items() if its is slots])

    def _roll_back(self, found: Found, why: str) -> None:
        slots = self._slots[found.camera]
        now = slots.current()
        if now is None or now.path != found.path:
            return
        slot = slots.rollback(why[:500])
        self._started[slots] = self._seen[slots] = slot.path
        self._look_at([name for name, its in self._slots.items() if its is slots])


__all__ = ["EVERY", "BundleSupply"]
