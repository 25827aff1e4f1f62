"""Who may log in to the page: a TOML file of names, roles and hashed passwords.

``edgead line users`` writes it. Passwords are hashed by scrypt, with 16 MiB and 0.2 s or so; PBKDF2 is read
too, and written where a Python has no scrypt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edgead.errors import DatasetError, OptionError, OutputError, UnknownNameError, cut
from edgead.extras import explained
from edgead.files import exists, read_plain, write_file
from edgead.names import shown
from edgead.notices import Notice
from edgead.private import why_not

Role = Literal["viewer", "operator", "engineer"]
"""What somebody may do: each has all that those before it have."""
ROLES: tuple[Role, ...] = get_args(Role)
FIRST = "engineer"
"""The name of the first user."""
MOST_USERS = 200
MOST_BYTES = 1 << 17
SHORTEST, LONGEST = 10, 200
"""Characters of a password."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_SCRYPT = (1 << 14, 8, 5)
"""n, r and p: 16 MiB."""
_ROUNDS = 600_000
_MOST_MEMORY = 1 << 28
_MOST_ROUNDS = 5_000_000


@dataclass(frozen=True)
class User:
    """One who may log in.

    Attributes:
        name: letters, digits, dots, ``-`` and ``_``.
        role: what they may do.
        password: hashed, as ``hashed`` makes it.
    """

    name: str
    role: Role
    password: str

    def may(self, role: Role) -> bool:
        """Whether they have this role or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


def read_users(file: Path) -> dict[str, User]:
    """Read the file; by name.

    Raises:
        DatasetError: it can't be read or believed, isn't TOML, or an entry isn't a user.
    """
    try:
        content = read_plain(file, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
        raise DatasetError(
            f"{shown(file)}: users can't be read ({reason}); `edgead line users add` makes the file"
        ) from None
    if (problem := why_not(file)) is not None:
        raise DatasetError(f"{shown(file)}: users can't be believed: {cut(problem, 300)}")
    found: dict[str, User] = {}
    entries = _parsed(content, file).get("user", [])
    if not isinstance(entries, list) or len(entries) > MOST_USERS:
        raise DatasetError(f"{shown(file)}: user must be tables [[user]], {MOST_USERS} at most")
    for number, entry in enumerate(entries, 1):
        user = _user(entry, f"{shown(file)}: [[user]] {number}")
        if user.name in found:
            raise DatasetError(f"{shown(file)}: two users are called {user.name}: keep one")
        found[user.name] = user
    return found


def write_users(file: Path, users: Mapping[str, User]) -> None:
    """Write the file whole or not at all, for its owner's eyes alone.

    Raises:
        OutputError: it can't be written.
    """
    text = "# Who may log in to the line's page; `edgead line users` changes it. Passwords are hashed.\n"
    for user in sorted(users.values(), key=lambda user: user.name):
        text += f'\n[[user]]\nname = "{user.name}"\nrole = "{user.role}"\npassword = "{user.password}"\n'
    write_file(file, text.encode(), 0o600)


def add_user(file: Path, name: str, role: str, password: str) -> bool:
    """Add a user, or give one a new role and password.

    Returns:
        Whether they are new.

    Raises:
        OptionError, UnknownNameError: name, role or password can't be used.
        DatasetError, OutputError: as ``read_users`` and ``write_users``.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"user '{cut(name, 60)}' can't be used: letters, digits, dots, - and _, 40 at most")
    if role not in ROLES:
        raise UnknownNameError("role", role, ROLES)
    if not SHORTEST <= len(password) <= LONGEST:
        raise OptionError(f"a password has {SHORTEST} to {LONGEST} characters: choose another")
    users = read_users(file) if exists(file) else {}
    if len(users) >= MOST_USERS and name not in users:
        raise OptionError(f"{shown(file)}: {MOST_USERS} users are enough: remove one first")
    is_new = name not in users
    if not is_new and role != "engineer":
        _keep_an_engineer(file, users, name)
    write_users(file, {**users, name: User(name, role, hashed(password))})
    return is_new


def remove_user(file: Path, name: str) -> None:
    """Remove a user; who is logged in is out at once.

    Raises:
        UnknownNameError: there's none of this name.
        OptionError: it's the last engineer.
        DatasetError, OutputError: as ``read_users`` and ``write_users``.
    """
    users = read_users(file)
    if name not in users:
        raise UnknownNameError(f"user of {shown(file)}", name, tuple(users))
    _keep_an_engineer(file, users, name)
    write_users(file, {other: user for other, user in users.items() if other != name})


def first_user(file: Path) -> str | None:
    """Make the file, with one engineer, where there's none.

    Returns:
        The engineer's password, which stands nowhere else; None where the file is there.

    Raises:
        OutputError: it can't be written.
    """
    if exists(file):
        return None
    password = secrets.token_urlsafe(12)
    add_user(file, FIRST, "engineer", password)
    return password


def first_notice(file: Path) -> Notice | None:
    """Make the file where there's none, and say the password: in no record, so not as what a line says.

    Where it can't be made, the page says by itself that it has no users, and parts are judged all the same.
    """
    try:
        password = first_user(file)
    except OutputError:
        return None
    if password is None:
        return None
    values = {"file": shown(file), "user": FIRST, "password": password}
    return Notice("line-page-first-password", values)


def hashed(password: str) -> str:
    """A password's hash, with all that it takes to compare another one with it."""
    salt = os.urandom(16)
    if hasattr(hashlib, "scrypt"):
        n, r, p = _SCRYPT
        made = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
        return f"scrypt${n}${r}${p}${_text(salt)}${_text(made)}"
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    return f"pbkdf2${_ROUNDS}${_text(salt)}${_text(made)}"


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one of a hash, in a time that doesn't tell how nearly."""
    kind, *numbers, salt, wanted = kept.split("$")
    data = password[: LONGEST + 1].encode("utf-8", "surrogatepass")
    if kind == "scrypt":
        n, r, p = map(int, numbers)
        made = hashlib.scrypt(data, salt=_bytes(salt), n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
    else:
        made = hashlib.pbkdf2_hmac("sha256", data, _bytes(salt), int(numbers[0]))
    return hmac.compare_digest(made, _bytes(wanted))


NOBODY = "scrypt$16384$8$5$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "="
"""What the password of somebody who isn't there is compared with, so that it takes as long."""


# ---------------------------------------------------------------- how


def _parsed(content: str, file: Path) -> dict[str, Any]:
    with explained("a users file"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    try:
        return tomllib.loads(content)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else cut(str(error))
        raise DatasetError(f"{shown(file)}: not TOML: {why}; mend it, or write it anew") from None


def _user(entry: Any, where: str) -> User:
    keys = {"name", "role", "password"}
    if (
        not isinstance(entry, dict)
        or set(entry) != keys
        or not all(isinstance(v, str) for v in entry.values())
    ):
        raise DatasetError(f"{where}: a user has name, role and password, each a text; mend it")
    if not _NAME.fullmatch(entry["name"]) or entry["role"] not in ROLES:
        raise DatasetError(f"{where}: name or role can't be used; roles are {', '.join(ROLES)}")
    if not _is_hash(entry["password"]):
        raise DatasetError(
            f"{where}: password isn't a hash that can be used; `edgead line users add` makes one"
        )
    return User(**entry)


def _is_hash(text: str) -> bool:
    """Whether it's one, of a size that a login can bear."""
    kind, *rest = text.split("$")
    try:
        numbers, salt, made = [int(number) for number in rest[:-2]], _bytes(rest[-2]), _bytes(rest[-1])
    except (ValueError, IndexError):
        return False
    if len(salt) < 8 or len(made) != 32:
        return False
    if kind == "pbkdf2" and len(numbers) == 1:
        return 100_000 <= numbers[0] <= _MOST_ROUNDS
    if kind != "scrypt" or len(numbers) != 3:
        return False
    n, r, p = numbers
    return n.bit_count() == 1 and n > 1 and r >= 1 and 1 <= p <= 16 and 1 << 22 <= 128 * n * r <= 1 << 27


def _keep_an_engineer(file: Path, users: Mapping[str, User], name: str) -> None:
    if users[name].role == "engineer" and sum(user.role == "engineer" for user in users.values()) == 1:
        raise OptionError(f"{shown(file)}: {name} is the last engineer: add another one first")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


__all__ = [
    "FIRST",
    "NOBODY",
    "ROLES",
    "Role",
    "User",
    "add_user",
    "first_notice",
    "first_user",
    "hashed",
    "matches",
    "read_users",
    "remove_user",
    "write_users",
]
