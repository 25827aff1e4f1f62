"""Who is logged in, and how often somebody may try: all in memory, and all bounded."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgead.line.page.users import User, read_users

IDLE = 12 * 3600.0
"""Seconds without a request until a session ends; a page that is open asks all the time."""
MOST_SESSIONS = 200
"""At once; the one that was used longest ago gives its place to a new one."""
WINDOW = 300.0
"""Seconds for which a failed login counts."""
BY_ADDRESS, BY_USER = 20, 5
"""Failed logins in that time, after which no more are looked at."""
MOST_KNOWN = 2000
"""Addresses and names whose failures are remembered, each."""


@dataclass
class Session:
    """One login.

    Attributes:
        user: whose; the role is looked up at each request.
        password: the hash that was matched; another one ends the session.
        csrf: what every request that changes something has to say.
        used: when it was used last, monotonic seconds.
    """

    user: str
    password: str
    csrf: str
    used: float


class Sessions:
    """Who is logged in; a restart of the page ends all sessions.

    Args:
        file: the users.
        clock: seconds; for tests.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._users: dict[str, User] = {}
        self._seen: tuple[int, int] | None = None

    def users(self) -> dict[str, User]:
        """The users, read again where the file has changed.

        Raises:
            DatasetError: as ``read_users``.
        """
        try:
            status = self._file.stat()
            seen = status.st_mtime_ns, status.st_ino
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._users = read_users(self._file)
            self._seen = seen
        return self._users

    def begin(self, user: User) -> str:
        """Log somebody in; returns the cookie."""
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.popitem(last=False)
        token = secrets.token_urlsafe(32)
        self._sessions[_key(token)] = Session(
            user.name, user.password, secrets.token_urlsafe(24), self._clock()
        )
        return token

    def of(self, token: str | None) -> tuple[User, Session] | None:
        """Whose a cookie is; None where it's nobody's, any more.

        Raises:
            DatasetError: as ``read_users``.
        """
        session = self._sessions.get(_key(token)) if token else None
        if token is None or session is None:
            return None
        user = self.users().get(session.user)
        is_old = self._clock() - session.used > IDLE
        if user is None or is_old or not same(user.password, session.password):
            self.end(token)
            return None
        session.used = self._clock()
        self._sessions.move_to_end(_key(token))
        return user, session

    def end(self, token: str | None) -> None:
        """Log out."""
        if token:
            self._sessions.pop(_key(token), None)


class Attempts:
    """Failed logins, by what they have in common.

    Args:
        most: failures in ``WINDOW`` seconds after which there's a wait.
        clock: seconds; for tests.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, of: str) -> int:
        """Seconds until another try is looked at, or 0."""
        times = self._failed.get(of[:200])
        while times and self._clock() - times[0] > WINDOW:
            times.popleft()
        if not times or len(times) < self._most:
            return 0
        return max(1, round(WINDOW - (self._clock() - times[0])))

    def failed(self, of: str) -> None:
        """One more."""
        times = self._failed.setdefault(of[:200], deque(maxlen=self._most))
        times.append(self._clock())
        self._failed.move_to_end(of[:200])
        while len(self._failed) > MOST_KNOWN:
            self._failed.popitem(last=False)

    def forget(self, of: str) -> None:
        """A login that was right."""
        self._failed.pop(of[:200], None)


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that doesn't tell how nearly."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _key(token: str) -> bytes:
    """A session isn't found by how nearly its cookie was guessed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


__all__ = [
    "BY_ADDRESS",
    "BY_USER",
    "IDLE",
    "MOST_SESSIONS",
    "WINDOW",
    "Attempts",
    "Session",
    "Sessions",
    "same",
]
