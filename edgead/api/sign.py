"""``edgead.sign``: say by a signature that a bundle may be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgead.api.arguments import AnyBundle, AnyPath, path_of
from edgead.api.notes import tell
from edgead.bundle.signing import Claim, beside, sign_bundle
from edgead.trust import SignedStatement


def sign(
    bundle: AnyBundle,
    key: AnyPath,
    *,
    serial: int | None = None,
    line: str = "",
    by: str = "",
    expires: str | None = None,
    gates: Sequence[str] = (),
    passphrase: bytes | None = None,
) -> SignedStatement:
    """Sign a bundle as it is, with the newest revision of its thresholds and its lessons; as ``edgead sign``.

    Args:
        bundle: its path, ``NAME`` for ``./NAME.edgead``, or what a call returned; its files are checked.
        key: the private key's file, as ``edgead keys new`` makes one.
        serial: 0 to 2^53, counts up for each line; if not given that of the bundle's newest signature for the
            line, one more where thresholds or lessons changed since, or 1.
        line: the line that it's for; any if empty.
        by: who signs; the user's login name if empty.
        expires: a day, ``"2027-01-31"``, or a time in UTC, ``"2027-01-31T18:00:00Z"``; None for never.
        gates: what it has passed, in your words.
        passphrase: the private key's.

    Returns:
        What was written into the bundle's folder ``signatures/``.

    Raises:
        edgead.errors.BundleError: the bundle can't be trusted.
        edgead.errors.KeyFileError: the key can't be used.
        edgead.errors.InputError: the bundle is of format 1, or has as many signatures as it may.
        edgead.errors.OutputError: the signature can't be written.
        edgead.errors.MissingDependencyError: ``cryptography`` isn't installed.
    """
    gates = (gates,) if isinstance(gates, str) else tuple(gates)
    claim = Claim(serial, line, by, expires, gates)
    found, signed = sign_bundle(path_of(bundle), Path(key), claim, passphrase)
    if doubt := beside(found, signed):
        tell([doubt])
    return signed


__all__ = ["sign"]
