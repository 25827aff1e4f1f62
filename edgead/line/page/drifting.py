"""Whether each camera's scores are as they were: what ``edgead.Drift`` says of them. It only advises."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.device.drift import Drift
from edgead.errors import DriftStateError, EdgeadError, one_line
from edgead.line.page.news import Record
from edgead.line.page.setup import CameraSetup
from edgead.private import make_private


@dataclass
class _Watched:
    bundle: str | None = None
    drift: Drift | None = None
    problem: str = ""


class Drifting:
    """Watches the scores of each camera; a bundle of another manifest is watched anew.

    Args:
        cameras: whose.
        folder: where what is learned is kept over a restart, or None to keep nothing.
    """

    def __init__(self, cameras: Iterable[CameraSetup], folder: Path | None) -> None:
        self._cameras = {camera.name: camera for camera in cameras}
        self._watched = {name: _Watched() for name in self._cameras}
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, verdict: Record) -> None:
        """A verdict, in the line's order."""
        watched = self._watched.get(verdict["camera"])
        if watched is None or verdict["bundle"] is None:
            return
        if verdict["bundle"] != watched.bundle:
            watched.bundle, watched.drift, watched.problem = verdict["bundle"], None, ""
            task = asyncio.ensure_future(self._begin(verdict["camera"], verdict["bundle"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif watched.drift is not None:
            judged, grabbed = verdict["times"].get("judged"), verdict["times"].get("grab")
            known = judged is not None and grabbed is not None and judged >= grabbed
            seconds = (judged - grabbed) / 1e9 if known else None
            try:
                watched.drift.update(verdict["score"], None, seconds)
            except EdgeadError as error:
                watched.drift, watched.problem = None, one_line(error, "message", 300)

    def record(self, camera: str) -> dict[str, Any]:
        """What is so of a camera, as JSON values: whether something has changed, and sentences."""
        watched = self._watched[camera]
        if watched.drift is None:
            return {
                "known": False,
                "changed": False,
                "learning": True,
                "texts": [watched.problem][: bool(watched.problem)],
            }
        texts = [str(notice) for notice in watched.drift.notices[:6]]
        changed, learning = watched.drift.detected, watched.drift.learning
        return {"known": True, "changed": changed, "learning": learning, "texts": texts}

    async def _begin(self, camera: str, bundle: str) -> None:
        watched = self._watched[camera]
        try:
            drift = await asyncio.to_thread(self._made, camera, bundle)
        except EdgeadError as error:
            if watched.bundle == bundle:
                watched.problem = f"drift isn't watched: {one_line(error, 'message', 300)}"
            return
        if watched.bundle == bundle:
            watched.drift = drift

    def _made(self, camera: str, bundle: str) -> Drift:
        read = self._cameras[camera].read()
        if self._folder is None:
            return Drift(read)
        file = self._folder / f"{camera}-{bundle[:16]}.json"
        try:
            make_private(self._folder)
            return Drift(read, file)
        except OSError:
            return Drift(read)
        except DriftStateError:  # another version's, or damaged: it learns anew
            file.unlink(missing_ok=True)
            return Drift(read, file)


__all__ = ["Drifting"]
