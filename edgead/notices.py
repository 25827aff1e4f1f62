"""Notices: what a user should know and no error says, as a code with values; the sentence comes last.

A notice travels as data, from where it's noticed into the manifest, a ``--json`` document or a report: a
script can tell one kind from another, and a user interface can say it in another language. ``say`` is the
English.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SENTENCES: dict[str, str] = {
    "plugin": "{text}",
}
"""A notice's code to its sentence, with the values' names in braces: what is so, and what to do about it."""


@dataclass(frozen=True)
class Notice:
    """One thing that a user should know.

    Attributes:
        code: which, one of ``SENTENCES``; a bundle of another version may hold one that isn't known here.
        values: JSON values, what the sentence is made with.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON, the sentence with it."""
        return {"code": self.code, "values": dict(self.values), "text": say(self)}


def say(notice: Notice) -> str:
    """The notice in one plain sentence; one whose code or values aren't known here is shown as it is."""
    try:
        return SENTENCES[notice.code].format_map(notice.values)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        values = ", ".join(f"{name} {value}" for name, value in notice.values.items())
        return f"{notice.code}: {values}" if values else notice.code


__all__ = ["SENTENCES", "Notice", "say"]
