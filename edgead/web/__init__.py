"""The inspection of a web: what a line-scan camera sees, line by line, without an end."""

from __future__ import annotations

from edgead.web.judge import Limits, WindowJudge
from edgead.web.reports import NotInspected, Reason, Report, Stretch, WebDefect
from edgead.web.web import Web

__all__ = ["Limits", "NotInspected", "Reason", "Report", "Stretch", "Web", "WebDefect", "WindowJudge"]
