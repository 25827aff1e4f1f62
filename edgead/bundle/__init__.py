"""The bundle, a folder that is read with suspicion and written in one step."""

from __future__ import annotations

from edgead.bundle.listing import MANIFEST, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, RESERVED, REVISIONS
from edgead.bundle.loaded import Bundle
from edgead.bundle.reading import read_bundle, read_manifest
from edgead.bundle.revising import Note, add_revision, restore
from edgead.bundle.revisions import Revision
from edgead.bundle.taught import Lesson, Lessons
from edgead.bundle.writing import Staging, write_bundle

__all__ = [
    "MANIFEST",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "RESERVED",
    "REVISIONS",
    "Bundle",
    "Lesson",
    "Lessons",
    "Note",
    "Revision",
    "Staging",
    "add_revision",
    "read_bundle",
    "read_manifest",
    "restore",
    "write_bundle",
]
