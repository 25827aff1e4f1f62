"""Signatures: who says that a bundle may be used, on which line, and since when."""

from __future__ import annotations

from edgead.trust.demand import KEYS, Accepted, AnyTrust, Subject, Trust, accept, device_trust
from edgead.trust.statement import FOLDER, MAX_SIGNATURES, SignedStatement, Statement, is_signature

__all__ = [
    "FOLDER",
    "KEYS",
    "MAX_SIGNATURES",
    "Accepted",
    "AnyTrust",
    "SignedStatement",
    "Statement",
    "Subject",
    "Trust",
    "accept",
    "device_trust",
    "is_signature",
]
