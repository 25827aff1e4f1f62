"""Signing a bundle: one more file in its folder ``signatures/``; its own files stay as they are."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.adding import add_file, growing_folder
from edgead.bundle.loaded import Bundle
from edgead.bundle.reading import read_bundle, subject_of
from edgead.bundle.revising import login_name
from edgead.errors import InputError, OptionError, StatementError
from edgead.names import shown
from edgead.notices import Notice
from edgead.trust.demand import Subject, read_signatures
from edgead.trust.keys import read_private, sign
from edgead.trust.statement import (
    FOLDER,
    LONGEST,
    MAX_SERIAL,
    MAX_SIGNATURES,
    WHEN,
    SignedStatement,
    Statement,
    moment,
    name_of,
)


@dataclass(frozen=True)
class Claim:
    """What a signer says of a bundle; see ``edgead.trust.Statement``.

    Texts are kept in one line; nobody named is who runs this process. Without a serial number it's that of
    the bundle's newest signature for the line, one more where thresholds or lessons changed since, or 1.

    Raises:
        OptionError: a text is too long, or a number or date isn't one.
    """

    serial: int | None = None
    line: str = ""
    by: str = ""
    expires: str | None = None
    gates: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", _text("line", self.line))
        object.__setattr__(self, "by", _text("by", self.by) or login_name())
        object.__setattr__(self, "gates", tuple(_text("gate", gate) for gate in self.gates))
        object.__setattr__(self, "expires", None if self.expires is None else _moment(self.expires))
        if "" in self.gates:
            raise OptionError("a gate is empty: say which, or leave it out")
        if self.serial is not None and not (type(self.serial) is int and 0 <= self.serial <= MAX_SERIAL):
            raise OptionError(f"serial {self.serial!r} must be a whole number, 0 to 2^53")


def sign_bundle(
    path: Path, key: Path, claim: Claim | None = None, passphrase: bytes | None = None
) -> tuple[Bundle, SignedStatement]:
    """Sign a bundle as it is: its manifest, the newest revision of its thresholds and its last lesson.

    Args:
        path: the bundle, which is checked first, its hashes too.
        key: the private key's file.

    Returns:
        The bundle as it was read, and what was added to it.

    Raises:
        BundleError: it can't be trusted.
        KeyFileError: the key can't be used.
        InputError: it's of format 1, which has no place for signatures, or has as many as it may.
        OutputError: the signature can't be written.
        OptionError: the claim would expire before it's made.
    """
    claim = claim or Claim()
    secret = read_private(key, passphrase)
    bundle = read_bundle(path, demanded=False)
    if bundle.manifest.format < 2:
        raise InputError(f"{shown(path)}: format 1 has no place for signatures; export the bundle again")
    if len(bundle.signatures) >= MAX_SIGNATURES:
        raise InputError(f"{shown(path)}: {len(bundle.signatures)} signatures are the most: remove old ones")
    subject = subject_of(bundle)
    try:
        others = [signed.statement for signed in read_signatures(subject)]
    except StatementError as error:
        raise StatementError(f"{shown(path)}: {error}") from None
    now = datetime.datetime.now(datetime.timezone.utc)
    if claim.expires is not None and moment(claim.expires) < now:
        raise OptionError(f"expires {claim.expires} is over already: give a later day")
    statement = Statement(
        bundle=subject.bundle,
        revision=subject.revision,
        lessons=subject.lessons,
        serial=_next(others, subject, claim.line) if claim.serial is None else claim.serial,
        line=claim.line,
        by=claim.by,
        when=now.strftime(WHEN),
        expires=claim.expires,
        gates=tuple(claim.gates),
    )
    identity, signature = sign(secret, statement.to_bytes())
    signed = SignedStatement(statement, identity, signature.hex())
    content = signed.to_bytes()
    with growing_folder(bundle.path / FOLDER):
        add_file(bundle.path / name_of(content), content)  # the very same one may be there already
    return bundle, signed


def beside(bundle: Bundle, signed: SignedStatement) -> Notice | None:
    """That other signatures hold longer than the one that was just made, for ``edgead.notices.say``."""
    if signed.statement.expires is None:
        return None
    said = signed.statement
    longer = [
        each.statement
        for each in read_signatures(subject_of(bundle))
        if (each.statement.bundle, each.statement.line, each.statement.serial)
        == (said.bundle, said.line, said.serial)
        and (each.statement.expires is None or each.statement.expires > (said.expires or ""))
    ]
    values = {"signatures": len(longer), "serial": said.serial}
    return Notice("signatures-beside", values) if longer else None


def _next(others: Sequence[Statement], subject: Subject, line: str) -> int:
    """The serial number where none is given: a promotion keeps it, and a change of the bundle counts up."""
    known = [each for each in others if each.bundle == subject.bundle and each.line == line]
    if not known:
        return 1
    newest = max(each.serial for each in known)
    state = (subject.revision, subject.lessons)
    return (
        newest if any((e.revision, e.lessons) == state for e in known if e.serial == newest) else newest + 1
    )


def _text(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise OptionError(f"{name} must be text")
    line = shown(" ".join(text.split()))
    if len(line) > LONGEST:
        raise OptionError(f"{name} has {len(line)} characters; {LONGEST} are the most")
    return line


def _moment(text: str) -> str:
    """A day, until its end, or a time, as statements have them."""
    try:
        whole = text if "T" in text else f"{datetime.date.fromisoformat(text).isoformat()}T23:59:59Z"
        moment(whole)
    except (TypeError, ValueError):
        raise OptionError(
            f"expires {text!r} must be a day, 2027-01-31, or a time in UTC, 2027-01-31T18:00:00Z"
        ) from None
    return whole


__all__ = ["Claim", "beside", "sign_bundle"]
