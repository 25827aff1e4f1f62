"""Revisions of a bundle's thresholds: numbered files beside the manifest, each bound to the one before.

The manifest stays as it was exported, and so do the bundle's hashes and signatures. ``revisions/0001.json``
holds the digest of the manifest, each further one that of its predecessor, and every one its own: damage, a
gap and another bundle's revision are errors, never another threshold. The newest is in force. That the newest
was taken away can't be seen from what is left; see docs/bundle-format.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgead.bundle.folder import OpenFolder
from edgead.bundle.listing import MAX_REVISION_BYTES, MAX_REVISIONS, REVISIONS
from edgead.errors import (
    FileSizeError,
    ManifestError,
    RevisionChainError,
    RevisionDigestError,
    RevisionError,
    RevisionFieldError,
    RevisionGapError,
)
from edgead.manifest import DEFAULT, ThresholdRecord, check_thresholds
from edgead.manifest.strict import UNNAMED, load, plain, read
from edgead.notices import Notice

LONGEST_NAME, LONGEST_REASON = 200, 2000
"""Characters of who and of why."""
_WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ADVICE = "copy the bundle again, or remove this revision and those after it"


@dataclass(frozen=True)
class Revision:
    """One change of a bundle's thresholds: all that hold from then on, and where they come from.

    Attributes:
        number: from 1 on, without a gap.
        parent: SHA-256 of ``manifest.json`` for the first, else the ``digest`` before; lower-case hex.
        thresholds: by product, of every product; ``default`` is always there.
        by: who made it.
        when: by that machine's clock, UTC: ``2026-11-30T08:15:00Z``.
        why: the reason given; may be empty.
        source: what it rests on, JSON: numbers of images, folders' names, the images' digest, options.
        restores: the number of the revision whose thresholds these are, 0 for those exported; None where
            they're new.
        digest: SHA-256 of all the rest as canonical JSON, lower-case hex.
        format: 1.
    """

    number: int
    parent: str
    thresholds: Mapping[str, ThresholdRecord]
    by: str
    when: str
    why: str
    source: Mapping[str, Any]
    restores: int | None = None
    digest: str = ""
    format: int = 1

    def sealed(self) -> Revision:
        """The same with its digest."""
        return replace(self, digest=_digest(self))

    def to_bytes(self) -> bytes:
        """The file: JSON, sorted and indented, the same bytes for the same values.

        Raises:
            RevisionFieldError: ``from_bytes`` would refuse it.
        """
        content = _rendered(self)
        Revision.from_bytes(content)
        return content

    @staticmethod
    def from_bytes(content: bytes) -> Revision:
        """Read a revision, whose place in the chain isn't looked at.

        Raises:
            RevisionFieldError: it isn't as ``to_bytes`` writes it.
            RevisionDigestError: its digest is another.
        """
        try:
            revision: Revision = read(Revision, load(content, UNNAMED), UNNAMED)
            check_thresholds(revision.thresholds, UNNAMED)
        except ManifestError as error:
            raise RevisionFieldError(str(error)) from None
        _check(revision)
        if revision.digest != _digest(revision):
            raise RevisionDigestError("it was changed, for its digest is another")
        if _rendered(revision) != content:
            raise RevisionFieldError("it isn't written as edgead writes it")
        return revision

    @property
    def product(self) -> str:
        """Whose thresholds were set; ``default`` where the source doesn't say."""
        options = self.source.get("options")
        product = options.get("product") if isinstance(options, Mapping) else None
        return product if isinstance(product, str) and product in self.thresholds else DEFAULT

    def notice(self) -> Notice:
        """Who changed the thresholds, when and why, for ``edgead.notices.say``."""
        values = {"revision": self.number, "when": self.when, "by": self.by, "why": self.why}
        if self.restores is not None:
            values["restores"] = self.restores
        kind = "revised" if self.restores is None else "restored" if self.restores else "as-exported"
        if self.restores is None and self.product != DEFAULT:
            values["product"], kind = self.product, "revised-of"
        return Notice(f"threshold-{kind}{'-why' if self.why else ''}", values)

    def record(self) -> dict[str, Any]:
        """As JSON, with the sentence."""
        record: dict[str, Any] = plain(self)
        return record | {"text": str(self.notice())}


def name_of(number: int) -> str:
    """A revision's path in the bundle."""
    return f"{REVISIONS}/{number:04d}.json"


def read_revisions(
    folder: OpenFolder, names: Mapping[str, int], manifest_digest: str
) -> tuple[Revision, ...]:
    """Read a bundle's revisions and check their chain.

    Args:
        folder: the bundle's.
        names: those of the files in its folder of revisions, with their sizes in bytes.
        manifest_digest: SHA-256 of its ``manifest.json``.

    Raises:
        RevisionError: one can't be trusted; the subclass says why, and the message which.
        FileSizeError: one is too large, or there are too many.
        OSError: one can't be read.
    """
    path = folder.path
    if len(names) > MAX_REVISIONS:
        raise FileSizeError(f"{path}: {len(names)} revisions are over the limit of {MAX_REVISIONS}")
    found: list[Revision] = []
    parent = manifest_digest
    for number, name in enumerate(sorted(names), 1):
        if name != name_of(number):
            raise RevisionGapError(f"{path}: '{name_of(number)}' is missing before '{name}'; {_ADVICE}")
        content = folder.read(name, MAX_REVISION_BYTES)
        try:
            found.append(_following(content, number, parent))
        except RevisionError as error:
            raise type(error)(f"{path}: '{name}': {error}; {_ADVICE}") from None
        parent = found[-1].digest
    return tuple(found)


def _following(content: bytes, number: int, parent: str) -> Revision:
    revision = Revision.from_bytes(content)
    if revision.number != number:
        raise RevisionGapError(f"it's revision {revision.number} under another's number")
    if revision.parent != parent:
        before = "of another bundle" if number == 1 else f"not made after this revision {number - 1}"
        raise RevisionChainError(f"it's {before}")
    return revision


def _check(revision: Revision) -> None:
    checks = [
        ("format", revision.format == 1, "1"),
        ("number", 1 <= revision.number <= MAX_REVISIONS, f"1 to {MAX_REVISIONS}"),
        ("parent", _SHA256.fullmatch(revision.parent) is not None, "64 lower-case hex digits"),
        ("digest", _SHA256.fullmatch(revision.digest) is not None, "64 lower-case hex digits"),
        ("by", 0 < len(revision.by) <= LONGEST_NAME, f"1 to {LONGEST_NAME} characters"),
        ("why", len(revision.why) <= LONGEST_REASON, f"{LONGEST_REASON} characters at most"),
        ("when", _WHEN.fullmatch(revision.when) is not None, "a time such as 2026-11-30T08:15:00Z"),
        ("restores", revision.restores is None or 0 <= revision.restores < revision.number,
         "the number of an earlier revision, or 0"),
    ]  # fmt: skip
    for name, holds, wanted in checks:
        if not holds:
            raise RevisionFieldError(f"field {name!r} is out of range: it must be {wanted}")


def _digest(revision: Revision) -> str:
    content = {name: value for name, value in plain(revision).items() if name != "digest"}
    return hashlib.sha256(_json(content, separators=(",", ":"))).hexdigest()


def _rendered(revision: Revision) -> bytes:
    return _json(plain(revision), indent=1) + b"\n"


def _json(value: Any, **how: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, **how).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RevisionFieldError(
            f"a revision can't be written as JSON ({error}); give plain values"
        ) from None


__all__ = ["LONGEST_NAME", "LONGEST_REASON", "Revision", "name_of", "read_revisions"]
