"""The bundle, a folder that is read with suspicion and written in one step."""

from __future__ import annotations

from edgead.bundle.listing import MANIFEST, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, RESERVED
from edgead.bundle.reading import Bundle, read_bundle
from edgead.bundle.taught import Lesson, Lessons
from edgead.bundle.writing import Staging, write_bundle

__all__ = [
    "MANIFEST",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "RESERVED",
    "Bundle",
    "Lesson",
    "Lessons",
    "Staging",
    "read_bundle",
    "write_bundle",
]
