"""What a device demands before it uses a bundle: a signature by a key that it trusts, and that holds now.

It covers the bundle's manifest, and by it every file, *and* the newest revision of the thresholds and the
last lesson, since these change verdicts: a bundle that was revised or taught after it was signed is refused.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgead.errors import (
    ExpiredError,
    ForeignSignatureError,
    KeyFileError,
    OptionError,
    StatementError,
    TrustError,
    UnsignedChangeError,
    UnsignedError,
    WrongLineError,
)
from edgead.files import READ_NO_LINK
from edgead.names import shown
from edgead.trust.floors import Mark, check_floor, raise_floor
from edgead.trust.keys import PublicKey, read_public
from edgead.trust.statement import (
    MAX_SIGNATURE_BYTES,
    MAX_SIGNATURES,
    WHEN,
    SignedStatement,
    Statement,
    moment,
    name_of,
)

KEYS, LINE, STATE = "EDGEAD_TRUST", "EDGEAD_TRUST_LINE", "EDGEAD_TRUST_STATE"
"""Environment variables: keys' files or folders, the device's line, and the file of accepted numbers."""

CLOCKS_DIFFER = datetime.timedelta(days=1)
"""How much later than this device's clock a statement may have been signed, by the signer's."""

AnyPath: TypeAlias = "str | os.PathLike[str]"
AnyTrust: TypeAlias = "Trust | AnyPath | Iterable[AnyPath]"
"""A ``Trust``, or the files of public keys, or folders of them."""


@dataclass(frozen=True)
class Trust:
    """What a bundle's signature must be like.

    Args:
        keys: a public key's file, a folder of ``*.pub``, or several of these.
        line: the line that the bundle must have been signed for; None for any.
        state: a file that this device keeps the last accepted serial number of each line in; None forgets.

    Raises:
        KeyFileError: a key can't be read, or there is none.

    Attributes:
        public: the keys themselves.
    """

    keys: AnyPath | Iterable[AnyPath]
    line: str | None = None
    state: AnyPath | None = None
    public: tuple[PublicKey, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(_paths(self.keys)))
        object.__setattr__(self, "public", read_public(_paths(self.keys)))
        if self.line is not None and (not isinstance(self.line, str) or not self.line):
            raise OptionError("line must be a line's name, or None for any")
        object.__setattr__(self, "state", None if self.state is None else Path(self.state))

    @staticmethod
    def of(given: AnyTrust) -> Trust:
        """What a caller means; keys alone are taken with the device's own line and file of numbers."""
        if isinstance(given, Trust):
            return given
        return Trust(_paths(given), _variable(LINE), _variable(STATE))


def device_trust() -> Trust | None:
    """What this device demands by ``EDGEAD_TRUST``; None where neither that nor a line or file is set.

    Raises:
        KeyFileError: it names no key that can be read, or only the line or the file of numbers is named:
            then a signature was meant to be demanded.
    """
    if KEYS not in os.environ:
        if alone := [name for name in (LINE, STATE) if name in os.environ]:
            raise KeyFileError(
                f"{alone[0]} is set and {KEYS} isn't: name the trusted keys there, or unset {alone[0]}"
            )
        return None
    keys = [path for path in os.environ[KEYS].split(os.pathsep) if path]
    if not keys:
        raise KeyFileError(f"{KEYS} is set and names no key: name some, or unset it to demand no signature")
    try:
        return Trust(keys, _variable(LINE), _variable(STATE))
    except KeyFileError as error:
        raise KeyFileError(f"{KEYS}: {error}") from None


@dataclass(frozen=True)
class Subject:
    """What a signature has to be of.

    Attributes:
        path: the bundle.
        bundle: SHA-256 of its ``manifest.json``.
        revision, lessons: digests of the newest revision and the last lesson, empty where there's none.
        names: its signatures' paths in it.
    """

    path: Path
    bundle: str
    revision: str
    lessons: str
    names: Sequence[str]


@dataclass(frozen=True)
class Accepted:
    """A signature that was accepted.

    Attributes:
        statement: what it says.
        key: whose it is.
        trust: what was demanded.
    """

    statement: Statement
    key: PublicKey
    trust: Trust

    def remember(self) -> None:
        """Keep its number where the device keeps them; raises OutputError where that can't be written."""
        if self.trust.state is not None:
            raise_floor(Path(self.trust.state), Mark.of(self.statement))

    def __str__(self) -> str:
        return told(self.statement) + shown(f", key {self.key.id[:16]} ({self.key.path.name})")


def told(said: Statement) -> str:
    """A statement in a line."""
    line = f" for line {said.line}" if said.line else ""
    gates = f", passed {', '.join(said.gates)}" if said.gates else ""
    until = f", until {said.expires}" if said.expires else ""
    return shown(f"signed by {said.by} on {said.when}{line}, serial {said.serial}{gates}{until}")


def accept(
    subject: Subject, trust: Trust, now: datetime.datetime | None = None, replays: bool = False
) -> Accepted:
    """Return the signature that will do, the one with the highest number where several do.

    Args:
        now: the time by which statements expire; this machine's by default.
        replays: whether numbers under the last accepted one will do too.

    Raises:
        TrustError: none will do; the subclass says what the one that came nearest lacks.
    """
    try:
        return _accept(subject, trust, now or datetime.datetime.now(datetime.timezone.utc), replays)
    except TrustError as error:
        raise type(error)(f"{shown(subject.path)}: {error}") from None


def read_signatures(subject: Subject) -> list[SignedStatement]:
    """A bundle's signatures, none of them verified; raises StatementError for a damaged one."""
    if len(subject.names) > MAX_SIGNATURES:
        raise StatementError(f"{len(subject.names)} signatures, {MAX_SIGNATURES} are the most: remove some")
    return [_read(subject.path, name) for name in subject.names]


def _accept(subject: Subject, trust: Trust, now: datetime.datetime, replays: bool) -> Accepted:
    signed = read_signatures(subject)
    if not signed:
        raise UnsignedError("no signature, and one is demanded: `edgead sign BUNDLE --key FILE` makes one")
    keys = {key.id: key for key in trust.public}
    left = [each for each in signed if each.key in keys]
    if not left:
        raise ForeignSignatureError(
            f"signed by {_some(each.key[:16] for each in signed)}, and none of these keys is trusted here: "
            "have it signed with one of "
            f"{_some(f'{key.path.name} ({key.id[:16]})' for key in trust.public)}"
        )
    found = _kept([each.statement for each in left], lambda said: _check_bundle(said, subject))
    found = _newest(_kept(found, lambda said: _check_line(said, trust)))
    for each in left:  # of what doesn't count any more the signature doesn't matter
        if each.statement in found and not _verifies(each, keys[each.key]):
            raise StatementError(
                f"the signature of key {each.key[:16]} isn't of its statement, so one of them was changed: "
                "copy the bundle again"
            )
    found = _kept(found, lambda said: _check_changes(said, subject))
    found = _kept(found, lambda said: _check_time(said, now))
    if trust.state is not None and not replays:
        state = Path(trust.state)
        found = _kept(found, lambda said: check_floor(state, Mark.of(said)))
    best = max(found, key=lambda said: (said.serial, said.when))
    key = next(keys[each.key] for each in left if each.statement == best)
    return Accepted(best, key, trust)


def _verifies(signed: SignedStatement, key: PublicKey) -> bool:
    return key.verifies(bytes.fromhex(signed.signature), signed.statement.to_bytes())


def _newest(found: Sequence[Statement]) -> list[Statement]:
    """Those with their line's highest number: what was signed before the last change doesn't count."""
    highest = {line: max(s.serial for s in found if s.line == line) for line in {s.line for s in found}}
    return [said for said in found if said.serial == highest[said.line]]


def _kept(found: Sequence[Statement], check: Callable[[Statement], None]) -> list[Statement]:
    """The statements that pass a check; raises what the one with the highest number lacks where none does."""
    kept, faults = [], []
    for said in sorted(found, key=lambda said: (said.serial, said.when)):
        try:
            check(said)
            kept.append(said)
        except TrustError as error:
            faults.append(error)
    if not kept:
        raise faults[-1]
    return kept


def _check_bundle(said: Statement, subject: Subject) -> None:
    if said.bundle != subject.bundle:
        raise ForeignSignatureError(
            "signed for another bundle, or for this one before it was exported again: sign this one"
        )


def _check_changes(said: Statement, subject: Subject) -> None:
    revised, taught = said.revision != subject.revision, said.lessons != subject.lessons
    if revised or taught:
        what = " and ".join(
            what for holds, what in ((revised, "its thresholds"), (taught, "what it was taught")) if holds
        )
        raise UnsignedChangeError(
            f"{what} changed after it was signed, or part of that was taken away: look at `edgead inspect`, "
            "and sign it again, or copy the signed bundle again"
        )


def _check_line(said: Statement, trust: Trust) -> None:
    if trust.line is not None and said.line != trust.line:
        other = f"line {said.line!r}" if said.line else "no line by name"
        raise WrongLineError(f"signed for {other}, this is {trust.line!r}: have it signed for this one")


def _check_time(said: Statement, now: datetime.datetime) -> None:
    if said.expires is not None and now > moment(said.expires):
        raise ExpiredError(f"its signature expired on {said.expires}: have it signed again")
    if now + CLOCKS_DIFFER < moment(said.when):  # one of the two clocks is wrong
        raise ExpiredError(
            f"it's {now.strftime(WHEN)} by this device's clock, over a day before it was "
            f"signed ({said.when}), so that nobody can tell whether it has expired: set the clock, or "
            "have it signed again where that's right"
        )


def _read(path: Path, name: str) -> SignedStatement:
    try:
        with os.fdopen(os.open(path / name, READ_NO_LINK), "rb") as file:
            content = file.read(MAX_SIGNATURE_BYTES + 1)
        if len(content) > MAX_SIGNATURE_BYTES:
            raise StatementError(f"it's over the limit of {MAX_SIGNATURE_BYTES} bytes")
        signed = SignedStatement.from_bytes(content)
        if name_of(content) != name:
            raise StatementError("it was changed, for its name is made of its content")
    except OSError as error:
        raise StatementError(f"'{name}' can't be read ({error.strerror}): check the rights") from None
    except StatementError as error:
        raise StatementError(f"'{name}': {error}; copy the bundle again, or remove this signature") from None
    return signed


def _some(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _paths(given: AnyPath | Iterable[AnyPath]) -> list[Path]:
    try:
        found = [given] if isinstance(given, str | os.PathLike) else list(given)
        if any(not os.fspath(path) or "\0" in os.fspath(path) for path in found):
            raise KeyFileError("an empty text or one with a NUL is no key's path")
        return [Path(path) for path in found]
    except TypeError:
        raise OptionError(f"{type(given).__name__} is no trust: give public keys' files") from None


def _variable(name: str) -> str | None:
    """An environment variable's value; raises OptionError where it's set and empty."""
    value = os.environ.get(name)
    if value is not None and not value.strip():
        raise OptionError(f"{name} is set and empty: give it a value, or unset it")
    return value


__all__ = [
    "KEYS",
    "LINE",
    "STATE",
    "Accepted",
    "AnyTrust",
    "Subject",
    "Trust",
    "accept",
    "device_trust",
    "read_signatures",
    "told",
]
