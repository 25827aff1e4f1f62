"""What every request passes first: its host and origin, the size of its body, and what every answer says.

A request for another host's name comes from a page that had its name turned to this address; one that says
another origin comes from another page. Both are refused before anything is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 16 << 10
"""Bytes of a request's body: the longest is a form with a remark."""
BODY_SECONDS = 10.0
"""How long a body may take to come."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
}


class Guard:
    """Stands before the application.

    Args:
        app: gets the requests that pass.
        hosts: what a Host may be, lower case and without its port.
        is_secure: whether browsers come by HTTPS.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], is_secure: bool) -> None:
        self._app, self._hosts = app, frozenset(hosts)
        self._headers = dict(HEADERS)
        if is_secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP is closed."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1003})
            elif scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._with_headers(send)
        if (refusal := self._refusal(scope, headers)) is not None:
            await refusal(scope, receive, answer)
            return
        try:
            body = await asyncio.wait_for(_body(receive), BODY_SECONDS)
        except asyncio.TimeoutError:
            await _refused(408, "the request's body didn't come")(scope, receive, answer)
            return
        if body is None:
            await _refused(413, f"a request's body has {MOST_BODY} bytes at most")(scope, receive, answer)
            return
        await self._app(scope, _again(body, receive), answer)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return _refused(400, "this host's name isn't known here: add it to hosts in the line's [page]")
        origin = headers.get("origin")
        changes = scope["method"] not in ("GET", "HEAD")
        if changes and origin is not None and _place(origin) != hosts[0].lower():
            return _refused(403, "the request comes from another page")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > MOST_BODY:
            return _refused(413, f"a request's body has {MOST_BODY} bytes at most")
        return None

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return answer


def _refused(status: int, why: str) -> PlainTextResponse:
    # What is left of a body isn't read: the connection ends.
    return PlainTextResponse(f"{why}\n", status, {"Connection": "close"})


def _name(host: str) -> str:
    """A Host's name, lower case and without port and brackets; one that can't be split is empty."""
    try:
        return (urlsplit(f"//{host}").hostname or "") if "@" not in host else ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """An origin's host and port, lower case; one that can't be split is empty."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _body(receive: Receive) -> bytes | None:
    """All of it, or None where it's more than a request may have."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BODY:
            return None
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives the body, and then what else comes: that the browser has gone."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


__all__ = ["BODY_SECONDS", "HEADERS", "MOST_BODY", "Guard"]
