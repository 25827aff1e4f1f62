"""Ed25519 keys in files: PEM, as OpenSSL reads and writes them. ``cryptography`` is imported only here."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgead.adding import add_file
from edgead.errors import KeyFileError, OutputError
from edgead.extras import explained
from edgead.files import READ, output_errors
from edgead.names import shown
from edgead.private import why_not

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519 = bytes.fromhex("302a300506032b6570032100")
"""What comes before the 32 bytes of a public key in DER (RFC 8410)."""
_PEM = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")
PRIVATE, PUBLIC = ".key", ".pub"
MAX_KEY_BYTES = 16 << 10
MOST_KEYS = 256
"""Public keys that are trusted at once."""


@dataclass(frozen=True)
class PublicKey:
    """A public key.

    Attributes:
        id: SHA-256 of its 32 raw bytes, lower-case hex.
        path: the file that it was read from.
        raw: the bytes.
    """

    id: str
    path: Path
    raw: bytes = field(repr=False)

    @explained("checking signatures")
    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether the signature is this key's, of this content."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, content)
        except InvalidSignature:
            return False
        return True


@explained("keys")
def make_keys(private: Path, public: Path, passphrase: bytes | None = None) -> PublicKey:
    """Make a pair of keys in two new files; the private one is for its owner alone (0600).

    Args:
        passphrase: encrypts the private key; None leaves it as it is.

    Raises:
        OutputError: a file is there already, or can't be written.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if passphrase is not None and not passphrase:
        raise KeyFileError("the passphrase is empty: give one, or none at all")
    for file in (private, public):
        if os.path.lexists(file):
            raise OutputError(f"{shown(file)}: already exists; remove it or choose another name")
    key = Ed25519PrivateKey.generate()
    sealed: Any = form.NoEncryption() if passphrase is None else form.BestAvailableEncryption(passphrase)
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, sealed)
    open_ = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    with output_errors(private):  # 0600 from its first byte on
        descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with output_errors(private), os.fdopen(descriptor, "wb") as writer:
            writer.write(secret)
            writer.flush()
            os.fsync(descriptor)
        if not add_file(public, open_, 0o644):  # whatever the umask: what a group may write isn't trusted
            raise OutputError(f"{shown(public)}: already exists; remove it or choose another name")
    except BaseException:
        with contextlib.suppress(OSError):
            private.unlink()  # nobody has seen what it would sign for
        raise
    raw = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return PublicKey(hashlib.sha256(raw).hexdigest(), public, raw)


@explained("signing")
def read_private(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        KeyFileError: it holds none of this kind, others may read it, or the passphrase is missing or wrong.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path, others=0)
    if b"PUBLIC KEY" in content:
        raise KeyFileError(f"{shown(path)}: a public key: give its private half")
    content = _read(path, others=0o077)
    try:
        key = load_pem_private_key(content, passphrase)
    except TypeError:
        needs = "needs a passphrase: give its file" if passphrase is None else "has none: leave it out"
        raise KeyFileError(f"{shown(path)}: the key {needs} (--passphrase-file)") from None
    except Exception:  # ValueError, UnsupportedAlgorithm: a library's words, of no help
        why = "the passphrase is wrong, or it" if passphrase is not None else "it"
        raise KeyFileError(f"{shown(path)}: {why} isn't a private key; `edgead keys new` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{shown(path)}: not an Ed25519 key; `edgead keys new` makes one")
    return key


def sign(key: Ed25519PrivateKey, content: bytes) -> tuple[str, bytes]:
    """Sign bytes; returns the id of the key's public half, and the signature."""
    from cryptography.hazmat.primitives import serialization as form

    raw = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest(), key.sign(content)


def read_public(paths: Iterable[Path]) -> tuple[PublicKey, ...]:
    """Read public keys: files, and folders of ``*.pub``.

    Raises:
        KeyFileError: one isn't a key, it or a folder above it can be changed by others
            (``edgead.private.why_not``), a folder has none, or none is named.
    """
    found: dict[str, PublicKey] = {}
    for path in paths:
        try:
            is_folder = path.is_dir()
            if is_folder:
                _check_place(path)
            files = sorted(path.glob(f"*{PUBLIC}"))[: MOST_KEYS + 1] if is_folder else [path]
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{shown(path)}: can't be read ({error}); name keys or a folder") from None
        if not files:
            raise KeyFileError(f"{shown(path)}: no *{PUBLIC} in this folder; put the trusted keys there")
        for key in map(_public, files):
            found.setdefault(key.id, key)
    if not found:
        raise KeyFileError("no key is named: give a public key's file, or a folder of them")
    if len(found) > MOST_KEYS:
        raise KeyFileError(f"over {MOST_KEYS} keys: trust fewer")
    return tuple(found.values())


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase: a file's first line; raises KeyFileError."""
    line = _read(path, others=0o077).partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise KeyFileError(f"{shown(path)}: its first line is empty; write the passphrase there")
    return line


def _public(path: Path) -> PublicKey:
    """Read a public key; by hand, for importing what reads every kind of key takes longer than a check."""
    _check_place(path)
    content = _read(path, others=0)
    found = _PEM.fullmatch(content)
    if found is None:
        what = (
            "a private key: give its public half" if b"PRIVATE KEY" in content else "not a public key in PEM"
        )
        raise KeyFileError(f"{shown(path)}: {what}; `edgead keys new` makes NAME{PUBLIC}")
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True)
    except ValueError:
        der = b""
    raw = der.removeprefix(_ED25519)
    if len(raw) != 32 or len(der) != len(_ED25519) + 32:
        raise KeyFileError(f"{shown(path)}: not an Ed25519 key; `edgead keys new` makes one")
    return PublicKey(hashlib.sha256(raw).hexdigest(), path, raw)


def _read(path: Path, others: int) -> bytes:
    """A small file's content, where nobody else has these rights on it."""
    try:
        with os.fdopen(os.open(path, READ), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{shown(path)}: not a plain file; give the key's file")
            if os.name != "nt" and status.st_mode & others:
                raise KeyFileError(f"{shown(path)}: others may read it; `chmod 600` it, or make another")
            content = file.read(MAX_KEY_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KeyFileError(f"{shown(path)}: can't be read ({reason}); give the key's file") from None
    if len(content) > MAX_KEY_BYTES:
        raise KeyFileError(f"{shown(path)}: too large for a key; give the key's file")
    return content


def _check_place(path: Path) -> None:
    if why := why_not(path):
        raise KeyFileError(f"{shown(path)}: it can't be trusted, for {shown(why)}")


__all__ = [
    "PRIVATE",
    "PUBLIC",
    "PublicKey",
    "make_keys",
    "read_passphrase",
    "read_private",
    "read_public",
    "sign",
]
