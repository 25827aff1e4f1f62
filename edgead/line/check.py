"""Whether a line could start: each source, sink and bundle is tried, and what isn't ready is said with why.

Nothing is sent to a sink but that the line isn't ready.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgead.errors import (
    DeviceError,
    EdgeadError,
    InferenceError,
    OptionError,
    OutputError,
    PluginError,
    TimedOutError,
)
from edgead.files import exists
from edgead.line.channel import Message
from edgead.line.config import Line
from edgead.line.crew import Crew, Plan
from edgead.line.events import Shot
from edgead.line.judge_process import of_another_depth
from edgead.line.lens import Misunderstood
from edgead.line.page_table import PageTable
from edgead.line.processes import Child
from edgead.line.starts import refusal
from edgead.notices import Notice

IMAGE_SECONDS = 3.0
"""How long an image is waited for: a camera that nothing triggers gives none."""


@dataclass(frozen=True)
class Finding:
    """What became of one thing that a line needs.

    Attributes:
        kind: camera, bundle, sink, recorder, page or line.
        name: which.
        notices: what was found, a notice each.
        error: why it isn't ready, or None.
    """

    kind: str
    name: str
    notices: tuple[Notice, ...] = ()
    error: EdgeadError | None = None

    @property
    def ready(self) -> bool:
        """Whether the line can start with it."""
        return self.error is None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        why = None if self.error is None else str(self.error)
        told = [notice.record() for notice in self.notices]
        return {"kind": self.kind, "name": self.name, "ready": self.ready, "notices": told, "error": why}


def check_line(
    line: Line, bundles: Mapping[str, Path], image_seconds: float = IMAGE_SECONDS
) -> list[Finding]:
    """Try all that a line needs; a finding for each camera, each camera's bundle, each sink, the recorder
    and the whole.

    Args:
        bundles: by camera.
        image_seconds: how long to wait for an image of each camera.
    """
    no_users = [] if line.page is None or exists(line.path(line.page.users)) else [line.page.users]
    own = line.page or PageTable()
    if no_users:  # the file is made when the line runs first: the page itself can't be tried yet
        line = replace(line, page=None)
    crew = Crew(Plan(line, bundles))
    for name, judge in list(crew.judges.items()):
        if not name.endswith("/0"):  # the standby would be the same again
            crew.children.all.remove(judge)
            del crew.judges[name]
    checking = _Checking(line, crew, image_seconds)
    page = [_unused(own, file) for file in no_users]
    return [*checking.run(), *page, *checking.whole()]


def _unused(page: PageTable, users: str) -> Finding:
    """Of a page without users yet: whether it could listen where it's to."""
    host, port = page.address
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        why = (
            f"the page can't listen on {host}:{port} ({error.strerror or error}): give another listen in the "
            "line's [page]"
        )
        return Finding("page", "page", error=OutputError(why))
    return Finding("page", "page", (Notice("line-check-no-users", {"file": users}),))


class _Checking:
    """What is known so far; a camera's image goes on to its judge."""

    def __init__(self, line: Line, crew: Crew, image_seconds: float) -> None:
        self._line, self._crew, self._image_seconds = line, crew, image_seconds
        self._findings: dict[tuple[str, str], Finding] = {}
        self._opened: dict[str, float] = {}
        self._shots: dict[str, Shot] = {}
        self._warm: dict[str, Notice] = {}
        self._learned: dict[str, int | None] = {}  # significant bits of 16-bit images, by camera
        self._asked: dict[str, float] = {}
        self._roles: dict[str, str] = {}
        self._tells: set[str] = set()
        self._said: list[Notice] = []  # by the recorder

    def run(self) -> list[Finding]:
        cameras, sinks = list(self._crew.cameras), list(self._crew.sinks)
        wanted = [("camera", name) for name in cameras] + [("bundle", name) for name in cameras]
        wanted += [("sink", name) for name in sinks]
        wanted += [("recorder", "recorder")] if self._crew.recording is not None else []
        wanted += [("page", "page")] if self._crew.page is not None else []
        children, seconds = self._crew.children, self._line.table.start_seconds
        until = time.monotonic() + seconds
        try:
            children.start_due(time.monotonic())
            while any(key not in self._findings for key in wanted) and time.monotonic() < until:
                for child, message in children.messages(0.05):
                    self._hear(child, message)
                for child, why in children.ended(time.monotonic()):
                    child.again = None
                    self._found(child, error=DeviceError(f"{child.label}: {why}; look into it"))
                self._look(time.monotonic())
        finally:
            children.end_all(1.0)
            self._crew.close()
        for kind, name in wanted:
            if (kind, name) not in self._findings:
                error = TimedOutError(f"{kind} of {name}: no answer in {seconds:g} s; raise start_seconds")
                self._findings[kind, name] = Finding(kind, name, (), error)
        return [self._findings[key] for key in wanted]

    def whole(self) -> list[Finding]:
        """What all of it together lacks."""
        found = []
        sinks = [finding for finding in self._findings.values() if finding.kind == "sink"]
        known = all(finding.name in self._roles for finding in sinks)
        if known and "verdict" not in self._roles.values():
            error = OptionError('no sink has the role verdict: give one of them role = "verdict"')
            found.append(Finding("line", self._line.table.name, (), error))
        plc = any(camera.table.trigger == "plc" for camera in self._line.cameras)
        if known and plc and not self._tells:
            error = OptionError(
                'a camera has trigger = "plc", and no sink tells of triggers: give one that does'
            )
            found.append(Finding("line", self._line.table.name, (), error))
        return found

    # ------------------------------------------------------------ how

    def _found(self, child: Child, *notices: Notice, error: EdgeadError | None = None) -> None:
        kind, name = (
            ("bundle", child.name.rpartition("/")[0]) if child.kind == "judge" else (child.kind, child.name)
        )
        self._findings.setdefault((kind, name), Finding(kind, name, notices, error))

    def _hear(self, child: Child, message: Message) -> None:
        if message["is"] == "refused":
            self._found(child, error=refusal(child.label, message))
            return
        try:
            hearing = {"camera": self._camera, "judge": self._judge, "sink": self._sink}
            hearing |= {"recorder": self._recorder, "page": self._page}
            hearing[child.kind](child, message)
        except (Misunderstood, KeyError, TypeError, ValueError) as error:
            why = f"{child.label}: it said what can't be understood ({error}); tell its author"
            self._found(child, error=PluginError(why))

    def _camera(self, child: Child, message: Message) -> None:
        what = message["is"]
        if what == "made":
            child.send(self._crew.lenses[child.name].opening())
        elif what == "open":
            self._opened.setdefault(child.name, time.monotonic())
        elif what == "lost":
            self._found(child, error=DeviceError(f"{child.label}: {message['why']}"))
        elif what == "shot" and child.name not in self._shots:
            shot = self._crew.lenses[child.name].shot(message)
            if shot.slot is None:
                values = {"why": str(shot.problem)}
                self._found(child, error=DeviceError(f"{child.label}: no image: {values['why']}; check it"))
                return
            self._shots[child.name] = shot
            values = {"size": "x".join(map(str, shot.shape)), "type": shot.dtype}
            uncounted = [Notice("line-check-uncounted")] if shot.frame_id is None else []
            bits = [Notice("line-check-depth", {"bits": shot.depth})] if shot.depth is not None else []
            self._found(child, Notice("line-check-image", values), *bits, *uncounted)

    def _judge(self, child: Child, message: Message) -> None:
        what, now = message["is"], time.monotonic()
        if what == "ready":
            values = {"runs_on": str(message["runs_on"]), "seconds": float(message["seconds"])}
            camera = child.name.rpartition("/")[0]
            self._warm[camera] = Notice("line-check-warm", values)
            self._learned[camera] = message.get("depth")
        elif what == "scored":
            name = child.name.rpartition("/")[0]
            ms, deadline = 1e3 * (now - self._asked[name]), self._line.table.deadline_ms
            late = [Notice("line-check-slow", {"ms": ms, "deadline_ms": deadline})] if ms > deadline else []
            judged = Notice("line-check-judged", {"ms": ms})
            self._found(child, self._warm[name], judged, *late, *self._doubt_of_depth(name))
        elif what == "failed":
            self._found(child, error=InferenceError(f"{child.label}: {message['why']}"))

    def _sink(self, child: Child, message: Message) -> None:
        what = message["is"]
        if what == "made":
            self._roles[child.name] = str(message["role"])
            if message["tells"]:
                self._tells.add(child.name)
        elif what == "up":
            more = [Notice("line-check-tells")] if child.name in self._tells else []
            if detail := str(message["detail"]):
                more.append(Notice("line-check-where", {"detail": detail}))
            child.send({"is": "beat", "ready": False})
            self._found(child, Notice("line-check-role", {"role": self._roles[child.name]}), *more)
        elif what == "down":
            self._found(child, error=OutputError(f"{child.label}: {message['why']}"))

    def _page(self, child: Child, message: Message) -> None:
        if message["is"] == "up":
            self._found(child, Notice("line-page-up", {"address": str(message["address"])}))

    def _recorder(self, child: Child, message: Message) -> None:
        if message["is"] != "said":
            return
        notice = Notice(str(message["code"]), dict(message["values"]))
        if notice.code == "line-record-down":
            self._found(child, error=OutputError(f"{child.label}: {notice.values['why']}"))
        elif notice.code == "line-record-up":
            self._found(child, *self._said, notice)
        else:
            self._said.append(notice)

    def _look(self, now: float) -> None:
        """Hand images on to judges, and wait no longer for images that don't come."""
        for name, child in self._crew.cameras.items():
            waited = name in self._opened and now - self._opened[name] > self._image_seconds
            if waited and name not in self._shots:
                self._found(child, Notice("line-check-no-image", {"seconds": self._image_seconds}))
            judge = self._crew.judges[f"{name}/0"]
            if name not in self._warm or name in self._asked:
                continue
            if (shot := self._shots.get(name)) is not None:
                if why := of_another_depth(shot.depth, self._learned[name]):
                    self._found(judge, error=OptionError(f"{judge.label}: {why}"))
                    continue
                self._asked[name] = now
                judge.send({"is": "judge", "trigger": 1, "slot": shot.slot, "shape": shot.shape,
                            "dtype": shot.dtype, "number": None, "depth": shot.depth})  # fmt: skip
            elif ("camera", name) in self._findings:
                self._found(judge, self._warm[name])

    def _doubt_of_depth(self, camera: str) -> list[Notice]:
        """Of 16-bit images of which neither camera nor bundle nor file says how many bits are used."""
        shot = self._shots[camera]
        told = shot.depth is not None or self._learned[camera] is not None
        return [] if told or shot.dtype != "uint16" else [Notice("line-check-depth-untold")]


__all__ = ["IMAGE_SECONDS", "Finding", "check_line"]
