"""Notices: data until the last moment, then one plain sentence; what isn't known here is never an error."""

from __future__ import annotations

import re
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


COUNTS = {"images", "files", "count", "others", "parts", "rows", "differ"}


@pytest.mark.parametrize("code", [code for code, text in SENTENCES.items() if "|" in text])
def test_one_is_told_in_the_singular(code: str) -> None:
    fields = [
        (name, format_spec) for _, name, format_spec, _ in string.Formatter().parse(SENTENCES[code]) if name
    ]
    values = {name: 7 if name in COUNTS else "x" for name, _ in fields}
    values |= {name: 0.7 for name in ("share", "apart") if name in values}
    many, one = (
        say(Notice(code, values)),
        say(Notice(code, {**values, **{n: 1 for n in COUNTS & set(values)}})),
    )
    for _, choice in fields:
        assert "{" not in (choice or ""), "words to choose between hold no value: it may have a bar in it"
    assert "|" not in many + one and many.replace("7", "1") != one
    assert not re.search(r"\b1 (training |test |held-out )?(images|files|videos|masks|parts)\b", one), one


def test_every_place_of_every_sentence_is_one_that_is_filled():
    """What ``_PLACE`` doesn't know would be said as it stands in the source."""
    from edgead import notices

    for code, sentence in SENTENCES.items():
        assert "{" not in notices._PLACE.sub("", sentence), code
