"""Damaged inputs: a seed with a few edits, of its bytes or, where it's JSON, of its values.

Hypothesis draws the edits, so that what breaks a parser is made small before it's shown.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 8, b"\x00\x00\x00\x01", b"1e999",
    b"-1", b"NaN", b"Infinity", b"9" * 400, b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xae", b"\x1b[31m",
    b"[" * 2000, b'{"a":' * 500, b"{}", b"[]", b'""', b"null", b"true", b"../", b"/etc/passwd", b"\r\n",
    b"\n", b",", b'"', b"'", b"=", b"-", b"..", b"%s%n", b"a" * 5000, b"\xef\xbb\xbf", b"_", b"0x", b"nan",
    b"1e-320",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**400, 0.0, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), "", "a", "\ud800", "\x1b[31m", "../x", "/x", "x" * 5000, "\0", [], {}, [[]],
    {"": 0}, {"a": {"a": {"a": {}}}}, [0] * 1000, "0" * 64,
)  # fmt: skip
EDITS = ("flip", "set", "cut", "double", "insert", "end", "splice", "swap")
_PLACE = st.integers(0, 1 << 16)
_EDIT = st.tuples(st.sampled_from(EDITS), _PLACE, _PLACE, st.integers(0, 255), st.sampled_from(TOKENS))
_VALUE_EDIT = st.tuples(st.sampled_from(("set", "drop", "add")), _PLACE, st.sampled_from(VALUES))


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with up to eight edits."""
    data = draw(st.sampled_from(seeds))
    other = draw(st.sampled_from(seeds))
    if draw(st.booleans()) and (value := _loaded(data)) is not None:
        for how, place, new in draw(st.lists(_VALUE_EDIT, min_size=1, max_size=4)):
            value = _with_value(value, how, place, new)
        return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
    for edit in draw(st.lists(_EDIT, max_size=8)):
        data = edited(data, other, *edit)
    return data


def edited(data: bytes, other: bytes, how: str, place: int, length: int, byte: int, token: bytes) -> bytes:
    at = place % (len(data) + 1)
    end = min(len(data), at + 1 + length % 64)
    if how == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << byte % 8]) + data[at + 1 :]
    if how == "set" and at < len(data):
        return data[:at] + bytes([byte]) + data[at + 1 :]
    if how == "cut":
        return data[:at] + data[end:]
    if how == "double":
        return data[:end] + data[at:end] * (1 + byte % 16) + data[end:]
    if how == "insert":
        return data[:at] + token + data[at:]
    if how == "end":
        return data[:at]
    if how == "splice":
        return data[:at] + other[place % (len(other) + 1) :]
    if how == "swap":
        return data[:at] + token + data[at + len(token) :]
    return data


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _with_value(value: Any, how: str, place: int, new: Any) -> Any:
    """A document with another value at one of its places."""
    new = copy.deepcopy(new)  # a later edit may go into it
    places = list(_places(value))
    path = places[place % len(places)]
    if not path:
        return new if how == "set" else value
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if how == "drop":
        del inner[path[-1]]
    elif how == "add" and isinstance(inner, dict):
        inner[str(path[-1]) + "x"] = new
    else:
        inner[path[-1]] = new
    return value


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    for step in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield from _places(value[step], (*path, step))


__all__ = ["damaged"]
