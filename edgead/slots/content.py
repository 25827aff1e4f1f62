"""What lies in a slot: whether it's the bundle that was installed there, and how it was signed then."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from edgead.bundle import Bundle, read_bundle
from edgead.bundle.reading import subject_of
from edgead.errors import BundleError, ForeignSlotError, TrustError
from edgead.names import shown
from edgead.slots.state import SlotRecord, digest_of
from edgead.trust import Trust, accept
from edgead.trust.floors import Mark

_log = logging.getLogger(__name__)


def whole(path: Path) -> Bundle | None:
    """A slot's bundle, or None where it's damaged or another than was installed."""
    try:
        found = read_bundle(path, demanded=False)
        if found.digest != digest_of(path.name):
            raise _foreign(path, "it holds another bundle than was installed there")
        return found
    except BundleError as error:
        _log.warning("%s", error)
        return None


def as_installed(path: Path, record: SlotRecord | None, demanded: Trust | None) -> Mark | None:
    """Check that a slot's bundle is the one that was installed there, and how it was signed then.

    Returns:
        Its statement's, under whose number it may be accepted again; None where none is demanded.

    Raises:
        ForeignSlotError: it's another bundle, or another statement is accepted by now.
        BundleError: it can't be trusted.
    """
    found = read_bundle(path, trust=None if demanded is None else replace(demanded, state=None))
    if found.digest != digest_of(path.name):
        raise _foreign(path, "it holds another bundle than was installed there")
    if found.signed is None:
        return None
    signed = Mark.of(found.signed.statement)
    if record is None or record.signed is None:
        raise _foreign(path, "no signature was demanded when it was installed, or that was forgotten")
    if signed != record.signed:
        raise _foreign(
            path,
            f"serial {record.signed.serial} was accepted for it, and it has {signed.serial} now"
            if signed.serial != record.signed.serial
            else "another signature was accepted for it than the one that it has now",
        )
    return signed


def mark_of(bundle: Bundle, trust: Trust, record: SlotRecord | None) -> Mark | None:
    """Of the current bundle's statement, by which it's accepted now, no replay; else by which it was."""
    try:
        return Mark.of(accept(subject_of(bundle), trust).statement)
    except TrustError:
        return None if record is None else record.signed


def same(one: Bundle, other: Bundle) -> bool:
    """Whether two are the same, with all that lies beside them."""
    beside = [(each.revisions, each.lessons, each.signatures) for each in (one, other)]
    return beside[0] == beside[1] and one.digest == other.digest


def left_behind(before: Bundle, now: Bundle) -> str:
    """What was decided on this device and isn't in the new bundle, in a few words."""
    revised = before.revisions[: len(now.revisions)] != now.revisions or len(before.revisions) > len(
        now.revisions
    )
    taught = before.lessons.all[: len(now.lessons.all)] != now.lessons.all or before.taught > now.taught
    kinds = ("revised thresholds", before.revision and revised), ("lessons", before.taught and taught)
    return " and ".join(kind for kind, holds in kinds if holds)


def _foreign(path: Path, why: str) -> ForeignSlotError:
    return ForeignSlotError(
        f"{shown(path)}: {why}, so nothing goes back to it; install the bundle that you want instead"
    )


__all__ = ["as_installed", "left_behind", "mark_of", "same", "whole"]
