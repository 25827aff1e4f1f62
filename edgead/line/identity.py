"""What a judge judges by: a bundle as it was exported, its thresholds' newest revision, its last lesson."""

from __future__ import annotations

from edgead.bundle import Bundle
from edgead.bundle.reading import subject_of


def identity_of(bundle: Bundle) -> str:
    """One text, the same where a bundle gives the same verdicts: its digests, with blanks between."""
    found = subject_of(bundle)
    return " ".join((found.bundle, found.revision or "-", found.lessons or "-"))


def short(identity: str) -> str:
    """For people: the beginning of the manifest's digest, and of the revision's and lesson's."""
    digest, *others = identity.split(" ")
    named = zip(("revision", "lesson"), others, strict=False)
    more = ", ".join(f"{what} {each[:8]}" for what, each in named if each != "-")
    return f"{digest[:16]} ({more})" if more else digest[:16]


__all__ = ["identity_of", "short"]
