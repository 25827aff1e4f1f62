"""OpenVINO's intermediate representation: XML that must be plain, with shapes that can be.

Its weights are in the ``.bin`` of the same name and nowhere else; the XML has the places in it.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from edgead.modelfile.faults import MalformedModel, UnsafeModel, check_shape

MOST_BYTES = 64 << 20
MOST_ELEMENTS, MOST_LEVELS = 2_000_000, 64
MOST_AT = 1 << 40
"""Furthest place in the weights' file."""

_WHOLE = re.compile(r"\s*-?[0-9]{1,30}\s*")


def check(data: bytes) -> None:
    """Read a model's XML once.

    Raises:
        UnsafeModel: it declares entities, or has shapes or places that no model has.
        MalformedModel: it isn't such XML.
    """
    if len(data) > MOST_BYTES:
        raise UnsafeModel(f"its XML has more than {MOST_BYTES} bytes")
    if not data.startswith((b"<?xml", b"<net")) or b"\0" in data:
        raise MalformedModel("it isn't an OpenVINO model")
    if b"<!" in data or data.find(b"<?", 1) >= 0:
        raise UnsafeModel("its XML holds a declaration, a comment or an instruction, which no model needs")
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MalformedModel(f"it isn't an OpenVINO model ({error})") from None


class _Reader:
    def __init__(self) -> None:
        self.parser = expat.ParserCreate("UTF-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.buffer_text = True
        self._elements = self._level = 0
        self._side: str | None = None
        self._sides: list[int] = []

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._level += 1
        if self._elements == 1 and name != "net":
            raise MalformedModel("it isn't an OpenVINO model")
        if self._elements > MOST_ELEMENTS or self._level > MOST_LEVELS:
            raise UnsafeModel(f"its XML has more than {MOST_ELEMENTS} elements or {MOST_LEVELS} levels")
        for place in ("offset", "size"):
            if name == "data" and place in attributes and not 0 <= _whole(attributes[place]) <= MOST_AT:
                raise UnsafeModel(f"it has a constant at {place} {attributes[place][:40]!r} of its weights")
        if name == "data" and attributes.get("shape"):
            check_shape(map(_whole, attributes["shape"].split(",")))
        if name == "port":
            self._sides = []
        self._side = "" if name == "dim" else None

    def _text(self, text: str) -> None:
        if self._side is not None:
            self._side += text

    def _end(self, name: str) -> None:
        self._level -= 1
        if name == "dim" and self._side is not None:
            side = _whole(self._side)
            self._sides.append(0 if side == -1 else side)  # a side that only a run tells
        if name == "port":
            check_shape(self._sides)
        self._side = None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise UnsafeModel(f"it has a size that is no number ({text[:40]!r})")
    return int(text)


__all__ = ["check"]
