"""JSON to frozen records and back, by the records' annotations: nothing is converted, guessed or left over.

A field that is missing, unknown, of the wrong type or not finite is an error that names it. Annotations may
be numbers, strings, literals, tuples, mappings by name, records, any of these or None, and a union of records
that differ in the literal of their field ``kind``.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import math
import types
import typing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from edgead.errors import ManifestError

MAX_DEPTH = 32
"""Of objects and lists in each other: what edgead writes has six."""
LONGEST_NAMED = 120
"""Characters of a field's name that a message has."""
_LIMIT = 1 << 63
ADDED = {"added": True}
"""Metadata of a field that bundles of its format didn't always have: it may be missing, and is left out where
it has its default."""


@dataclass(frozen=True)
class Document:
    """What is read, as messages name it.

    Attributes:
        name: "manifest" gives "the manifest is not valid JSON" and "manifest field 'x' is missing"; without
            one it's "it" and "field 'x'", for a message that names the file itself.
        advice: what to do about a document that can't be read; empty where the caller says it.
    """

    name: str = ""
    advice: str = ""

    def error(self, what: str, where: str | None = None, *, advised: bool = False) -> ManifestError:
        """What is wrong, in a sentence about this document.

        Args:
            what: ``is missing`` for instance.
            where: the field; None for the document as a whole.
            advised: say what to do about it.
        """
        subject = f"the {self.name}" if self.name else "it"
        if where is not None:
            subject = f"{self.name} field {where!r}".lstrip()
        return ManifestError(f"{subject} {what}{f'; {self.advice}' if advised and self.advice else ''}")


MANIFEST = Document("manifest", "export the bundle again")
UNNAMED = Document()


class _Fault(Exception):
    """What is wrong with the document, or with a field of it; see ``Document.error``."""

    def __init__(self, where: str | None, what: str, advised: bool = False) -> None:
        super().__init__(where, what, advised)
        self.where, self.what, self.advised = where, what, advised

    def of(self, document: Document) -> ManifestError:
        return document.error(self.what, self.where, advised=self.advised)


def load(text: str | bytes, document: Document = MANIFEST) -> dict[str, Any]:
    """Read a JSON object of UTF-8.

    Args:
        document: how messages name it.

    Raises:
        ManifestError: it's none, or gives a field twice.
    """
    try:
        return _load(text)
    except _Fault as fault:
        raise fault.of(document) from None


def _load(text: str | bytes) -> dict[str, Any]:
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text  # json would guess at UTF-16
        value = json.loads(text, object_pairs_hook=_unique)  # NaN gets in here and is named later
    except UnicodeDecodeError:
        raise _Fault(None, "is not valid JSON (no UTF-8)", True) from None
    except (ValueError, RecursionError) as error:
        raise _Fault(None, f"is not valid JSON ({error})", True) from None
    if not isinstance(value, dict):
        raise _Fault(None, "is not a JSON object", True)
    return value


def read(record: type, value: Any, document: Document = MANIFEST) -> Any:
    """Make a record of a JSON value.

    Args:
        document: how messages name what holds it.

    Raises:
        ManifestError: it departs from the annotations, or is nested too deeply.
    """
    try:
        return _record(record, value, "")
    except _Fault as fault:
        raise fault.of(document) from None
    except RecursionError:
        raise document.error("is nested too deeply", advised=True) from None


def _record(record: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _Fault(where, f"must be a JSON object, not {_json_name(value)}")
    for name in sorted(_fields(record).keys() ^ value.keys()):
        if name in value or name not in _added(record):
            fault = "is unknown" if name in value else "is missing"
            raise _Fault(_in(where, name), fault, True)
    kinds = {name: kind for name, kind in _fields(record).items() if name in value}
    return record(**{name: _value(kind, value[name], _in(where, name)) for name, kind in kinds.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), value, where)
    if kind is float and type(value) is int and abs(value) < 1 << 53:  # other writers may leave ".0" out
        value = float(value)
    if kind in (int, str, float):
        if type(value) is not kind:
            name = {int: "a whole number", str: "a string", float: "a number"}[kind]
            raise _Fault(where, f"must be {name}, not {_json_name(value)}")
        _check_plain(value, where)
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise _Fault(where, f"must be one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return _tuple(arguments, value, where)
    if not isinstance(value, dict):
        raise _Fault(where, f"must be a JSON object, not {_json_name(value)}")
    if origin is collections.abc.Mapping and arguments[1] is not Any:
        names, inner = arguments
        known = typing.get_args(names) if typing.get_origin(names) is Literal else value
        if odd := sorted(value.keys() - set(known)):
            raise _Fault(_in(where, odd[0]), "is unknown", True)
        return {name: _value(inner, each, _in(where, name)) for name, each in value.items()}
    _check_plain(value, where)
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """One of several records, told apart by their ``kind``; or None."""
    if value is None and types.NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType)
    if len(kinds) == 1:
        return _value(kinds[0], value, where)
    if not isinstance(value, dict):
        raise _Fault(where, f"must be a JSON object, not {_json_name(value)}")
    by_name = {typing.get_args(_fields(kind)["kind"])[0]: kind for kind in kinds}
    if "kind" not in value:
        raise _Fault(_in(where, "kind"), "is missing", True)
    found = by_name.get(value["kind"]) if isinstance(value["kind"], str) else None
    if found is None:
        names = ", ".join(map(repr, by_name))
        raise _Fault(_in(where, "kind"), f"must be one of {names}")
    return _record(found, value, where)


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _Fault(where, f"must be a list, not {_json_name(value)}")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise _Fault(where, f"must have {len(kinds)} values, not {len(value)}")
    return tuple(_value(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))


@functools.cache
def _fields(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


@functools.cache
def _added(record: type) -> frozenset[str]:
    """The fields that may be missing."""
    return frozenset(f.name for f in dataclasses.fields(record) if "added" in f.metadata)


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def check_plain(value: Any, where: str, document: Document = MANIFEST) -> None:
    """Raise for what no reader can do anything with, anywhere in a JSON value.

    Args:
        where: the field that holds the value, for the message.
        document: how messages name what holds that.

    Raises:
        ManifestError: a float that isn't finite (1e999 reads as infinity), a whole number over 63 bits, text
            that isn't Unicode, or a value nested deeper than ``MAX_DEPTH``.
    """
    try:
        _check_plain(value, where)
    except _Fault as fault:
        raise fault.of(document) from None


def _check_plain(value: Any, where: str, depth: int = 0) -> None:
    if _is_plain_number(value):
        return
    if depth > MAX_DEPTH:
        raise _Fault(where[:60], "is nested too deeply", True)
    if isinstance(value, float) and not math.isfinite(value):
        raise _Fault(where, f"is {value}, not a finite number")
    if isinstance(value, int) and abs(value) >= _LIMIT:
        raise _Fault(where, "is a whole number of more than 63 bits")
    if isinstance(value, str):
        _check_text(value, where)
    for key, inner in value.items() if isinstance(value, dict) else ():
        _check_text(str(key), where)
        if not _is_plain_number(inner):
            _check_plain(inner, _in(where, str(key)), depth + 1)
    for i, inner in enumerate(value) if isinstance(value, list | tuple) else ():
        if not _is_plain_number(inner):
            _check_plain(inner, f"{where}[{i}]", depth + 1)


def _is_plain_number(value: Any) -> bool:
    """Whether it's a number as it should be: there may be a million of them, so it's asked first."""
    kind = type(value)
    return (kind is int and -_LIMIT < value < _LIMIT) or (kind is float and math.isfinite(value))


def _in(where: str, name: str) -> str:
    """A field within another, for messages: long names are cut, so that many fields of one cost no more."""
    name = name if len(name) <= LONGEST_NAMED else f"{name[:LONGEST_NAMED]}..."
    return f"{where}.{name}" if where else name


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Fault(where, "holds half a character, which isn't text") from None


def plain(value: Any) -> Any:
    """A record as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: plain(v) for f, v in held if "added" not in f.metadata or v != f.default}
    if isinstance(value, dict | MappingProxyType):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a field is given twice")
    return result


__all__ = ["ADDED", "MANIFEST", "UNNAMED", "Document", "check_plain", "load", "plain", "read"]
