"""What is signed: a statement about a bundle, and the file that holds it with its signature.

A statement names a bundle by the SHA-256 of its manifest, which lists the hash of every file, and what holds
beside it: the newest revision of the thresholds and the last lesson, each of which has the hash of those
before. The bundle's own files stay as they are, so that promoting a bundle is one more file.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from edgead.errors import ManifestError, StatementError
from edgead.manifest.strict import UNNAMED, load, plain, read
from edgead.names import shown

FOLDER = "signatures"
MAX_SIGNATURES = 32
"""Signatures that a bundle may have."""
MAX_SIGNATURE_BYTES = 64 << 10
MAX_SERIAL = 1 << 53
LONGEST, MOST_GATES = 200, 64
"""Characters of a text, and number of gates."""
WHEN = "%Y-%m-%dT%H:%M:%SZ"

_DOMAIN = b"edgead statement, format 1\n"
"""Comes before the statement in what is signed, so that a signature of anything else is none of one."""
_NAME = re.compile(rf"{FOLDER}/[0-9a-f]{{32}}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Statement:
    """What somebody says of a bundle, by a signature.

    Attributes:
        bundle: SHA-256 of the bundle's ``manifest.json``, lower-case hex.
        revision: ``digest`` of the newest revision of the thresholds; empty for those as exported.
        lessons: ``digest`` of the last lesson that it was taught; empty where it was taught nothing.
        serial: 0 to 2^53; counts up for each line. A device refuses one under the last that it accepted.
        line: the line, camera or product that it's for; empty where nobody says.
        by: who signs.
        when: by that machine's clock, UTC: ``2026-11-30T08:15:00Z``.
        expires: UTC, or None.
        gates: what the bundle has passed, in the signer's words.
        format: 1.
    """

    bundle: str
    revision: str
    lessons: str
    serial: int
    line: str
    by: str
    when: str
    expires: str | None
    gates: tuple[str, ...]
    format: int = 1

    def to_bytes(self) -> bytes:
        """What is signed: canonical JSON after a line that says what it is."""
        return _DOMAIN + _json(plain(self), separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of what is signed, lower-case hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True)
class SignedStatement:
    """A file in ``signatures/``.

    Attributes:
        statement: what is said.
        key: SHA-256 of the raw public key, lower-case hex.
        signature: Ed25519 of ``Statement.to_bytes``, lower-case hex.
    """

    statement: Statement
    key: str
    signature: str

    def to_bytes(self) -> bytes:
        """The file: JSON, sorted and indented; raises StatementError where ``from_bytes`` would refuse it."""
        content = _json(plain(self), indent=1) + b"\n"
        SignedStatement.from_bytes(content)
        return content

    @staticmethod
    def from_bytes(content: bytes) -> SignedStatement:
        """Read a file's content; nothing is verified yet.

        Raises:
            StatementError: it isn't as ``to_bytes`` writes it.
        """
        try:
            signed: SignedStatement = read(SignedStatement, load(content, UNNAMED), UNNAMED)
        except ManifestError as error:
            raise StatementError(str(error)) from None
        _check(signed)
        if _json(plain(signed), indent=1) + b"\n" != content:
            raise StatementError("it isn't written as edgead writes it")
        return signed


def is_signature(name: str) -> bool:
    """Whether a path in a bundle is that of a signature."""
    return _NAME.fullmatch(name) is not None


def name_of(content: bytes) -> str:
    """A signature's path in the bundle, made of its content."""
    return f"{FOLDER}/{hashlib.sha256(content).hexdigest()[:32]}.json"


def moment(text: str) -> datetime.datetime:
    """A time as statements have it; raises ValueError for any other text."""
    if not _WHEN.fullmatch(text):
        raise ValueError(text)
    return datetime.datetime.strptime(text, WHEN).replace(tzinfo=datetime.timezone.utc)


def _check(signed: SignedStatement) -> None:
    said = signed.statement
    texts = {"line": said.line, "by": said.by, **{f"gates[{i}]": gate for i, gate in enumerate(said.gates)}}
    checks = [
        ("format", said.format == 1, "1"),
        ("bundle", _SHA256.fullmatch(said.bundle) is not None, "64 lower-case hex digits"),
        ("revision", _is_digest(said.revision), "64 lower-case hex digits, or empty"),
        ("lessons", _is_digest(said.lessons), "64 lower-case hex digits, or empty"),
        ("serial", 0 <= said.serial <= MAX_SERIAL, f"0 to {MAX_SERIAL}"),
        ("by", bool(said.by), "a name"),
        ("when", _is_moment(said.when), "a time such as 2026-11-30T08:15:00Z"),
        ("expires", said.expires is None or _is_moment(said.expires), "a time, or null"),
        ("gates", len(said.gates) <= MOST_GATES, f"{MOST_GATES} at most"),
        *((name, len(text) <= LONGEST and shown(text) == text, f"a line of up to {LONGEST} plain characters")
          for name, text in texts.items()),
        ("key", _SHA256.fullmatch(signed.key) is not None, "64 lower-case hex digits"),
        ("signature", _SIGNATURE.fullmatch(signed.signature) is not None, "128 lower-case hex digits"),
    ]  # fmt: skip
    for name, holds, wanted in checks:
        if not holds:
            raise StatementError(f"field {name!r} is out of range: it must be {wanted}")


def _is_digest(text: str) -> bool:
    return not text or _SHA256.fullmatch(text) is not None


def _is_moment(text: str) -> bool:
    try:
        moment(text)
    except ValueError:
        return False
    return True


def _json(value: Any, **how: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, **how).encode()
    except ValueError as error:  # half a character
        raise StatementError(f"it can't be written as JSON ({error}); give plain text") from None


__all__ = [
    "FOLDER",
    "LONGEST",
    "MAX_SERIAL",
    "MAX_SIGNATURES",
    "MAX_SIGNATURE_BYTES",
    "WHEN",
    "SignedStatement",
    "Statement",
    "is_signature",
    "moment",
    "name_of",
]
