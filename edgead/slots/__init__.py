"""Installing bundles on a device, and going back."""

from __future__ import annotations

from edgead.slots.slots import GOOD_AFTER, MOST_STARTS, Slot, Slots

__all__ = ["GOOD_AFTER", "MOST_STARTS", "Slot", "Slots"]
