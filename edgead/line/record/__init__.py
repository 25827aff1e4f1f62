"""A line's record: its verdicts, which images were kept, what operators filed, and the audit.

A folder with a SQLite database, written by the line's recorder and read beside it. ``docs/line.md`` has the
whole.
"""

from __future__ import annotations

from edgead.line.record.audit import AuditRow, AuditState, add_audit, verify_audit
from edgead.line.record.exporting import Exported, export_log, record_folder
from edgead.line.record.filing import file_feedback, mark_taught
from edgead.line.record.reader import RecordReader
from edgead.line.record.rows import EventRow, FeedbackRow, ScoreRow, VerdictRow
from edgead.line.record.writer import RecordWriter

__all__ = [
    "AuditRow",
    "AuditState",
    "EventRow",
    "Exported",
    "FeedbackRow",
    "RecordReader",
    "RecordWriter",
    "ScoreRow",
    "VerdictRow",
    "add_audit",
    "export_log",
    "file_feedback",
    "mark_taught",
    "record_folder",
    "verify_audit",
]
