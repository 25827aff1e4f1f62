"""What the tests of the line's page share: the page's real process, told what a core would tell it, on a port
of its own, and a record as a recorder leaves it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cv2
import numpy as np

from edgead.line.channel import Message
from edgead.line.page.users import User, write_users
from edgead.line.processes import Child, Children
from edgead.line.record import RecordWriter
from edgead.line.record.places import image_name, map_name
from tests.bundles import bad_image, good_image

PASSWORD = "correct horse"
RUN = "0123456789abcdef"
REGION = {"box": [25, 20, 32, 30], "area": 411, "peak": 5.1}
USERS = {"vera": "viewer", "otto": "operator", "ella": "engineer"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def write_three(file: Path) -> Path:
    """A viewer, an operator and an engineer, whose passwords are hashed as cheaply as a page takes."""
    salt = b"eight or more"
    made = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=4096, r=8, p=1, dklen=32)
    kept = f"scrypt$4096$8$1${b64encode(salt).decode()}${b64encode(made).decode()}"
    write_users(file, {name: User(name, role, kept) for name, role in USERS.items()})  # type: ignore[arg-type]
    return file


def record(trigger: int, decision: str = "accept", why: str = "score", **fields: Any) -> dict[str, Any]:
    """A verdict as the core tells of it."""
    now = time.monotonic_ns()
    score = None if why != "score" else 3.7 if decision == "reject" else 1.9
    return {
        "run": RUN, "trigger": trigger, "part": str(1000 + trigger), "camera": "top", "decision": decision,
        "why": why, "score": score, "threshold": None if score is None else 2.8,
        "regions": [REGION.copy()] if decision == "reject" and score else [], "bundle": "b" * 64,
        "times": {"trigger": now - 31_000_000, "grab": now - 26_000_000, "judged": now - 2_000_000,
                  "sent": now},
        "encoder": None, "frame_id": trigger, **fields,
    }  # fmt: skip


class Recorded:
    """A record that a recorder would have written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer = RecordWriter(folder)

    def add(
        self, verdict: Mapping[str, Any], image: np.ndarray | None = None, when_ns: int | None = None
    ) -> int:
        """One verdict, with an image and its map if given."""
        utc_ns = time.time_ns() if when_ns is None else when_ns
        number = self._writer.verdict(verdict, utc_ns)
        if image is not None:
            name = image_name(verdict["camera"], verdict["run"], verdict["trigger"], utc_ns, "png")
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), image)
            cv2.imwrite(str(self.folder / map_name(name)), map_of(verdict, image.shape[:2]))
            self._writer.image(number, name, file.stat().st_size, image.shape[1], image.shape[0], "reject")
        self._writer.commit()
        return number

    def live(self, verdict: Mapping[str, Any], image: np.ndarray) -> None:
        """The newest picture of a camera."""
        folder = self.folder / "live"
        folder.mkdir(exist_ok=True)
        name = verdict["camera"]
        for suffix, picture in ((".jpg", image), (".map.png", map_of(verdict, image.shape[:2]))):
            made, data = cv2.imencode(suffix[-4:], picture)
            assert made
            (folder / f".{name}{suffix}").write_bytes(data.tobytes())
            (folder / f".{name}{suffix}").replace(folder / f"{name}{suffix}")
        size = {"width": image.shape[1], "height": image.shape[0]}
        facts = {name: verdict[name] for name in ("run", "trigger", "part", "camera", "decision", "why",
                                                  "score", "threshold", "regions", "bundle")}  # fmt: skip
        facts |= {"size": size, "utc_ns": time.time_ns(), "map": True}
        (folder / f".{name}.json").write_text(json.dumps(facts))
        (folder / f".{name}.json").replace(folder / f"{name}.json")

    def close(self) -> None:
        self._writer.close()


def map_of(verdict: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """A map, 128 at the threshold, that glows where the regions are."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    found = np.full(shape, 45.0)
    for region in verdict["regions"]:
        x, y, width, height = region["box"]
        far = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2
        found = np.maximum(found, 230 * np.exp(-2.2 * far))
    return np.clip(found, 0, 255).astype(np.uint8)


def picture(trigger: int, bad: bool) -> np.ndarray:
    return bad_image(trigger % 3) if bad else good_image(trigger)


class Site:
    """A page at a port, and what is asked of it.

    Attributes:
        heard: what a test that is the page's core has heard of it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[Message] = []

    def wait(self, done: Callable[[], Any], why: str, seconds: float = 90) -> Any:
        until = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < until, f"{why}: {self.heard}"
            time.sleep(0.02)
        return found

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def login(self, user: str, password: str = PASSWORD) -> Visitor:
        status, headers, body = self.ask(
            "POST", "/login", urlencode({"user": user, "password": password}).encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert status == 303, body
        return Visitor(self, headers["set-cookie"].partition(";")[0])


class Hosted(Site):
    """The page's process, and this test as its core."""

    def __init__(self, folder: Path, record: Path | None, cameras: Mapping[str, Path], **fields: Any) -> None:
        super().__init__(free_port())
        self.ended: list[str] = []
        listed = [
            {"name": name, "bundle": str(path), "product": None, "engine": None, "device": "auto"}
            for name, path in cameras.items()
        ]
        self._first = {
            "users": str(folder / "users.toml"), "certificate": None, "key": None,
            "address": ["127.0.0.1", self.port], "hosts": ["127.0.0.1", "localhost"], "is_secure": False,
            "behind_tls_proxy": False, "clients": 6, "line": "Press 4", "deadline_ms": 80.0, "keys": [],
            "record": None if record is None else str(record), "cameras": listed, **fields,
        }  # fmt: skip
        self.children = Children(folder)
        self.child = self.children.add(Child("page", "page", lambda: self._first))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()
        self.wait(lambda: any(m["is"] in ("up", "refused") for m in self.heard), "the page isn't up")

    def _pump(self) -> None:
        while not self._stop.is_set():
            self.children.start_due(time.monotonic())
            for _, message in self.children.messages(0.02):
                self.heard.append(message)
            self.ended += [why for _, why in self.children.ended(time.monotonic())]

    def tell(self, message: Message) -> bool:
        return self.child.send(message)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.children.end_all(5)


class Visitor:
    """Somebody who is logged in."""

    def __init__(self, site: Site, cookie: str) -> None:
        self.site, self.cookie = site, cookie
        _, _, page = self.ask("GET", "/")
        self.csrf = re.search(rb'name="csrf" content="([^"]+)"', page)[1].decode()  # type: ignore[index]

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.site.ask(method, path, body, {"Cookie": self.cookie, **given})

    def get(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def post(self, path: str, **given: Any) -> tuple[int, Any]:
        status, _, body = self.ask("POST", path, json.dumps(given).encode(), X_CSRF_Token=self.csrf)
        return status, json.loads(body)

    def job(self, path: str, **given: Any) -> Any:
        """Begin a job, and wait for its end."""
        status, job = self.post(path, **given)
        assert status == 200, job
        found = self.site.wait(
            lambda: (j := self.get(f"/api/jobs/{job['number']}"))["state"] != "running" and j,
            "a job goes on",
            200,
        )
        assert found["state"] == "done", found["error"]
        return found["result"]


def status(**fields: Any) -> Message:
    """A status of a line that is well."""
    return {
        "is": "status", "run": RUN, "ready": True, "reasons": [], "dropped": 0,
        "record": {"rows": 0, "images": 0}, "utc_ns": time.time_ns(),
        "at_ns": time.monotonic_ns(),
        "tally": {
            "verdicts": 12408, "decisions": {"accept": 12297, "reject": 111}, "by_failsafe": 4,
            "late_scores": 2,
            "whys": {"score": 12404, "deadline": 3, "no-image": 1}, "p50_ms": 27, "p99_ms": 41,
            "most_after_deadline_ms": 0.4,
        },
        "processes": [
            {"kind": kind, "name": name, "up": True, "ended": 0, "why": ""}
            for kind, name in (("camera", "top"), ("judge", "top/0"), ("judge", "top/1"), ("sink", "plc"),
                               ("sink", "mqtt"), ("recorder", "recorder"), ("page", "page"))
        ],
        "cameras": {"top": True},
        "sinks": {
            "plc": {"role": "verdict", "up": True, "given": 12408, "missed": 0, "ok": True, "detail": ""},
            "mqtt": {"role": "inform", "up": True, "given": 12400, "missed": 8, "ok": True, "detail": ""},
        },
        **fields,
    }  # fmt: skip


@contextmanager
def telling(hosted: Hosted, make: Callable[[], Message] = status) -> Iterator[None]:
    """Send a status twice a second, as the core does once."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.5):
            hosted.tell(make())

    thread = threading.Thread(target=work, daemon=True)
    hosted.tell(make())
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)


__all__ = [
    "PASSWORD", "RUN", "USERS", "Hosted", "Recorded", "Site", "Visitor", "free_port", "map_of", "picture",
    "record", "status", "telling", "write_three",
]  # fmt: skip
