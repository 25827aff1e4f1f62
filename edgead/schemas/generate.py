"""JSON Schemas (draft 2020-12) of what edgead writes, made of the records that it reads by: they agree.

``python -m edgead.schemas.generate`` writes the files beside this one. A schema says less than a reader: not
how fields hang together, nor that files are there.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgead.manifest import FORMAT, MAX_PROBES, Manifest
from edgead.manifest.sealing import DIGEST
from edgead.trust.statement import LONGEST, MAX_SERIAL, MOST_GATES, SignedStatement

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HASH: Mapping[str, Any] = {"pattern": "^[0-9a-f]{64}$"}
_HASH_OR_NONE: Mapping[str, Any] = {"pattern": "^([0-9a-f]{64})?$"}
_WHEN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_LIMITS: Mapping[str, Mapping[str, Any]] = {
    "Manifest.format": {"const": FORMAT},
    "Manifest.thresholds": {"required": ["default"]},
    "Manifest.probes": {"maxItems": MAX_PROBES},
    "FileRecord.bytes": {"minimum": 0},
    "FileRecord.sha256": _HASH,
    "WrappedMethod.sha256": _HASH,
    "ProbeRecord.peaks": {"minItems": 16, "maxItems": 16},
    "SignedStatement.key": _HASH,
    "SignedStatement.signature": {"pattern": "^[0-9a-f]{128}$"},
    "Statement.format": {"const": 1},
    "Statement.bundle": _HASH,
    "Statement.revision": _HASH_OR_NONE,
    "Statement.lessons": _HASH_OR_NONE,
    "Statement.serial": {"minimum": 0, "maximum": MAX_SERIAL},
    "Statement.line": {"maxLength": LONGEST},
    "Statement.by": {"minLength": 1, "maxLength": LONGEST},
    "Statement.when": {"pattern": _WHEN},
    "Statement.expires": {"pattern": _WHEN},
    "Statement.gates": {"maxItems": MOST_GATES},
}
"""What the annotations don't say, by record and field."""


def manifest() -> dict[str, Any]:
    """The schema of ``manifest.json``, in the format that is written: with the digest that seals it."""
    document = _document(Manifest, "manifest.json of an edgead bundle")
    record = document["$defs"][Manifest.__name__]
    record["properties"][DIGEST] = {"type": "string", **_HASH}
    record["required"].append(DIGEST)
    return document


def statement() -> dict[str, Any]:
    """The schema of a file in ``signatures/``."""
    return _document(SignedStatement, "a signed statement about an edgead bundle")


def rendered(schema: Mapping[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _document(record: type, title: str) -> dict[str, Any]:
    defined: dict[str, Any] = {}
    _define(record, defined)
    return {"$schema": DIALECT, "title": title, "$ref": f"#/$defs/{record.__name__}", "$defs": defined}


def _define(record: type, defined: dict[str, Any]) -> dict[str, Any]:
    """A reference to a record's schema, which is put into ``defined``."""
    name = record.__name__
    if name not in defined:
        defined[name] = {}  # before its fields: a record may hold itself
        hints = typing.get_type_hints(record)
        fields = dataclasses.fields(record)
        told = (inspect.getdoc(record) or "").partition("\n\n")[0].replace("\n", " ")
        defined[name] = {
            "description": told,
            "type": "object",
            "properties": {
                f.name: _value(hints[f.name], defined) | dict(_LIMITS.get(f"{name}.{f.name}", {}))
                for f in fields
            },
            "required": [f.name for f in fields if "added" not in f.metadata],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _value(kind: Any, defined: dict[str, Any]) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind):
        return _define(typing.cast(type, kind), defined)
    plain = {int: "integer", float: "number", str: "string"}
    if kind in plain:
        return {"type": plain[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, defined)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": _value(arguments[0], defined)}
        items = [_value(each, defined) for each in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is collections.abc.Mapping:
        names, inner = arguments
        found: dict[str, Any] = {"type": "object"}
        if inner is not Any:
            found["additionalProperties"] = _value(inner, defined)
        if typing.get_origin(names) is Literal:
            found["propertyNames"] = {"enum": list(typing.get_args(names))}
        return found
    raise TypeError(f"{kind}: no schema is known for this annotation")


def _one_of(kinds: tuple[Any, ...], defined: dict[str, Any]) -> dict[str, Any]:
    found = [_value(kind, defined) for kind in kinds if kind is not types.NoneType]
    if types.NoneType not in kinds:
        return {"oneOf": found}
    if len(found) == 1 and "type" in found[0] and found[0]["type"] != "array":
        return {**found[0], "type": [found[0]["type"], "null"]}
    return {"oneOf": [*found, {"type": "null"}]}


if __name__ == "__main__":
    for name, schema in (("manifest", manifest()), ("statement", statement())):
        Path(__file__).with_name(f"{name}.json").write_text(rendered(schema), "utf-8")
