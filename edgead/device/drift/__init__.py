"""Drift: what is usual on the line is learned there, and what is no longer so is said."""

from __future__ import annotations

from edgead.device.drift.change import Change, Watched
from edgead.device.drift.drift import Drift
from edgead.device.drift.look import Look, look_at

__all__ = ["Change", "Drift", "Look", "Watched", "look_at"]
