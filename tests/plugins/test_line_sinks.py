"""The sinks that come with edgead: a file, a web server, and a virtual PLC."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgead.errors import OptionError, OutputError
from edgead.line.records import record_of
from edgead.types import Times, Verdict
from edgead_plugins.belt import read_start
from edgead_plugins.sinks.file import File, FileOptions
from edgead_plugins.sinks.virtual import Virtual, VirtualOptions
from edgead_plugins.sinks.webhook import Webhook, WebhookOptions


def verdict(trigger: int, part: str = "7") -> Verdict:
    return Verdict(
        "0" * 16, trigger, part, "top", "reject", "deadline", None, None, (), None, Times(5, sent=9)
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------- a file


def test_each_verdict_is_a_line_there_at_once_behind_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    file.write_text('{"old": 1}\n')
    sink = File(FileOptions(path=str(file)))
    sink.open()
    sink.send(verdict(1, "\udce9 ü"))
    old, new = lines(file)
    assert old == {"old": 1} and new["utc"].endswith("+00:00")
    assert {k: v for k, v in new.items() if k not in ("utc", "part")} == {
        k: v for k, v in record_of(verdict(1)).items() if k != "part"
    }
    sink.send(verdict(2))
    assert [each.get("trigger") for each in lines(file)] == [None, 1, 2] and sink.health().counts == {
        "written": 2
    }


def test_a_file_that_is_full_becomes_the_older_one(tmp_path: Path) -> None:
    file = tmp_path / "v"
    sink = File(FileOptions(path=str(file), most_mib=0.001))
    sink.open()
    for trigger in range(1, 8):
        sink.send(verdict(trigger))
        assert file.stat().st_size <= 1048.576
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v", "v.1"]
    kept = [each["trigger"] for each in lines(tmp_path / "v.1") + lines(file)]
    assert kept == list(range(kept[0], 8)), "none is missing between the two"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the folder first"):
        File(FileOptions(path=str(tmp_path / "none" / "v"))).open()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full disk here")  # noqa: PTH110
def test_a_full_disk_is_said() -> None:
    sink = File(FileOptions(path="/dev/full"))
    sink.open()
    with pytest.raises(OutputError, match="/dev/full"):
        sink.send(verdict(1))


# ---------------------------------------------------------------- a web server


class Server(BaseHTTPRequestHandler):
    """Notes what it's sent, and answers as it's told."""

    protocol_version = "HTTP/1.1"
    got: list[tuple[str, dict[str, Any]]]
    status = 200
    connections = 0
    leaves = False

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = self.leaves

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def server(status: int = 200, leaves: bool = False) -> Iterator[tuple[type[Server], str]]:
    kind = type("Kind", (Server,), {"got": [], "status": status, "leaves": leaves})
    with HTTPServer(("127.0.0.1", 0), kind) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield kind, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_each_verdict_is_posted_over_one_connection() -> None:
    with server() as (kind, url):
        sink = Webhook(WebhookOptions(url=f"{url}/v?line=1"))
        sink.open()
        for trigger in (1, 2):
            sink.send(verdict(trigger))
        assert [path for path, _ in kind.got] == ["/v?line=1"] * 2
        assert kind.got[1][1] == json.loads(json.dumps(record_of(verdict(2)))) and kind.connections == 1
        assert sink.health().ok and sink.health().counts == {"sent": 2, "failed": 0}
        sink.close()


def test_a_server_that_closes_is_asked_again_over_a_new_connection() -> None:
    with server(leaves=True) as (kind, url):
        sink = Webhook(WebhookOptions(url=url))
        sink.open()
        for trigger in (1, 2, 3):
            sink.send(verdict(trigger))
            time.sleep(0.05)
        assert [each["trigger"] for _, each in kind.got] == [1, 2, 3]
        sink.close()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_answer_is_a_miss_and_no_link_is_followed(status: int) -> None:
    with server(status) as (kind, url):
        sink = Webhook(WebhookOptions(url=url))
        sink.open()
        with pytest.raises(OutputError, match=f"answered {status}"):
            sink.send(verdict(1))
        assert (
            len(kind.got) == 1 and not sink.health().ok and sink.health().counts == {"sent": 0, "failed": 1}
        )
        sink.close()


def test_a_server_that_is_not_there_or_says_nothing_is_a_miss_in_bounded_time() -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        for port, seconds in ((1, 5.0), (silent.getsockname()[1], 0.05)):
            sink = Webhook(WebhookOptions(url=f"http://127.0.0.1:{port}/", seconds=seconds))
            sink.open()
            with pytest.raises(OutputError, match="is the server there"):
                sink.send(verdict(1))
            sink.close()


@pytest.mark.parametrize(
    "url",
    ["", "ftp://127.0.0.1/", "http://", "http://u:p@127.0.0.1/", "http://127.0.0.1:x/", "http://h/\r\nx: y",
     "http://h:99999/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="url"):
        WebhookOptions(url=url)


# ---------------------------------------------------------------- a virtual PLC


def test_the_plc_starts_the_belt_with_the_first_readiness_and_tells_of_each_part(tmp_path: Path) -> None:
    told: list[str | None] = []
    options = VirtualOptions(
        rate=200, parts=10, belt=str(tmp_path / "belt"), tells=True, log=str(tmp_path / "log")
    )
    sink = Virtual(options)
    sink.on_trigger(told.append)
    sink.open()
    sink.beat(False)
    assert read_start(tmp_path / "belt") is None
    sink.beat(True)
    until = time.monotonic() + 30
    while len(told) < 10 and time.monotonic() < until:
        sink.beat(True)
        time.sleep(0.02)
    sink.send(verdict(1, "3"))
    assert told == [str(part) for part in range(10)]
    log = lines(tmp_path / "log")
    start = read_start(tmp_path / "belt")
    assert start is not None
    triggers = [each for each in log if "trigger" in each]
    assert [each["trigger"] for each in triggers] == list(range(10))
    assert all(each["at"] >= start + 5_000_000 * each["trigger"] for each in triggers)
    assert [each["ready"] for each in log if "ready" in each] == [False, True]
    assert log[-1]["verdict"] == json.loads(json.dumps(record_of(verdict(1, "3"))))


def test_it_goes_away_and_comes_back() -> None:
    sink = Virtual(VirtualOptions(faults=("3 sink-gone 0.2 1", "9 belt-burst 0 2")))
    sink.open()
    sink.send(verdict(1, "2"))
    with pytest.raises(OutputError, match="went away"):
        sink.send(verdict(2, "3"))
    with pytest.raises(OutputError, match="is away"):
        sink.open()
    time.sleep(0.25)
    sink.open()
    sink.send(verdict(2, "3"))
    assert sink.health().counts == {"verdicts": 2}
