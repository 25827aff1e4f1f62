"""The MQTT sink with mosquitto as its broker, on the loopback address."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgead.errors import OptionError, OutputError
from edgead.line.records import record_of
from edgead.testing import checks
from edgead_plugins.sinks.mqtt import Mqtt, MqttOptions
from tests.plugins.sink_support import accept, until

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt isn't installed")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto isn't installed")
SECRET = "correct horse"


class Broker:
    """A mosquitto."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as made:
            made.bind(("127.0.0.1", 0))
            self.port = made.getsockname()[1]
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join([f"listener {self.port} 127.0.0.1", "user root", *lines]) + "\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._file)], stderr=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as end:
            return end.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def url(self, scheme: str = "mqtt", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/plant/L1"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("mosquitto"), "allow_anonymous true")
    yield made
    made.kill()


class Reader:
    """Somebody who listens."""

    def __init__(self, broker: Broker) -> None:
        self.got: list[tuple[str, Any, bool]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.reconnect_delay_set(0.05, 0.1)
        self.subscriptions = 0
        self.client.on_connect = lambda client, *_: client.subscribe("plant/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed()
        self.client.on_message = lambda _c, _d, m: self.got.append((m.topic, m.payload, m.retain))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        until(lambda: self.subscriptions)

    def _subscribed(self) -> None:
        self.subscriptions += 1

    def of(self, name: str) -> list[Any]:
        found = [payload for topic, payload, _ in self.got if topic == f"plant/L1/{name}"]
        return [payload.decode() if name == "available" else json.loads(payload) for payload in found]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def reader(broker: Broker) -> Iterator[Reader]:
    made = Reader(broker)
    yield made
    made.close()


@pytest.fixture
def sink(broker: Broker, reader: Reader) -> Iterator[Mqtt]:
    made = Mqtt(MqttOptions(url=broker.url(), beat_seconds=0.05, silent_seconds=0.3))
    made.open()
    yield made
    made.close()


def test_it_conforms(broker: Broker) -> None:
    for check in checks("mqtt", options={"mqtt": [f"url={broker.url()}"]}):
        check()


def test_verdicts_are_live_and_its_standing_is_kept(sink: Mqtt, reader: Reader, broker: Broker) -> None:
    verdict = accept(1, "ü")
    sink.send(verdict)
    (got,) = until(lambda: reader.of("verdict"))
    assert got.pop("utc").endswith("+00:00") and got == json.loads(json.dumps(record_of(verdict)))
    sink.beat(True)
    assert until(lambda: reader.of("beat"))[-1]["ready"] is True
    late = Reader(broker)
    assert (
        until(lambda: late.of("available")) == ["online"] and not late.of("verdict") and not late.of("beat")
    )
    sink.close()
    until(lambda: late.of("available")[-1] == "offline")
    late.close()


def test_the_broker_says_that_it_is_gone_where_it_cannot(sink: Mqtt, reader: Reader) -> None:
    until(lambda: reader.of("available")[-1:] == ["online"])
    end = sink._client.socket()  # type: ignore[union-attr]
    end.shutdown(socket.SHUT_RDWR)
    until(lambda: reader.of("available")[-1] == "offline")
    until(lambda: not sink.health().ok)


def test_nothing_of_while_the_broker_was_away_is_ever_delivered(tmp_path: Path) -> None:
    broker = Broker(tmp_path, "allow_anonymous true")
    reader = Reader(broker)
    sink = Mqtt(MqttOptions(url=broker.url()))
    sink.open()
    sink.send(accept(1))
    until(lambda: reader.of("verdict"))
    broker.kill()
    until(lambda: not sink.health().ok)
    for number in range(2, 202):
        with pytest.raises(OutputError, match="isn't connected"):
            sink.send(accept(number))
    with pytest.raises(OutputError, match="can't be reached"):
        sink.open()
    before = reader.subscriptions
    broker.start()
    until(lambda: reader.subscriptions > before)
    sink.open()
    sink.send(accept(202))
    until(lambda: [each["trigger"] for each in reader.of("verdict")] == [1, 202])
    assert sink.health().counts == {"sent": 2, "dropped": 200}
    sink.close()
    reader.close()
    broker.kill()


def test_a_broker_that_hangs_is_left(broker: Broker, sink: Mqtt) -> None:
    sink.beat(True)
    os.kill(broker.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutputError, match="hasn't acknowledged a beat"):
            for _ in range(500):
                sink.beat(True)
                time.sleep(0.02)
        sink.close()
        with pytest.raises(OutputError, match=r"no broker answers|can't be reached"):
            Mqtt(MqttOptions(url=broker.url(), seconds=0.2)).open()
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)


def test_a_password_is_shown_to_the_broker_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = shutil.which("mosquitto_passwd")
    if maker is None:
        pytest.skip("mosquitto_passwd isn't installed")
    users, secret = tmp_path / "users", tmp_path / "secret"
    subprocess.run([maker, "-b", "-c", str(users), "line", SECRET], check=True)
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {users}")
    secret.write_text(f"{SECRET}\n")
    monkeypatch.setenv("LINE_SECRET", SECRET)
    for how in ({"password_file": str(secret)}, {"password_env": "LINE_SECRET"}):
        sink = Mqtt(MqttOptions(url=broker.url(), user="line", **how))
        sink.open()
        assert SECRET not in sink.health().detail
        sink.close()
    monkeypatch.setenv("LINE_SECRET", f"not {SECRET}")
    with pytest.raises(OutputError, match="refuses this client") as told:
        Mqtt(MqttOptions(url=broker.url(), user="line", password_env="LINE_SECRET")).open()
    assert SECRET not in str(told.value)
    for how, why in (({"password_env": "NOT_SET"}, "isn't set"), ({"password_file": "none"}, "No such file")):
        with pytest.raises(OutputError, match=why):
            Mqtt(MqttOptions(url=broker.url(), user="line", **how)).open()
    broker.kill()


def certificate(folder: Path) -> None:
    """One of its own for 127.0.0.1."""
    import ipaddress

    x509 = pytest.importorskip("cryptography.x509", reason="cryptography isn't installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    address, day = ipaddress.ip_address("127.0.0.1"), datetime.timedelta(1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a broker")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def test_the_brokers_certificate_is_checked(tmp_path: Path) -> None:
    certificate(tmp_path)
    ca = str(tmp_path / "ca.pem")
    broker = Broker(tmp_path, "allow_anonymous true", f"certfile {ca}", f"keyfile {tmp_path / 'key.pem'}")
    sink = Mqtt(MqttOptions(url=broker.url("mqtts"), ca_file=ca))
    sink.open()
    sink.send(accept(1))
    sink.close()
    for options, why in (
        ({}, "certificate verify failed"),
        ({"ca_file": ca, "host": "localhost"}, "certificate verify failed|mismatch"),
        ({"ca_file": "none.pem"}, "No such file"),
    ):
        url = broker.url("mqtts", options.pop("host", "127.0.0.1"))
        with pytest.raises(OutputError, match=why):
            Mqtt(MqttOptions(url=url, **options)).open()
    with pytest.raises(OutputError):
        Mqtt(MqttOptions(url=broker.url("mqtt"), seconds=0.5)).open()
    broker.kill()


@pytest.mark.parametrize(
    "options",
    [{"url": "http://h/t"}, {"url": "mqtt://h"}, {"url": "mqtt:///t"}, {"url": "mqtt://h/a/#"}, {"url": "mqtt://h:x/t"},
     {"url": "mqtt://u:p@h/t"}, {"url": "mqtt://h/t", "ca_file": "c"}, {"password_env": "P"},
     {"user": "u", "password_env": "P", "password_file": "f"},
     {"url": "mqtt://10.0.0.1/t", "user": "u", "password_env": "P"}],
)  # fmt: skip
def test_an_option_that_means_nothing_or_tells_a_password_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        MqttOptions(**options)
