"""The manifest: what a bundle says about itself, as frozen records and as strict JSON.

Every format that was ever written is read; the newest is written. docs/bundle-format.md has the fields.
"""

from __future__ import annotations

from edgead.manifest.document import (
    FORMAT,
    MAX_MANIFEST_BYTES,
    MAX_PROBES,
    READERS,
    Manifest,
    check_thresholds,
    is_product,
)
from edgead.manifest.records import (
    CALIBRATED,
    DEFAULT,
    ChosenBy,
    ComposedMethod,
    FileRecord,
    HeldOutRecord,
    ImageScoreRecord,
    InputRecord,
    MethodRecord,
    ProbeRecord,
    ReferenceRecord,
    RoiRecord,
    Rule,
    TeachingRecord,
    ThresholdRecord,
    WindowsRecord,
    WrappedMethod,
    parts_of,
)
from edgead.manifest.sizes_found import SizeFound, SizesFoundRecord

__all__ = [
    "CALIBRATED",
    "DEFAULT",
    "FORMAT",
    "MAX_MANIFEST_BYTES",
    "MAX_PROBES",
    "READERS",
    "ChosenBy",
    "ComposedMethod",
    "FileRecord",
    "HeldOutRecord",
    "ImageScoreRecord",
    "InputRecord",
    "Manifest",
    "MethodRecord",
    "ProbeRecord",
    "ReferenceRecord",
    "RoiRecord",
    "Rule",
    "SizeFound",
    "SizesFoundRecord",
    "TeachingRecord",
    "ThresholdRecord",
    "WindowsRecord",
    "WrappedMethod",
    "check_thresholds",
    "is_product",
    "parts_of",
]
