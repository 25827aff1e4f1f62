"""The line's page without a browser: its users and table, who may ask for what, and what a stranger can't do.

The page is the real process, asked over real sockets.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import http.client
import json
import socket
import ssl
import stat
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from edgead.cli import cli
from edgead.errors import DatasetError, OptionError, UnknownNameError
from edgead.line.config import line_of
from edgead.line.page.forms import of_event
from edgead.line.page_table import PageTable
from tests.core.line_page_support import (
    PASSWORD,
    RUN,
    Hosted,
    Recorded,
    Visitor,
    free_port,
    picture,
    record,
    status,
    telling,
    write_three,
)  # fmt: skip

pytest.importorskip("starlette", reason="starlette, of the [web] extra, isn't installed")
pytest.importorskip("uvicorn", reason="uvicorn, of the [web] extra, isn't installed")
users = pytest.importorskip("edgead.line.page.users")
logins = pytest.importorskip("edgead.line.page.logins")
serving = pytest.importorskip("edgead.line.page.serving")
Setup = pytest.importorskip("edgead.line.page.setup").Setup


# ---------------------------------------------------------------- the table and the users


def table(**page: object) -> PageTable:
    camera = {"name": "top", "source": "generated", "bundle": "none"}
    document = {"camera": [camera], "sink": [{"kind": "file"}], "page": page}
    found = line_of(document, "a test", Path.cwd()).page
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ({"listen": "0.0.0.0:8080", "hosts": ["line4"]}, "passwords"),
        ({"listen": "192.168.1.5:80"}, "passwords"),
        ({"listen": "0.0.0.0:8080", "behind_tls_proxy": True}, "hosts must say"),
        ({"listen": "127.0.0.1"}, "a port"),
        ({"listen": "127.0.0.1:99999"}, "a port"),
        ({"hosts": ["https://line4"]}, "no host's name"),
        ({"certificate": "a.pem"}, "go together"),
        ({"clients": 0}, "clients"),
        ({"listn": "127.0.0.1:80"}, "listen"),
    ],
)
def test_a_page_that_would_be_open_to_all_or_cannot_be_is_refused(page: dict[str, object], word: str) -> None:
    with pytest.raises((OptionError, UnknownNameError), match=word):
        table(**page)


def test_a_page_is_this_machines_own_unless_there_is_tls() -> None:
    assert table().known_hosts == {"127.0.0.1", "localhost", "::1"} and not table().is_secure
    proxied = table(listen="0.0.0.0:80", behind_tls_proxy=True, hosts=["Line4.plant"])
    assert proxied.is_secure and "line4.plant" in proxied.known_hosts


def test_users_are_added_listed_and_removed_and_an_engineer_stays(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"

    def run(*words: str, text: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["line", "users", *words], input=text)
        return done.exit_code, done.output + str(done.exception or "")

    assert (
        run("add", str(file), "ella", "--role", "engineer", "--password-stdin", text="long enough\n")[0] == 0
    )
    assert run("add", str(file), "otto", "--role", "operator", text="long enough\nlong enough\n")[0] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and "long enough" not in file.read_text()
    found = json.loads(run("list", str(file), "--json")[1])["users"]
    assert found == [{"name": "ella", "role": "engineer"}, {"name": "otto", "role": "operator"}]
    # An oracle of its own: the hash is scrypt's of this password.
    kind, n, r, p, salt, made = users.read_users(file)["ella"].password.split("$")
    own = hashlib.scrypt(
        b"long enough", salt=b64decode(salt), n=int(n), r=int(r), p=int(p), maxmem=1 << 28, dklen=32
    )
    assert kind == "scrypt" and own == b64decode(made)
    assert "last engineer" in run("remove", str(file), "ella")[1]
    assert (
        "last engineer"
        in run("add", str(file), "ella", "--role", "viewer", "--password-stdin", text="1234567890\n")[1]
    )
    assert (
        "10 to 200"
        in run("add", str(file), "vera", "--role", "viewer", "--password-stdin", text="short\n")[1]
    )
    assert run("remove", str(file), "otto")[0] == 0 and list(users.read_users(file)) == ["ella"]


def test_a_users_file_that_others_may_write_or_that_costs_too_much_is_refused(tmp_path: Path) -> None:
    file = write_three(tmp_path / "users.toml")
    file.chmod(0o666)
    with pytest.raises(DatasetError, match="can be written by others"):
        users.read_users(file)
    file.chmod(0o600)
    text = file.read_text()
    for before, after in (("scrypt$4096$8$1", "scrypt$1073741824$8$1"), ("scrypt$4096$8$1", "md5$1$1$1"),
                          ('"viewer"', '"root"'), ('name = "vera"', 'name = "otto"')):  # fmt: skip
        file.write_text(text.replace(before, after))
        with pytest.raises(DatasetError):
            users.read_users(file)


def test_the_first_engineer_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    password = users.first_user(file)
    assert password and users.matches(password, users.read_users(file)["engineer"].password)
    assert users.first_user(file) is None


def test_logins_that_fail_make_wait_and_are_forgotten_in_time() -> None:
    now = [0.0]
    attempts = logins.Attempts(3, lambda: now[0])
    for _ in range(3):
        assert attempts.wait("a") == 0
        attempts.failed("a")
    assert attempts.wait("a") > 200 and attempts.wait("b") == 0
    now[0] = logins.WINDOW + 1
    assert attempts.wait("a") == 0
    for number in range(logins.MOST_KNOWN + 50):
        attempts.failed(str(number))
    assert attempts.wait("0") == 0 and len(attempts._failed) == logins.MOST_KNOWN


def test_a_session_ends_with_its_time_its_user_or_another_password(tmp_path: Path) -> None:
    now, file = [0.0], write_three(tmp_path / "users.toml")
    sessions = logins.Sessions(file, lambda: now[0])
    token = sessions.begin(sessions.users()["otto"])
    assert sessions.of(token)[0].role == "operator" and sessions.of(token + "x") is None
    users.add_user(file, "otto", "viewer", "another password")
    assert sessions.of(token) is None
    token = sessions.begin(sessions.users()["vera"])
    users.remove_user(file, "vera")
    assert sessions.of(token) is None
    token = sessions.begin(sessions.users()["ella"])
    now[0] = logins.IDLE + 1
    assert sessions.of(token) is None
    tokens = [sessions.begin(sessions.users()["ella"]) for _ in range(logins.MOST_SESSIONS + 1)]
    assert sessions.of(tokens[0]) is None and sessions.of(tokens[-1]) is not None


def test_behind_a_proxy_its_own_word_counts_and_no_strangers() -> None:
    site = pytest.importorskip("edgead.line.page.site")
    asked = pytest.importorskip("starlette.requests")
    for proxied, lines, expected in (
        (True, ["6.6.6.6, 10.0.0.7"], "10.0.0.7"),
        (True, ["6.6.6.6", "10.0.0.7"], "10.0.0.7"),  # a proxy that adds a line of its own
        (True, [], "127.0.0.1"),
        (False, ["6.6.6.6"], "127.0.0.1"),
    ):
        headers = [(b"x-forwarded-for", line.encode()) for line in lines]
        request = asked.Request({"type": "http", "headers": headers, "client": ("127.0.0.1", 1)})
        its = SimpleNamespace(setup=SimpleNamespace(behind_tls_proxy=proxied))
        assert site.Site.address(its, request) == expected


# ---------------------------------------------------------------- a page that runs


class Page:
    def __init__(self, folder: Path) -> None:
        write_three(folder / "users.toml")
        (folder / "secret.png").write_bytes(b"secret")
        self.recorded = Recorded(folder / "record")
        self.reject = self.recorded.add(record(1, "reject"), picture(1, True))
        self.accept = self.recorded.add(record(2))
        self.failsafe = self.recorded.add(record(3, "reject", "deadline"))
        self.hosted = Hosted(folder, folder / "record", {"top": folder / "none"}, clients=3)
        for trigger, decision in ((1, "reject"), (2, "accept")):
            self.hosted.tell({"is": "verdict", "verdict": record(trigger, decision)})
        self.people: dict[str, Visitor] = {}

    def __getitem__(self, user: str) -> Visitor:
        if user not in self.people:
            self.people[user] = self.hosted.login(user)
        return self.people[user]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = Page(tmp_path_factory.mktemp("page"))
    with telling(made.hosted):
        yield made
    made.hosted.close()
    made.recorded.close()


def test_without_a_login_nothing_is_shown(page: Page) -> None:
    number = page.reject
    for path in ("/api/now", "/api/trend?camera=top", "/api/rejects", f"/api/verdicts/{number}", "/api/audit",
                 f"/images/{number}/image", "/live/top/1/image", "/api/filed", "/api/jobs/1"):  # fmt: skip
        assert page.hosted.ask("GET", path)[0] == 401, path
    assert page.hosted.ask("POST", "/api/file", b"{}")[0] == 401
    status_, headers, _ = page.hosted.ask("GET", "/")
    assert status_ == 303 and headers["location"] == "/login"
    assert page.hosted.ask("GET", "/docs")[0] == page.hosted.ask("GET", "/openapi.json")[0] == 404


def test_another_host_or_another_page_is_refused_and_answers_say_what_browsers_must_not_do(
    page: Page,
) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example:80", "user@127.0.0.1", ""):
        assert page.hosted.ask("GET", "/login", headers={"Host": host})[0] == 400, host
    assert page.hosted.ask("GET", "/login", headers={"Host": f"LOCALHOST:{page.hosted.port}"})[0] == 200
    form = urlencode({"user": "ella", "password": PASSWORD}).encode()
    assert page.hosted.ask("POST", "/login", form, {"Origin": "http://evil.example"})[0] == 403
    _, headers, _ = page.hosted.ask("GET", "/login")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_the_sessions_cookie_is_kept_from_scripts_and_other_sites(page: Page) -> None:
    form = urlencode({"user": "vera", "password": PASSWORD}).encode()
    _, headers, _ = page.hosted.ask("POST", "/login", form)
    words = {word.strip().lower() for word in headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= words
    visitor = page.hosted.login("vera")
    assert visitor.post("/logout")[0] == 200
    assert visitor.ask("GET", "/api/record")[0] == 401, "and it ends with the logout"


def test_each_role_may_what_it_may(page: Page) -> None:
    threshold = {"camera": "top", "threshold": 2.0, "reason": "fewer false alarms"}
    for user in ("vera", "otto"):
        assert page[user].post("/api/threshold", **threshold)[0] == 403
        assert page[user].post("/api/teach", feedback=1)[0] == 403
        assert page[user].post("/api/undo", camera="top", lesson=1, reason="why not")[0] == 403
        assert (
            page[user].ask("GET", "/api/audit")[0]
            == page[user].ask("GET", "/api/lessons?camera=top")[0]
            == 403
        )
    assert page["vera"].post("/api/file", id=page.reject, kind="false-alarm")[0] == 403
    assert page["vera"].get("/api/rejects")["rejects"][1]["id"] == page.reject
    assert b"#threshold" not in page["otto"].ask("GET", "/")[2]


def test_a_change_without_the_pages_token_is_refused(page: Page) -> None:
    body = json.dumps({"id": page.reject, "kind": "false-alarm"}).encode()
    for headers in ({}, {"X_CSRF_Token": "x"}, {"X_CSRF_Token": page["ella"].csrf}):
        assert page["otto"].ask("POST", "/api/file", body, **headers)[0] == 403
    assert page["otto"].get("/api/filed")["filed"] == []


def test_what_operators_file_is_kept_with_who_and_why_and_moves_nothing(page: Page) -> None:
    before = len(page.hosted.heard)
    assert page["otto"].post("/api/file", id=page.reject, kind="missed")[0] == 409, "it was rejected"
    assert page["otto"].post("/api/file", id=page.failsafe, kind="false-alarm")[0] == 409, "no score"
    found, filed = page["otto"].post("/api/file", id=page.reject, kind="false-alarm", reason="a\nlot  mark")
    assert found == 200 and filed["image"]
    missed = page["otto"].post("/api/file", camera="top", run=RUN, trigger=2, kind="missed", reason="")
    assert missed[0] == 200 and not missed[1]["image"], "of an accepted part none was kept"
    rows = page["otto"].get("/api/filed")["filed"]
    assert [(r["kind"], r["user"], r["reason"], r["state"]) for r in rows] == [
        ("missed", "otto", "", "filed"), ("false-alarm", "otto", "a lot mark", "filed")]  # fmt: skip
    audit = page["ella"].get("/api/audit")
    assert audit["whole"] and [row["what"] for row in audit["audit"] if row["user"] == "otto"][:2] == [
        "missed",
        "false-alarm",
    ]
    assert not any(m["is"] == "reload" for m in page.hosted.heard[before:])


def test_no_name_in_an_address_leads_to_a_file(page: Page) -> None:
    visitor = page["vera"]
    for path in ("/images/1/../../secret.png", "/images/..%2f..%2fsecret.png/image", "/images/1/%2e%2e",
                 "/live/..%2f..%2f/1/image", "/live/top/..%2f/image", "/static/..%2f..%2fusers.py",
                 "/static/%2e%2e",
                 "/images/-1/image", "/images/99999999999999999999999999/image", "/images/1.5/image",
                 "/live/nobody/1/image", "/static/main.js/../../x"):  # fmt: skip
        found, _, body = visitor.ask("GET", path)
        assert found in (400, 404), (path, found)
        assert b"secret" not in body and b"Traceback" not in body
    assert visitor.ask("GET", f"/images/{page.reject}/image")[2].startswith(b"\x89PNG")
    assert visitor.ask("GET", f"/images/{page.reject}/small")[2].startswith(b"\xff\xd8")
    assert visitor.ask("GET", f"/images/{page.reject}/map")[2].startswith(b"\x89PNG")
    assert visitor.ask("GET", f"/images/{page.accept}/image")[0] == 404


def test_large_bodies_and_what_is_no_request_are_refused(page: Page) -> None:
    otto = page["otto"]
    assert otto.ask("POST", "/api/file", b"x" * 20_000, X_CSRF_Token=otto.csrf)[0] == 413
    # Chunks, so that no length is announced.
    with socket.create_connection(("127.0.0.1", page.hosted.port), timeout=30) as stream:
        head = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        stream.sendall(
            head.encode() + b"4000\r\n" + b"x" * 0x4000 + b"\r\n4000\r\n" + b"x" * 0x4000 + b"\r\n"
        )
        assert b" 413 " in stream.recv(100)
    for body in (b"", b"[]", b"{", b"[" * 10_000, b'"x"', b"\xff"):
        assert otto.ask("POST", "/api/file", body, X_CSRF_Token=otto.csrf)[0] == 400, body[:20]
    for given in (
        {"id": "1"},
        {"id": True},
        {"id": -1},
        {"id": 1 << 70},
        {"camera": []},
        {"reason": 5},
        {"reason": "x" * 501},
    ):
        assert otto.post("/api/file", kind="false-alarm", **given)[0] in (400, 404)
    ella = page["ella"]
    for threshold in (0, -1, "2", None, True, 1e99):
        assert ella.post("/api/threshold", camera="top", threshold=threshold, reason="a reason")[0] in (
            400,
            409,
        )
    assert ella.ask(
        "POST", "/api/threshold", b'{"camera":"top","threshold":NaN,"reason":"abc"}', X_CSRF_Token=ella.csrf
    )[0] in (400, 409)
    assert ella.ask("GET", "/" + "x" * 40_000)[0] in (400, 404, 431)


def test_a_wrong_password_again_and_again_is_looked_at_no_more(page: Page) -> None:
    def attempt(password: str) -> tuple[int, dict[str, str]]:
        form = urlencode({"user": "nobody", "password": password}).encode()
        return page.hosted.ask("POST", "/login", form)[:2]

    seen = [attempt(f"guess {number}") for number in range(logins.BY_USER + 2)]
    assert [code for code, _ in seen] == [401] * logins.BY_USER + [429, 429]
    assert int(seen[-1][1]["retry-after"]) > 60
    assert page.hosted.login("vera"), "others may go on"


def test_browsers_that_take_nothing_slow_nobody_and_more_than_may_watch_are_turned_away(page: Page) -> None:
    vera, streams = page["vera"], []
    ask = f"GET /api/now HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {vera.cookie}\r\n\r\n".encode()
    try:
        for _ in range(3):
            stream = socket.socket()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.settimeout(30)
            stream.connect(("127.0.0.1", page.hosted.port))
            stream.sendall(ask)
            assert b" 200 " in stream.recv(200)
            streams.append(stream)
        page.hosted.wait(lambda: vera.get("/api/record")["clients"] == 3, "nobody watches")
        assert vera.ask("GET", "/api/now")[0] == 503
        # Two take nothing any more; the third sees the newest all the same, and the core is heard.
        for trigger in range(1000, 1600):
            page.hosted.tell({"is": "verdict", "verdict": record(trigger)})
        seen, until = b"", time.monotonic() + 60
        while b'"part":"2599"' not in seen:
            assert time.monotonic() < until
            seen = (seen + streams[2].recv(1 << 16))[-40_000:]
    finally:
        for stream in streams:
            stream.close()
    page.hosted.wait(lambda: vera.get("/api/record")["clients"] == 0, "they aren't let go")


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"30000000")]})
    await send({"type": "http.response.body", "body": b"x" * 30_000_000})


async def _held(serving_: Any, sends: list[bytes], seconds: float) -> list[bool]:
    """Which connections are still there after a while, each of which sent these."""
    port = free_port()
    setup = Setup.of({
        "line": "", "address": ["127.0.0.1", port], "users": "", "certificate": None, "key": None,
        "hosts": [], "is_secure": False, "behind_tls_proxy": False, "clients": 3, "deadline_ms": 1,
        "keys": [], "cameras": [], "record": None,
    })  # fmt: skip
    server, loop = serving_.server_of(_answer, setup), asyncio.get_running_loop()
    tasks = [loop.create_task(server._serve([serving_.bound(setup)])), loop.create_task(server.sweep())]
    streams = []
    for data in sends:
        stream = socket.socket()
        if len(streams) < len(sends) - 1:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.setblocking(False)
        await loop.sock_connect(stream, ("127.0.0.1", port))
        await loop.sock_sendall(stream, data)
        streams.append(stream)
    until = loop.time() + seconds
    while loop.time() < until and len(server.server_state.connections) != 1:
        await asyncio.sleep(0.1)
        with suppress(OSError, BlockingIOError):
            streams[-1].recv(1 << 18)  # the last one takes what it's given
    left = {connection.client[1] for connection in server.server_state.connections}
    there = [stream.getsockname()[1] in left for stream in streams]
    for stream in streams:
        stream.close()
    server.should_exit = True
    tasks[1].cancel()
    await asyncio.wait(tasks, timeout=5)
    return there


def test_who_begins_a_request_or_takes_no_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.8)
    monkeypatch.setattr(serving, "TAKING", 0.8)
    monkeypatch.setattr(serving, "PIECE", 1)
    ask = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    head = ask.replace(b"GET", b"HEAD")  # whose answer has no body
    there = asyncio.run(_held(serving, [b"", b"GET / HT", head + b"GET / HT", ask, head + ask, ask], 20))
    assert there == [False] * 5 + [True], "only who takes what it asked for stays"


def test_machines_are_told_how_the_line_is(page: Page) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    page.hosted.tell(status())
    page.hosted.wait(lambda: page.hosted.ask("GET", "/ready")[0] == 200, "it isn't ready")
    text = page.hosted.ask("GET", "/metrics")[2].decode()
    found = {
        (s.name, *s.labels.values()): s.value
        for f in parser.text_string_to_metric_families(text)
        for s in f.samples
    }
    assert found["edgead_line_ready",] == 1 and found["edgead_line_verdicts_total", "accept"] == 12297
    assert (
        found["edgead_line_sink_missed_total", "mqtt"] == 8
        and found["edgead_line_verdict_p99_seconds",] == 0.041
    )
    assert page.hosted.ask("GET", "/health")[0] == 200


def test_a_line_that_must_be_signed_is_changed_elsewhere(tmp_path: Path) -> None:
    write_three(tmp_path / "users.toml")
    hosted = Hosted(tmp_path, None, {"top": tmp_path}, keys=[str(tmp_path / "qa.pub")])
    try:
        ella = hosted.login("ella")
        for path, given in (
            ("/api/threshold", {"threshold": 2.0}),
            ("/api/teach", {"feedback": 1}),
            ("/api/undo", {"lesson": 1}),
        ):
            code, answer = ella.post(path, camera="top", reason="a reason", **given)
            assert code == 409 and "sign that, and install it" in answer["error"], path
        assert hosted.ask("GET", "/ready")[0] == 503 and "starting" in str(hosted.ask("GET", "/ready")[2])
        hosted.tell(status(ready=False, reasons=["sink plc isn't there"]))
        hosted.wait(lambda: b"sink plc isn't there" in hosted.ask("GET", "/ready")[2], "no reason")
    finally:
        hosted.close()


def test_with_tls_cookies_are_for_https_alone(tmp_path: Path) -> None:
    x509 = pytest.importorskip(
        "cryptography.x509", reason="cryptography, of the [sign] extra, isn't installed"
    )
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "line4")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "c.pem").write_bytes(certificate)
    how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "k.pem").write_bytes(key.private_bytes(*how))
    write_three(tmp_path / "users.toml")
    files = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    hosted = Hosted(tmp_path, None, {}, **files, is_secure=True, hosts=["line4"])
    try:
        context = ssl.create_default_context(cadata=certificate.decode())
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", hosted.port, timeout=60, context=context)
        form = urlencode({"user": "vera", "password": PASSWORD})
        connection.request("POST", "/login", form, {"Host": "line4", "Origin": "https://line4"})
        answer = connection.getresponse()
        cookie = answer.headers["Set-Cookie"]
        assert answer.status == 303 and cookie.startswith("__Host-edgead=") and "; Secure" in cookie
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        connection.close()
        with pytest.raises((OSError, http.client.HTTPException)):
            hosted.ask("GET", "/login", headers={"Host": "line4"})
    finally:
        hosted.close()


def test_a_page_that_cannot_be_says_why(tmp_path: Path) -> None:
    write_three(tmp_path / "users.toml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        hosted = Hosted(tmp_path, None, {}, address=["127.0.0.1", taken.getsockname()[1]])
        hosted.close()
        (refused,) = [m for m in hosted.heard if m["is"] == "refused"][:1]
        assert "can't listen" in refused["text"] and refused["kind"] == "OutputError"


@pytest.mark.parametrize(
    ("code", "values", "said"),
    [
        ("line-ready", {"reasons": []}, "the line is ready"),
        ("line-not-ready", {"reasons": [{"text": "sink gate isn't there"}]}, "ready: sink gate isn't there"),
        ("line-late", {"part": "7", "camera": "top", "late_ms": 3.21}, "part 7 of camera top, 3.2 ms after"),
        ("line-sink-up", {"sink": "gate"}, "sink gate is there"),
    ],
)
def test_every_event_of_the_record_is_a_sentence(code: str, values: dict[str, Any], said: str) -> None:
    assert said in of_event(code, values) and "reasons" not in of_event(code, values)
