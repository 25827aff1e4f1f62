"""The OPC UA sink, read by asyncua's client over the loopback address."""

from __future__ import annotations

import datetime
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from edgead.errors import OptionError, OutputError
from edgead.testing import checks
from edgead.types import Why
from edgead_plugins.sinks.opcua import Opcua, OpcuaOptions
from tests.plugins.sink_support import RUN, accept, reject, until

pytest.importorskip("asyncua", reason="asyncua isn't installed")
from asyncua import ua
from asyncua.sync import Client

LISTEN = "127.0.0.1:0"
SECRET = "correct horse"
OPENS = ("opens-or-says-why-not", "closes-at-any-time", "takes-every-verdict", "takes-the-beat",
         "tells-its-health")  # fmt: skip
"""Checks that open a server of their own, which takes a second each; what is below does the same."""


class Reader:
    """A client."""

    def __init__(self, sink: Opcua) -> None:
        self.client = Client(sink._where.removesuffix("/edgead"))
        self.client.connect()
        self.mv = self.client.get_namespace_index("http://opcfoundation.org/UA/MachineVision")
        self.own = self.client.get_namespace_index("urn:edgead:line")
        self.system = self.client.nodes.objects.get_child(f"{self.own}:VisionSystem")

    def node(self, name: str) -> Any:
        return self.system.get_child([f"{self.own}:Line", f"{self.own}:{name}"])

    def read(self, *names: str) -> list[Any]:
        return [self.node(name).read_value() for name in names]

    def state(self) -> str:
        path = [f"{self.mv}:VisionStateMachine", "0:CurrentState"]
        state = self.system.get_child(path)
        number = self.system.get_child([*path, "0:Id"]).read_value()
        assert self.client.get_node(number).read_browse_name().Name == state.read_value().Text
        return str(state.read_value().Text)


@pytest.fixture(scope="module")
def served() -> Iterator[Opcua]:
    made = Opcua(OpcuaOptions(listen=LISTEN, stale_ms=60_000, silent_ms=60_000))
    made.open()
    yield made
    made.close()


@pytest.fixture
def sink(served: Opcua) -> Opcua:
    served.beat(False)
    served.beat(True)
    return served


@pytest.fixture(scope="module")
def reader(served: Opcua) -> Iterator[Reader]:
    made = Reader(served)
    yield made
    made.client.disconnect()


WORDS = {"opcua": [f"listen={LISTEN}"]}


@pytest.mark.parametrize("check", [c for c in checks("opcua", options=WORDS) if c.name not in OPENS], ids=str)
def test_it_conforms(check: Any) -> None:
    check()


def test_a_result_is_shown_and_nothing_of_it_without_readiness(sink: Opcua, reader: Reader) -> None:
    assert reader.state() == "Operational"
    sink.send(accept(3, "77"))
    shown = reader.read("Id", "Decision", "Why", "Score", "Threshold", "Part", "Camera")
    assert shown == [f"{RUN}-3", "accept", "score", 1.25, 2.5, "77", "top"]
    sink.send(reject(4))
    assert reader.read("Id", "Decision", "Why") == [f"{RUN}-4", "reject", "deadline"]
    assert all(map(math.isnan, reader.read("Score", "Threshold")))
    before = reader.read("Heartbeat")[0]
    sink.beat(False)
    assert reader.read("Heartbeat", "Ready", "Id", "Decision") == [before + 1, False, "", "none"]
    assert reader.state() == "Preoperational"
    sink.send(accept(5))
    assert reader.read("Id", "Decision") == ["", "none"] and sink.health().counts["withheld"] == 1
    sink.send(reject(6))
    assert reader.read("Decision") == ["reject"]


@pytest.mark.parametrize("why", get_args(Why)[1:])
def test_every_reason_is_shown(sink: Opcua, reader: Reader, why: Why) -> None:
    sink.send(reject(1, "ü \"'\\", why=why, bundle=None))
    assert reader.read("Decision", "Why", "Part") == ["reject", why, "ü \"'\\"]


def test_each_result_is_an_event_by_the_standards_numbers(sink: Opcua, reader: Reader) -> None:
    got: list[Any] = []

    class Handler:
        def event_notification(self, event: Any) -> None:
            got.append(event)

    reader.client.load_data_type_definitions()
    subscription = reader.client.create_subscription(10, Handler())
    subscription.subscribe_events(evtypes=reader.client.get_node(ua.NodeId(1024, reader.mv)))
    for number in range(20):
        sink.send(accept(number) if number % 2 else reject(number))
    until(lambda: len(got) == 20)
    assert [event.ResultId.Id for event in got] == [f"{RUN}-{number}" for number in range(20)]
    last = got[-1]
    assert (last.IsPartial, last.ResultState, got[-2].ResultState) == (False, 1, 4)
    assert (last.JobId.Id, last.PartId.Id, last.InternalRecipeId.Id) == (RUN, "19", "ab" * 32)
    assert [each.Value for each in last.ResultContent] == ["accept", "score", 1.25, 2.5]
    subscription.delete()
    encodings = {"ResultIdDataType": 5274, "JobIdDataType": 5008, "PartIdDataType": 5013,
                 "RecipeIdInternalDataType": 5268, "ConfigurationIdDataType": 5090}  # fmt: skip
    for name, number in encodings.items():
        kind = reader.client.get_node(ua.NodeId(number, reader.mv))
        (data_type,) = kind.get_referenced_nodes(ua.ObjectIds.HasEncoding, ua.BrowseDirection.Inverse)
        assert data_type.read_browse_name().Name == name


def test_nothing_can_be_written_and_no_node_made(sink: Opcua, reader: Reader) -> None:
    with pytest.raises(ua.UaStatusCodeError):
        reader.node("Ready").write_value(True)
    with pytest.raises(ua.UaStatusCodeError):
        reader.system.add_variable(reader.own, "more", 1)


def test_what_is_stale_goes_and_a_silent_line_is_not_ready(sink: Opcua, reader: Reader) -> None:
    sink._stale, sink._silent = 0.2, 60.0
    old = accept(1)
    try:
        sink.send(accept(2))
        assert reader.read("Decision") == ["accept"]
        until(lambda: reader.read("Decision") == ["none"])
        sink.send(old)
        assert reader.read("Decision") == ["none"] and sink.health().counts["stale"] == 1
        sink._stale, sink._silent = 60.0, 0.1
        sink.beat(True)
        sink.send(accept(3))
        until(lambda: reader.read("Ready", "Decision") == [False, "none"])
    finally:
        sink._stale = sink._silent = 60.0


def test_who_connects_and_says_nothing_delays_nobody(sink: Opcua, reader: Reader) -> None:
    port = int(sink._where.split(":")[2].partition("/")[0])
    ends = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    for end, data in zip(ends, (b"", b"GET / HTTP/1.1\r\n\r\n", b"HELF\xff\xff\xff\x7f"), strict=True):
        end.sendall(data)
    for number in range(30):
        sink.send(reject(number))
    assert reader.read("Id") == [f"{RUN}-29"]
    for end in ends:
        end.close()


def certificate(folder: Path) -> None:
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography isn't installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key, now = rsa.generate_private_key(65537, 2048), datetime.datetime.now(datetime.timezone.utc)
    name, day = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a line")]), datetime.timedelta(1)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:edgead:line")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - day).not_valid_after(now + day).add_extension(names, False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def test_with_a_certificate_and_a_user_only_that_user_comes_in_encrypted(tmp_path: Path) -> None:
    certificate(tmp_path)
    cert, key, file = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "secret"))
    Path(file).write_text(SECRET + "\n")
    options = {"certificate": cert, "private_key": key, "user": "plc", "password_file": file}
    sink = Opcua(OpcuaOptions(listen=LISTEN, clients=1, **options))
    sink.open()
    assert SECRET not in sink.health().detail

    def connect(user: str, password: str, secure: bool) -> Client:
        client = Client(sink._where.removesuffix("/edgead"), timeout=5)
        if user:
            client.set_user(user)
            client.set_password(password)
        if secure:
            client.set_security_string(f"Basic256Sha256,SignAndEncrypt,{cert},{key}")
        try:
            client.connect()
        except BaseException:
            client.tloop.stop()
            raise
        return client

    for user, password, secure in (("plc", SECRET, False), ("plc", "no", True), ("", "", True)):
        with pytest.raises((ua.UaError, OSError, TimeoutError)):
            connect(user, password, secure)
        until(lambda: sink.health().counts["clients"] == 0)
    client = connect("plc", SECRET, True)
    with pytest.raises((ua.UaError, OSError, TimeoutError)):
        connect("plc", SECRET, True)
    client.disconnect()
    sink.close()


def test_where_it_cannot_listen_is_said_at_once(served: Opcua) -> None:
    port = served._where.split(":")[2].partition("/")[0]
    began = time.monotonic()
    with pytest.raises(OutputError, match="is another program there"):
        Opcua(OpcuaOptions(listen=f"127.0.0.1:{port}")).open()
    assert time.monotonic() - began < 10
    with pytest.raises(OutputError, match="isn't open"):
        Opcua(OpcuaOptions(listen=LISTEN)).send(accept(1))


@pytest.mark.parametrize(
    "options",
    [{"listen": "4840"}, {"certificate": "c"}, {"user": "u"}, {"password_env": "P"}, {"name": ""},
     {"listen": "0.0.0.0:4840", "user": "u", "password_env": "P"}],
)  # fmt: skip
def test_an_option_that_means_nothing_or_tells_a_password_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        OpcuaOptions(**options)


def test_it_listens_on_the_loopback_unless_told_otherwise() -> None:
    assert OpcuaOptions().listen.startswith("127.0.0.1:")
