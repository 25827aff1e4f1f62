"""An MQTT broker as a line's sink, for information alone: live verdicts, whether the line is there, its beat.

Nothing waits for a broker that isn't there: a connection that is lost is never taken up again, and the next
one knows nothing of what was before. A broker that hangs is noticed by the beat, which it has to acknowledge.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

from edgead.errors import OptionError, OutputError, one_line
from edgead.extras import explained
from edgead.line.records import record_of
from edgead.names import json_text
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict
from edgead_plugins.sinks.secrets import LOOPBACK, check_secret, secret

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

MOST_UNSENT = 16
"""Verdicts that may wait for the socket to take them."""
KEEPALIVE = 10
"""Seconds after which the broker takes a silent client to be gone, and a half more."""


@dataclass(frozen=True)
class MqttOptions:
    """Which broker, and who says so."""

    url: str = "mqtt://127.0.0.1:1883/edgead"
    """mqtt:// or mqtts://, HOST:PORT, and where the topics begin. mqtts checks the broker's certificate."""
    ca_file: str = ""
    """Certificates of who may sign the broker's; the system's if empty."""
    user: str = ""
    """Its name there."""
    password_file: str = ""
    """A file with the password in its first line."""
    password_env: str = ""
    """Or an environment variable that holds it."""
    in_the_clear: bool = False
    """Whether a password may go to another machine over mqtt://, where everybody on the way reads it."""
    seconds: Annotated[float, Range(0.05, 60)] = 2.0
    """How long connecting may take."""
    beat_seconds: Annotated[float, Range(0.05, 3600)] = 1.0
    """How often the beat is published; also with every change of readiness."""
    silent_seconds: Annotated[float, Range(0.05, 3600)] = 2.0
    """A broker that doesn't acknowledge the beat for so long is taken to hang, and is left."""

    def __post_init__(self) -> None:
        check_options(self)
        parts = self.parts()
        safe = parts.scheme == "mqtts" or parts.hostname in LOOPBACK or self.in_the_clear
        check_secret(self.user, self.password_file, self.password_env, safe, "use mqtts://")
        if self.ca_file and parts.scheme == "mqtt":
            raise OptionError("option 'ca_file' is for mqtts://: change 'url', or leave it out")

    def parts(self) -> SplitResult:
        """The address.

        Raises:
            OptionError: it's none.
        """
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or parts.username is not None or set("?#") & set(self.url):
            raise OptionError(
                f"option 'url' takes mqtt://HOST:PORT/TOPIC or mqtts://..., not '{self.url[:60]}'"
            )
        topic = unquote(parts.path).strip("/")
        if not topic or not topic.isprintable() or set("+#$") & set(topic) or len(topic) > 200:
            raise OptionError(
                f"option 'url' takes a topic after the host, without +, # and $: '{self.url[:60]}'"
            )
        return parts


class Mqtt:
    """The broker's client. Topics are under the address's: verdict, available, and beat."""

    Options: ClassVar[type] = MqttOptions
    roles: ClassVar[tuple[Role, ...]] = ("inform",)

    def __init__(self, options: MqttOptions | None = None) -> None:
        self.options = own = options or MqttOptions()
        parts = own.parts()
        self._tls = parts.scheme == "mqtts"
        self._host, self._port = str(parts.hostname), parts.port or (8883 if self._tls else 1883)
        self._topic = unquote(parts.path).strip("/")
        self._where = f"{parts.scheme}://{self._host}:{self._port}/{self._topic}"
        self._client: Client | None = None
        self._counts: Counter[str] = Counter(sent=0, dropped=0)
        self._lost = threading.Event()
        self._unsent: deque[MQTTMessageInfo] = deque()
        self._beat_sent: MQTTMessageInfo | None = None
        self._beaten, self._ready, self._beats = 0.0, False, 0

    def open(self) -> None:
        """Connect, and say that the line is there.

        Raises:
            OutputError: nobody answers, or not as a broker should, or it refuses this client.
        """
        self.close()
        with explained("the sink mqtt"):
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        client = Client(CallbackAPIVersion.VERSION2, clean_session=True, reconnect_on_failure=False)
        client.connect_timeout = self.options.seconds
        answered, codes, lost = threading.Event(), list[Any](), threading.Event()

        def connected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            codes.append(code)
            answered.set()

        def gone(*_: Any) -> None:
            lost.set()
            answered.set()

        client.on_connect, client.on_disconnect = connected, gone
        client.will_set(f"{self._topic}/available", "offline", qos=1, retain=True)
        try:
            if self.options.user:
                own = self.options
                client.username_pw_set(own.user, secret(own.password_file, own.password_env))
            if self._tls:
                client.tls_set(ca_certs=self.options.ca_file or None)
            client.connect(self._host, self._port, KEEPALIVE)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self._where}: can't be reached ({one_line(error, 'message')}); is the broker "
                "there, and its certificate right?"
            ) from error
        client.loop_start()
        if not answered.wait(self.options.seconds) or not codes or codes[0].is_failure:
            why = f"it refuses this client ({codes[0]})" if codes else "no broker answers"
            _end(client)
            raise OutputError(f"{self._where}: {why}; check user, password and what listens there")
        self._client, self._lost = client, lost
        self._unsent.clear()
        self._beat_sent, self._beaten = None, 0.0
        client.publish(f"{self._topic}/available", "online", qos=1, retain=True)

    def send(self, verdict: Verdict) -> None:
        """Publish a verdict, once and now, or not at all."""
        try:
            client = self._connected()
        except OutputError:
            self._counts["dropped"] += 1
            raise
        while self._unsent and self._unsent[0].is_published():
            self._unsent.popleft()
        if len(self._unsent) >= MOST_UNSENT:
            self._counts["dropped"] += 1
            raise OutputError(
                f"{self._where}: the broker takes nothing more; what it misses isn't sent later"
            )
        utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        info = client.publish(f"{self._topic}/verdict", json_text({"utc": utc, **record_of(verdict)}), qos=0)
        if info.rc != 0:
            self._counts["dropped"] += 1
            raise OutputError(f"{self._where}: the connection is lost; what is missed isn't sent later")
        self._unsent.append(info)
        self._counts["sent"] += 1

    def beat(self, ready: bool) -> None:
        """Publish the beat now and then, and see whether the broker takes it."""
        client, now = self._connected(), time.monotonic()
        waiting = self._beat_sent is not None and not self._beat_sent.is_published()
        if waiting and now - self._beaten > self.options.silent_seconds:
            raise OutputError(
                f"{self._where}: the broker hasn't acknowledged a beat; it's left, and tried again"
            )
        if waiting or (ready == self._ready and now - self._beaten < self.options.beat_seconds):
            return
        self._ready, self._beaten, self._beats = ready, now, self._beats + 1
        utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        payload = json.dumps({"utc": utc, "beat": self._beats, "ready": ready})
        self._beat_sent = client.publish(f"{self._topic}/beat", payload, qos=1)

    def health(self) -> Health:
        """Verdicts that were sent, and those that were dropped."""
        up = self._client is not None and not self._lost.is_set()
        return Health(up, f"publishes at {self._where}" if up else "not connected", dict(self._counts))

    def close(self) -> None:
        """Say that the line isn't there any more, as far as the broker still takes it, and go."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.publish(f"{self._topic}/available", "offline", qos=0, retain=True)
            _end(client)

    def _connected(self) -> Client:
        if self._client is None or self._lost.is_set():
            raise OutputError(f"{self._where}: isn't connected; open it first")
        return self._client


def _end(client: Client) -> None:
    """Go, in bounded time whatever the broker does."""
    with contextlib.suppress(Exception):
        client.disconnect()
    ending = threading.Thread(target=client.loop_stop, daemon=True)
    ending.start()
    ending.join(0.5)
    if ending.is_alive() and (end := client.socket()) is not None:
        with contextlib.suppress(OSError):
            end.close()


__all__ = ["Mqtt", "MqttOptions"]
