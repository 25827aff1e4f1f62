"""Notices: what a user should know and no error says, as a code with values; the sentence comes last.

A notice travels as data, from where it's noticed into the manifest, a ``--json`` document or a report: a
script can tell one kind from another, and a user interface can say it in another language. ``say`` is the
English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgead.sentences import SENTENCES

_PLACE = re.compile(r"\{(\w+)(?::(#[\w -]+|\.\d[%fg]|g|[^{}|]*\|[^{}|]*))?\}")
"""``{name}``, ``{name:.2%}`` and its like, ``{name:#image}`` for the number with its noun, or
``{name:is|are}`` for a word that goes with the number: the first where it's 1."""


LONGEST = 4000
"""Characters of a sentence, whatever a bundle holds."""


@dataclass(frozen=True)
class Notice:
    """One thing that a user should know.

    Attributes:
        code: which, one of ``SENTENCES``; a bundle of another version may hold one that isn't known here.
        values: JSON values, what the sentence is made with.
        sentence: of a code that isn't one of ``SENTENCES``, a plugin's own: the sentence, with the values'
            names in braces as there.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = field(default="", metadata={"added": True})

    def __str__(self) -> str:
        return say(self)

    def record(self) -> dict[str, Any]:
        """As JSON, the sentence with it."""
        return {"code": self.code, "values": dict(self.values), "text": say(self)}


def say(notice: Notice) -> str:
    """The notice in one plain sentence; one whose code or values aren't known here is shown as it is."""
    sentence = SENTENCES.get(notice.code, notice.sentence)[:LONGEST]
    try:
        if sentence:
            return _cut(_PLACE.sub(lambda place: _fill(place[1], place[2], notice.values), sentence))
    except (KeyError, ValueError, TypeError, ArithmeticError):
        pass
    named = list(notice.values.items())[:LONGEST]
    values = ", ".join(f"{_cut(str(name), 60)} {_cut(str(value), 300)}" for name, value in named)
    return _cut(f"{_cut(notice.code, 60)}: {values}" if values else notice.code)


def _cut(text: str, width: int = 0) -> str:
    """A stranger's bundle may hold megabytes of text: no more than this of it is said."""
    width = width or LONGEST
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def _fill(name: str, how: str | None, values: Mapping[str, Any]) -> str:
    """One place of a sentence. A bundle's own is a stranger's text, so nothing but this is done for it."""
    value = values[name]
    if how is None:
        return _cut(str(value), 1000)
    if how.startswith("#"):
        return count(value, how[1:])
    if "|" in how:
        one, many = how.split("|")
        return one if value == 1 else many
    return format(value, how)


def recorded(value: Any) -> str:
    """The sentence of what ``Notice.record`` gave, after a way through JSON; format 1 has sentences alone."""
    return str(value.get("text", value)) if isinstance(value, Mapping) else str(value)


def count(number: int, noun: str) -> str:
    """A number with its noun in the right form: ``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


__all__ = ["LONGEST", "SENTENCES", "Notice", "count", "recorded", "say"]
