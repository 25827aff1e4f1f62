"""The strict JSON reader names the document that it reads: a faulty revision is no manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgead.bundle.revisions import Revision
from edgead.device.drift.state import read_state as read_drift
from edgead.device.drift.watch import Setting
from edgead.errors import EdgeadError, ManifestError
from edgead.manifest.strict import MANIFEST, UNNAMED, Document, check_plain, load, read
from edgead.slots.state import STATE
from edgead.slots.state import read_state as read_slots
from edgead.trust.floors import Mark, raise_floor
from edgead.trust.statement import SignedStatement

DEEP = b"[" * 200_000
FAULTY = {
    "no UTF-8": b'{"a": "\xff"}',
    "no JSON": b"{",
    "deep": b'{"a": ' + DEEP,
    "a list": b"[]",
    "twice": b'{"a": 1, "a": 2}',
    "no field": b"{}",
    "another field": b'{"a; b": 1}',
}


def slots(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(content)
    read_slots(tmp_path)


def floors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "serials.json").write_bytes(content)
    raise_floor(tmp_path / "serials.json", Mark("L1", 1, "0" * 64))


def drift(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "drift.json").write_bytes(content)
    read_drift(tmp_path / "drift.json", "0" * 64, Setting(100, 3))


READERS: dict[str, Callable[[bytes, Path], Any]] = {
    "revision": lambda content, _: Revision.from_bytes(content),
    "statement": lambda content, _: SignedStatement.from_bytes(content),
    "slots": slots,
    "floors": floors,
    "drift": drift,
}


@pytest.mark.parametrize("fault", FAULTY)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_speaks_of_manifests(reader: str, fault: str, tmp_path: Path) -> None:
    if fault == "no field" and reader in ("slots", "floors"):
        return  # every field of theirs may be missing
    with pytest.raises(EdgeadError) as caught:
        READERS[reader](FAULTY[fault], tmp_path)
    said = str(caught.value)
    assert "manifest" not in said.lower() and "export" not in said and "\n" not in said
    words = {"no field": "is missing", "another field": "field ", "a list": "not a JSON object"}
    assert words.get(fault, "not valid JSON") in said


@dataclass(frozen=True)
class Inner:
    number: int


@dataclass(frozen=True)
class Record:
    inner: Inner
    pair: tuple[int, int] = (1, 2)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"pair": [1, 2]}, " field 'inner' is missing; ADVICE"),
        ({"inner": {"number": "1"}, "pair": [1, 2]},
         " field 'inner.number' must be a whole number, not a string"),
        ({"inner": {"number": 1}, "pair": [1]}, " field 'pair' must have 2 values, not 1"),
        ({"inner": {"number": 1 << 64}, "pair": [1, 2]},
         " field 'inner.number' is a whole number of more than 63 bits"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("document", [MANIFEST, UNNAMED, Document("recipe", "write it again")])
def test_the_name_and_the_advice_are_the_documents(document: Document, value: Any, what: str) -> None:
    advice = f"; {document.advice}" if document.advice else ""
    with pytest.raises(ManifestError) as caught:
        read(Record, load(json.dumps(value), document), document)
    assert str(caught.value) == (document.name + what).lstrip().replace("; ADVICE", advice)


def test_a_document_as_a_whole_is_named() -> None:
    for document, who in ((MANIFEST, "the manifest"), (UNNAMED, "it"), (Document("recipe"), "the recipe")):
        with pytest.raises(ManifestError, match=f"^{who} is not a JSON object"):
            load("[]", document)
    with pytest.raises(ManifestError, match=r"^recipe field 'a\[1\]' is inf, not a finite number"):
        check_plain([0, float("inf")], "a", Document("recipe"))
