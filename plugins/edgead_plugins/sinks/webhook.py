"""A web server as a line's sink: a POST of JSON for each verdict, for information alone."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from edgead.errors import OptionError, OutputError, one_line
from edgead.line.records import record_of
from edgead.names import json_text
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict


@dataclass(frozen=True)
class WebhookOptions:
    """Where to, and how long it may take."""

    url: str = "http://127.0.0.1:8000/"
    """http:// or https:// and what follows; over https the server's certificate is checked."""
    seconds: Annotated[float, Range(0.01, 60)] = 0.8
    """How long connecting may take, and each wait for the server."""

    def __post_init__(self) -> None:
        check_options(self)
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or parts.username is not None or not self.url.isascii() or not self.url.isprintable():
            raise OptionError(
                f"option 'url' takes http://HOST:PORT/PATH or https://..., not '{self.url[:60]}'"
            )


class Webhook:
    """A web server. Each verdict is asked once; any answer but 2xx is a miss, and none is sent again."""

    Options: ClassVar[type] = WebhookOptions
    roles: ClassVar[tuple[Role, ...]] = ("inform",)

    def __init__(self, options: WebhookOptions | None = None) -> None:
        self.options = options or WebhookOptions()
        self._is_open = False
        self._connection: http.client.HTTPConnection | None = None
        self._counts = {"sent": 0, "failed": 0}
        self._why = ""

    def open(self) -> None:
        """Nothing is asked of the server before there's a verdict."""
        self._is_open = True

    def send(self, verdict: Verdict) -> None:
        """Post a verdict; a connection that the server has closed meanwhile is made anew."""
        if not self._is_open:
            raise OutputError(f"{self.options.url}: isn't open; open it first")
        body = json_text(record_of(verdict)).encode()
        kept = self._connection is not None
        try:
            try:
                self._post(body)
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                self._drop()
                if not kept:
                    raise
                self._post(body)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            self._counts["failed"] += 1
            self._why = one_line(error)
            raise OutputError(f"{self.options.url}: {self._why}; is the server there?") from error
        self._counts["sent"] += 1
        self._why = ""

    def beat(self, ready: bool) -> None:
        """A web server has no level."""

    def health(self) -> Health:
        """Posts, and whether the last one went well."""
        untried = (
            ""
            if any(self._counts.values())
            else f"whether {self.options.url} answers shows the first verdict"
        )
        return Health(self._is_open and not self._why, self._why or untried, dict(self._counts))

    def close(self) -> None:
        """Close the connection."""
        self._is_open = False
        self._drop()

    def _post(self, body: bytes) -> None:
        parts = urlsplit(self.options.url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(str(parts.hostname), parts.port, timeout=self.options.seconds)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("POST", target, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read(1 << 16)
        if not answer.isclosed():  # a longer answer than anybody needs: not read to its end
            self._drop()
        if not 200 <= answer.status < 300:
            raise http.client.HTTPException(f"the server answered {answer.status}")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


__all__ = ["Webhook", "WebhookOptions"]
