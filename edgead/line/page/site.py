"""All that the page's answers are made of, and who may have them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection, Request

from edgead.line.page.clients import Clients
from edgead.line.page.drifting import Drifting
from edgead.line.page.history import History
from edgead.line.page.jobs import Jobs
from edgead.line.page.live import Live
from edgead.line.page.logins import BY_ADDRESS, BY_USER, Attempts, Session, Sessions, same
from edgead.line.page.news import News
from edgead.line.page.pictures import Pictures
from edgead.line.page.setup import CameraSetup, Setup
from edgead.line.page.users import Role, User

SECURE_COOKIE, COOKIE = "__Host-edgead", "edgead"


class Refusal(Exception):
    """An answer that is a refusal.

    Attributes:
        status: HTTP's.
        why: one sentence.
        wait: seconds after which it may be tried again, or None.
    """

    def __init__(self, status: int, why: str, wait: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.wait = status, why, wait


@dataclass
class Site:
    """What the page knows and has.

    Attributes:
        reload: asks the line to take up what was changed of a camera's bundle.
        keep: asks the line to keep a verdict's image, if it's held yet: camera, run, trigger.
        fault: has the line's log say what is wrong with the page itself.
        hashing: how many passwords are looked at together; each takes a core for a while.
        waiting: logins whose password isn't looked at yet.
    """

    setup: Setup
    news: News
    history: History
    live: Live
    pictures: Pictures
    drifting: Drifting
    jobs: Jobs
    sessions: Sessions
    clients: Clients
    reload: Callable[[str], bool]
    keep: Callable[[str, str, int], bool]
    fault: Callable[[str], object]
    by_address: Attempts = field(default_factory=lambda: Attempts(BY_ADDRESS))
    by_user: Attempts = field(default_factory=lambda: Attempts(BY_USER))
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    refused_logins: int = 0
    waiting: int = 0

    @property
    def cookie(self) -> str:
        """The session cookie's name."""
        return SECURE_COOKIE if self.setup.is_secure else COOKIE

    def known(self, request: HTTPConnection) -> tuple[User, Session] | None:
        """Who asks, if they're logged in."""
        return self.sessions.of(request.cookies.get(self.cookie))

    def who(self, request: HTTPConnection, role: Role = "viewer") -> User:
        """Who asks.

        Raises:
            Refusal: nobody who is logged in, or somebody who may not.
        """
        found = self.known(request)
        if found is None:
            raise Refusal(401, "log in first")
        if not found[0].may(role):
            raise Refusal(403, f"that takes the role {role}, and you have {found[0].role}")
        return found[0]

    async def changing(self, request: Request, role: Role) -> tuple[User, dict[str, Any]]:
        """Who asks for a change, and what for.

        Raises:
            Refusal: as ``who``; the token that every change has to say is missing; the body is no object.
        """
        user = self.who(request, role)
        found = self.known(request)
        if found is None or not same(request.headers.get("x-csrf-token", ""), found[1].csrf):
            raise Refusal(403, "the page's token is missing: load the page again")
        try:
            given = await request.json()
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise Refusal(400, "the request is no JSON object: load the page again")
        return user, given

    def camera(self, name: Any) -> CameraSetup:
        """A camera by name.

        Raises:
            Refusal: there's none.
        """
        camera = self.setup.cameras.get(name) if isinstance(name, str) else None
        if camera is None:
            raise Refusal(404, "this line has no such camera")
        return camera

    def address(self, request: HTTPConnection) -> str:
        """Where a request is from: by the proxy's word, where there is one."""
        direct = request.client.host if request.client is not None else ""
        if not self.setup.behind_tls_proxy:
            return direct
        told = request.headers.getlist("x-forwarded-for")  # the last one's last is the proxy's own word
        return told[-1].rpartition(",")[2].strip()[:64] if told else direct


def text_of(given: dict[str, Any], name: str, most: int = 500) -> str:
    """A text of a request, without what can't be seen.

    Raises:
        Refusal: it's none, or too long.
    """
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refusal(400, f"{name} must be a text of {most} characters at most")
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def number_of(given: dict[str, Any], name: str) -> int:
    """A whole number of a request.

    Raises:
        Refusal: it's none.
    """
    value = given.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Refusal(400, f"{name} must be a whole number")
    return value


__all__ = ["Refusal", "Site", "number_of", "text_of"]
