"""The recorder: a process that keeps verdicts and images of the line.

Its main thread waits for no disk: it copies images out of the slots that it's lent, gives them back at once,
and hands everything on to threads.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import cv2

from edgead.line.channel import Channel, Message
from edgead.line.child import ALIVE, run, say
from edgead.line.record.keeping import Keeping, Row
from edgead.line.record.liveview import LiveImage, LiveView
from edgead.line.record.recent import Recent
from edgead.line.record.retention import Limits, Retention
from edgead.line.record.storing import Picture, Storing
from edgead.line.ring import Ring
from edgead.line.small_map import map_of

LAST = 0.7
"""Seconds that images, and then rows, may still take at the line's end."""


def main() -> None:
    """Be the process."""
    run(work)


def work(channel: Channel, start: Message) -> None:
    """Record until told to stop, or the line is gone."""
    cv2.setNumThreads(1)
    Recorder(channel, start).run()


class Recorder:
    """Hears the line, and has threads work."""

    def __init__(self, channel: Channel, start: Message) -> None:
        self._channel = channel
        folder = Path(start["folder"])
        self._rings = {name: Ring(*ring) for name, ring in start["rings"].items()}
        self._keeping = Keeping(folder, self._say)
        limits = Limits(start["days"], start["bytes"], start["row_days"])
        retention = Retention(folder, limits, self._say)
        self._storing = Storing(folder, start["format"], self._keeping, self._dropped, retention.stored)
        self._live = LiveView(folder)
        self._recent = Recent(start["recent"])
        self._alive = 0.0
        self._counting = threading.Lock()
        self._drops: list[str] = []

    def run(self) -> None:
        """Go on until told to stop, or the line is gone; what came until then is kept, if time is left."""
        self._say({"is": "made"})
        stopped = False
        while not stopped and not self._channel.closed:
            for message in self._channel.receive(ALIVE / 2):
                stopped |= message["is"] == "stop"
                self._hear(message)
            now = time.monotonic()
            if now - self._alive >= ALIVE:
                self._alive = now
                self._say({"is": "alive"})
                self._tell_drops()
        self._storing.close(LAST)
        self._keeping.close(LAST)
        self._tell_drops()

    def _hear(self, message: Message) -> None:
        if message["is"] == "row":
            self._keeping.put(Row(message["number"], json.loads(message["row"])))
        elif message["is"] == "image":
            self._image(message)
        elif message["is"] == "keep":
            self._keep(message)

    def _image(self, message: Message) -> None:
        """Copy an image out of its slot and give that back."""
        view = self._rings[message["camera"]].read(message["slot"], message["shape"], message["dtype"])
        keep = message["kept"] is not None and self._storing.has_room(view.nbytes)
        recent = message["kept"] is None and self._recent.most > 0
        image = view.copy() if keep or recent or message["live"] else None
        self._say({"is": "free", "camera": message["camera"], "slot": message["slot"]})
        if message["kept"] is not None and not keep:
            self._dropped("more come than can be encoded")
        if image is None:
            return
        small, verdict, utc_ns = map_of(message["map"]), message["verdict"], int(message["utc_ns"])
        if keep:
            self._storing.put(Picture(image, small, verdict, utc_ns, message["kept"]))
        if message["live"]:
            self._live.put(LiveImage(image, small, verdict, utc_ns))
        if recent:
            self._recent.put(Picture(image, small, verdict, utc_ns, "filed"))

    def _keep(self, message: Message) -> None:
        """Somebody files a verdict: keep its image, if it's held yet."""
        key = str(message["camera"]), str(message["run"]), int(message["trigger"])
        picture = self._recent.take(key)
        if picture is None:
            return
        if self._storing.has_room(picture.image.nbytes):
            self._storing.put(picture)
        else:
            self._dropped("more come than can be encoded")

    def _dropped(self, why: str) -> None:
        with self._counting:
            self._drops.append(why)

    def _tell_drops(self) -> None:
        with self._counting:
            drops, self._drops = self._drops, []
        if drops:
            self._say({"is": "dropped", "images": len(drops), "why": drops[-1]})

    def _say(self, message: Message) -> None:
        """From any thread."""
        say(self._channel, message)


__all__ = ["Recorder", "main", "work"]
