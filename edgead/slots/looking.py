"""What whoever lists the slots should know of the bundles in them as they are now."""

from __future__ import annotations

from edgead.bundle import read_bundle
from edgead.bundle.reading import subject_of
from edgead.errors import BundleError
from edgead.notices import Notice
from edgead.slots.slot import Slot
from edgead.slots.state import digest_of
from edgead.trust.demand import read_signatures


def notices_of(which: str, slot: Slot) -> list[Notice]:
    """What a listing doesn't show: that a slot is damaged, another bundle's, or was signed since.

    Nothing is hashed and no signature is verified.

    Args:
        which: what the listing calls it, ``current`` or ``previous``.
    """
    try:
        bundle = read_bundle(slot.path, verify=False)
        if bundle.digest != digest_of(slot.name):
            return [Notice("slot-exchanged", {"slot": which})]
        signed = [each.statement for each in read_signatures(subject_of(bundle))]
    except BundleError as error:
        return [Notice("slot-unreadable", {"slot": which, "reason": str(error)})]
    serials = [said.serial for said in signed if (said.bundle, said.line) == (bundle.digest, slot.line)]
    found = [notice for notice in bundle.notices if notice.code == "no-digest"]
    if slot.serial is not None and serials and max(serials) != slot.serial:
        values = {"slot": which, "serial": max(serials), "accepted": slot.serial}
        found.append(Notice("slot-signed-since", values))
    return found


__all__ = ["notices_of"]
