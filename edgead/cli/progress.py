"""The progress that verbs show; see ``edgead.progress``."""

from edgead.progress import make_progress, silent

__all__ = ["make_progress", "silent"]
