"""The canonical bytes of a manifest, and the digest over them: of flipped bits not one is overlooked.

From format 3 on a manifest is the canonical JSON of what it says, byte for byte, and its first field is the
SHA-256 of that JSON without this field's line. So whatever can open a file can check it: take the second line
out, hash the rest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from edgead.errors import ManifestDigestError, ManifestError

DIGEST = "digest"
SEALED = 3
"""The first format that has a digest."""

_HOW: Mapping[str, Any] = {"sort_keys": True, "indent": 2, "ensure_ascii": False, "allow_nan": False}
_START = re.compile(rb'\{\n  "digest": "([^"\n]*)",\n')
_FORMAT = b'\n  "format": %d,\n' % SEALED
_CHANGED = "the manifest was changed (its digest is another); copy the bundle again, or export it again"


def sealed(document: Mapping[str, Any]) -> str:
    """Return a document as canonical JSON with its digest, whatever it holds.

    Raises:
        TypeError, ValueError: JSON can't say it.
    """
    bare = {name: value for name, value in document.items() if name != DIGEST}
    digest = hashlib.sha256(f"{json.dumps(bare, **_HOW)}\n".encode()).hexdigest()
    return f"{json.dumps({**bare, DIGEST: digest}, **_HOW)}\n"


def check_digest(data: bytes) -> None:
    """Raise ManifestDigestError for a sealed manifest with another digest than it says; nothing is parsed.

    What doesn't begin as a sealed one does is left to ``check_canonical``.
    """
    start = _START.match(data)
    if start is not None and _FORMAT in data:
        _bare(data, start)


def check_canonical(data: bytes, document: Mapping[str, Any]) -> None:
    """Raise ManifestError where a manifest isn't the canonical JSON of what was read of it, digest included.

    Args:
        data: the file.
        document: all that was understood of it, but for the digest.
    """
    start = _START.match(data)
    if start is None:
        raise ManifestDigestError(_CHANGED)
    bare, at = _bare(data, start), 0
    fault = ManifestError("the manifest isn't written as edgead writes it; export the bundle again")
    for piece in itertools.chain(json.JSONEncoder(**_HOW).iterencode(document), ["\n"]):
        text = piece.encode()
        if bare[at : at + len(text)] != text:
            raise fault
        at += len(text)
    if at != len(bare):
        raise fault


def _bare(data: bytes, start: re.Match[bytes]) -> bytes:
    """The manifest without the digest's line, of which that is the digest."""
    bare = data[:2] + data[start.end() :]
    if hashlib.sha256(bare).hexdigest().encode() != start[1]:
        raise ManifestDigestError(_CHANGED)
    return bare


__all__ = ["DIGEST", "SEALED", "check_canonical", "check_digest", "sealed"]
