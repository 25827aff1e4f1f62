"""Notices: data until the last moment, then one plain sentence; what isn't known here is never an error."""

from __future__ import annotations

import string

import pytest

from edgead.notices import SENTENCES, Notice, say


@pytest.mark.parametrize("code", SENTENCES)
def test_every_sentence_is_one_line_and_made_of_its_values(code: str) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(SENTENCES[code]) if name}
    assert "\n" not in SENTENCES[code] and all(name.isidentifier() for name in names), names


def test_a_notice_says_its_values() -> None:
    notice = Notice("plugin", {"text": "the teacher is weak; train it for longer"})
    assert say(notice) == "the teacher is weak; train it for longer"
    assert notice.record() == {"code": "plugin", "values": dict(notice.values), "text": say(notice)}


def test_one_of_a_later_version_is_shown_as_it_is() -> None:
    assert say(Notice("of-the-future", {"a": 1, "b": "x"})) == "of-the-future: a 1, b x"
    assert say(Notice("of-the-future")) == "of-the-future"
    assert say(Notice("plugin", {})) == "plugin"
